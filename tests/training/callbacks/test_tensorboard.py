"""What TensorBoard is given, read back from the files and asked of a real server."""

import dataclasses
import json
import threading
import urllib.request

import numpy as np
import pandas as pd
import pytest
from tensorboard import program
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from stock_rnn.config import Config
from stock_rnn.curvature import load_measurements
from stock_rnn.curvature.tracking.measurement import SCALARS


@pytest.fixture(scope="module")
def events(small_run):
    def read(run):
        return EventAccumulator(str(small_run.logs / run), {"tensors": 0}).Reload()

    runs = ("train", "test", "train_persistence", "test_persistence")
    return {run: read(run) for run in runs}


def scalars(accumulator, tag):
    return [float(tensor_util.make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(tag)]


def test_scalars_are_the_history(events, small_run):
    history = pd.read_csv(small_run.history)
    for run, tag, column in (
        ("train", "epoch_loss", "loss"),
        ("test", "epoch_loss", "val_loss"),
        ("train", "epoch_learning_rate", "learning_rate"),
        ("train", "epoch_skill", "skill"),
        ("test", "epoch_skill", "val_skill"),
        ("train_persistence", "epoch_loss", "persistence_loss"),
        ("test_persistence", "epoch_loss", "val_persistence_loss"),
    ):
        np.testing.assert_allclose(scalars(events[run], tag), history[column], rtol=1e-5)
        assert [e.step for e in events[run].Tensors(tag)] == list(history["epoch"]) == [1, 2, 3]
        assert events[run].SummaryMetadata(tag).summary_description


def test_eigenvalues_with_their_error_bars_from_epoch_0_on(small_run):
    events = EventAccumulator(str(small_run.logs / "hessian"), {"tensors": 0}).Reload()
    measured = load_measurements(small_run.spectrum)
    for name in ("lambda_min", "residual_min", "lambda_max", "residual_max"):
        expected = [getattr(m.extremes, name) for m in measured]
        np.testing.assert_allclose(scalars(events, f"hessian/{name}"), expected, rtol=1e-5)
    assert [e.step for e in events.Tensors("hessian/lambda_min")] == [0, 1, 2, 3]


def test_histograms_of_weights_and_of_the_last_output(events):
    tags = events["train"].Tags()["tensors"]
    for weight in ("lstm_1/cell/kernel", "lstm_1/cell/recurrent_kernel", "head/bias"):
        assert f"{weight}/histogram" in tags
    outputs = events["test"].Tensors("last_lstm_output")
    assert [event.step for event in outputs] == [1, 2, 3]
    # Buckets are (left, right, count); an LSTM's output lies in (-1, 1).
    buckets = tensor_util.make_ndarray(outputs[-1].tensor_proto)
    assert np.abs(buckets[:, :2]).max() <= 1
    assert buckets[:, 2].sum() > 0


def test_pictures_of_predictions(events):
    pictures = events["test"].Tensors("predicted_and_actual")
    assert [event.step for event in pictures] == [1, 2, 3]
    png = tensor_util.make_ndarray(pictures[-1].tensor_proto)[2]
    assert png.startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def url(small_run):
    """A TensorBoard server in this process that has read the event files, once."""
    server = program.TensorBoard()
    words = ["--logdir", small_run.logs_dir, "--host", "127.0.0.1", "--port", 0]
    words += ["--load_fast", "false", "--reload_interval", 0]
    server.configure(argv=["tensorboard", *map(str, words)])
    before = set(threading.enumerate())
    address = server.launch()
    # The one that reads ends; the one that answers does not.
    for reader in set(threading.enumerate()) - before:
        if reader.name == "Reloader":
            reader.join(timeout=60)
    return address


def test_a_tensorboard_server_shows_the_run(url):
    def ask(path):
        with urllib.request.urlopen(f"{url}data/{path}", timeout=60) as answer:
            return json.loads(answer.read())

    tags = ask("plugin/scalars/tags")
    assert set(tags["small/train"]) == {"epoch_loss", "epoch_learning_rate", "epoch_skill"}
    assert "epoch_loss" in tags["small/test"]
    assert "lstm_1/cell/kernel/histogram" in ask("plugin/histograms/tags")["small/train"]
    assert "last_lstm_output" in ask("plugin/histograms/tags")["small/test"]
    assert "predicted_and_actual" in ask("plugin/images/tags")["small/test"]
    assert ask("plugin/graphs/info")["small/train"]
    assert {f"hessian/{name}" for name in SCALARS} - set(tags["small/hessian"]) == {
        "hessian/critical_point"
    }
    assert "hessian/eigenvalues" in ask("plugin/histograms/tags")["small/hessian"]
    request = urllib.request.Request(
        f"{url}data/plugin/hparams/experiment",
        data=b'{"experimentName": ""}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        experiment = json.loads(answer.read())
    shown = [info["name"] for info in experiment["hparamInfos"]]
    # The page opens on the first five.
    assert {*shown[:5]} == {*("optimizer", "num_layers", "lstm_size", "init_learning_rate", "seed")}
    assert len(shown) == len(set(shown)) == len(dataclasses.fields(Config))
    assert experiment["metricInfos"][0]["displayName"] == "test skill"
