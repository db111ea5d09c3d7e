"""Products over several devices and processes agree with those of one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from stock_rnn.curvature import HessianOperator
from tests.conftest import ROOT

SCRIPT = Path(__file__).with_name("several_devices.py")

# Of float32; what is compared are shares of ‖H v‖, ‖g‖ and the loss.
TOLERANCE = 1e-6


def start(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, words)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    output, errors = process.communicate(timeout=300)
    lines = output.splitlines()
    found = [line.split()[1:] for line in lines if line.startswith("differences")]
    return [float(d) for row in found for d in row], lines[-1] if lines else "", errors


def free_ports():
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_rows_that_are_masked_altogether_count_nothing():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        stack = [keras.layers.Masking(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((2, 2)), *stack])
    x = np.random.default_rng(0).normal(size=(6, 2, 2)).astype("f4")
    x[2:4] = 0.0  # The second micro-batch.
    data, options = (x, x[..., :1]), {"batch_size": 2, "check": False}
    spread = HessianOperator(model, "mse", *data, strategy=strategy, **options)
    alone = HessianOperator(model, "mse", *data, **options)
    at = np.zeros(alone.parameters, int)
    np.testing.assert_allclose(spread.loss_at(at), alone.loss_at(at), rtol=1e-6)
    unit = np.eye(alone.parameters)
    np.testing.assert_allclose(spread @ unit, alone @ unit, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_two_devices_of_one_process_agree_with_one():
    differences, _, errors = finish(start("mirrored"))
    assert len(differences) == 5 + 1, errors
    assert max(differences) < TOLERANCE


@pytest.mark.zoo
def test_two_processes_agree_with_one_and_a_lost_one_is_one_line():
    ports = free_ports()
    first, second = (start("worker", k, *ports) for k in range(2))
    for process in (first, second):
        differences, last, errors = finish(process)
        assert len(differences) == 5, errors
        assert max(differences) < TOLERANCE
        if process is first:
            assert last.startswith("ReplicaLostError: A worker of the strategy was lost"), errors
            assert "start all workers again" in last
