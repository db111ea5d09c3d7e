"""What is loaded, and works, in a process of its own that has TensorFlow."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from stock_rnn.network import build_model
from tests.conftest import ROOT

# The order counts: each step says what has been loaded up to it. All of them share one process,
# as TensorFlow takes seconds to import.
PROGRAM = """
import json, sys
import keras, numpy

def value(number):
    model = keras.saving.load_model(f"{number}.keras", safe_mode=True)
    return float(model(numpy.ones((1, 3, 1)))[0, 0])

found = {"values": [value(0)], "for a plain model": list(sys.modules)}
from stock_rnn.curvature import HessianCallback
found["for curvature"] = list(sys.modules)
import stock_rnn.network
found["values"] += [value(1), value(2)]
from stock_rnn.prices import yahoo
from curl_cffi import Curl
found["curl"] = Curl().version().decode()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def models():
    """A network without anything of this package's own, and two with."""
    return (
        build_model(num_steps=3, num_layers=2, lstm_size=4, init="tf1"),
        build_model(
            num_steps=3, num_layers=2, lstm_size=4, cell="tt-lstm", norm="layer", forget_bias=2.0
        ),
        build_model(num_steps=3, lstm_size=4, norm="batch", forget_bias=2.0, activation="elu"),
    )


@pytest.fixture(scope="module")
def found(models, tmp_path_factory):
    """What the process printed."""
    folder = tmp_path_factory.mktemp("fresh")
    for number, model in enumerate(models):
        model.save(folder / f"{number}.keras")
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return json.loads(answer.stdout)


def test_saved_models_load_and_the_default_without_this_package(found, models):
    assert "stock_rnn" not in found["for a plain model"]
    for value, model in zip(found["values"], models, strict=True):
        assert value == pytest.approx(float(model(np.ones((1, 3, 1)))[0, 0]), rel=1e-6)


def test_curvature_loads_no_price_source_and_no_network_library(found):
    # Keras itself loads pandas, Matplotlib and requests.
    loaded = set(found["for curvature"])
    assert "tensorflow" in loaded
    assert not loaded & {"yfinance", "curl_cffi", "peewee", "arch", "statsmodels"}
    own = {name for name in loaded if name.startswith("stock_rnn.")}
    assert {name.split(".")[1] for name in own} == {"curvature"}


def test_yahoo_s_client_works_after_tensorflow_is_loaded(found):
    # TensorFlow's libcurl has no HTTP/2.
    assert "nghttp2" in found["curl"]
