"""The gradient by layer: in the history and TensorBoard, without a change of the training."""

import keras
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stock_rnn.config import Config
from stock_rnn.data import StockDataSet
from stock_rnn.forecasting.forecaster import load_run
from stock_rnn.forecasting.gradient_flow import describe_gradient_flow
from stock_rnn.network.gradient_flow import GradientProbe
from stock_rnn.training.callbacks import Gradients
from stock_rnn.training.callbacks.gradients import EXAMPLES
from stock_rnn.training.fit import compiled, fit_epochs
from stock_rnn.training.train import train

pytestmark = pytest.mark.pictures

PRICES = np.exp(np.random.default_rng(0).normal(scale=0.05, size=60).cumsum())


class Board:
    """Keeps which pictures it was given."""

    def __init__(self):
        self.steps = []

    def add_picture(self, tag, step, draw):
        assert tag == "gradient_flow"
        assert draw().axes[0].get_title(loc="left") == f"run, after epoch {step}"
        self.steps.append(step)


class Logs(keras.callbacks.Callback):
    """Keeps what the callbacks before it have left."""

    def on_epoch_end(self, epoch, logs=None):
        self.last = dict(logs)


def test_a_training_ends_in_the_same_bits_with_and_without():
    data = StockDataSet(PRICES, num_steps=2)
    config = Config(
        num_steps=2, lstm_size=3, max_epoch=3, batch_size=16, keep_prob=0.5, norm="batch"
    )
    weights, board, logs = {}, Board(), Logs()
    for measured in (False, True):
        model, trainer = compiled(config, data)
        callbacks = [Gradients(data, board, every=2, title="run")] if measured else []
        fit_epochs(trainer, config, [*callbacks, logs])
        weights[measured] = model.get_weights()
    for a, b in zip(*weights.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert board.steps == [2]
    flow = GradientProbe(model, *data.curvature_sample(EXAMPLES)).measure()
    found = logs.last
    for name, norm in flow.norms.items():
        assert found[f"gradient_norm_{name}"] == pytest.approx(norm, rel=1e-6)
    for name, states in flow.states.items():
        assert found[f"gradient_flow_{name}"] == pytest.approx(states[0] / states[-1], rel=1e-6)


def test_a_run_of_tensor_trains_has_it_in_its_history_its_charts_and_a_picture(tmp_path):
    config = Config(
        period="1y", cell="tt-lstm", lstm_size=4, norm="layer", forget_bias=3.0, num_steps=2,
        max_epoch=2, hessian_every=0, gradient_every=2,
    )  # fmt: skip
    run = train(config, models_dir=tmp_path / "models", logs_dir=tmp_path / "logs")
    assert "tt-lstm4x1" in run.name
    history = pd.read_csv(run.history)
    events = EventAccumulator(str(run.logs / "train"), {"tensors": 0}).Reload()
    layers = ["layer_1", "norm_1", "head"]
    names = [f"gradient_norm_{name}" for name in layers]
    names.append("gradient_flow_layer_1")
    for name in names:
        assert (history[name] > 0).all()
        assert len(events.Tensors(f"epoch_{name}")) == 2
        assert events.SummaryMetadata(f"epoch_{name}").summary_description
    assert [event.step for event in events.Tensors("gradient_flow")] == [2]
    lines, files = describe_gradient_flow(load_run(run.folder))
    assert any("by the forget gates" in line for line in lines)
    assert [path.name for path in files] == ["gradient_flow.csv", "gradient_flow.png"]
    table = pd.read_csv(run.folder / "gradient_flow.csv")
    assert list(table["t"]) == [1, 2]
    flow = table["trained_h_layer_1"]
    written = history["gradient_flow_layer_1"].iloc[-1]
    assert flow[0] / flow[1] == pytest.approx(written, rel=1e-4)
    assert (table["initial_h_layer_1"] != flow).any()
    assert (run.folder / "gradient_flow.png").stat().st_size > 10_000
