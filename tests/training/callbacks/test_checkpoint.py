import keras
import numpy as np
import pytest

from stock_rnn.training.callbacks import Checkpoint, EarlyStopping
from stock_rnn.training.callbacks import checkpoint as module


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


class Clock:
    """In place of the module `time`."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(module, "time", Clock())
    return module.time


def saved_epoch(path):
    with np.load(path) as arrays:
        return int(arrays["epoch"])


def test_an_epoch_is_saved_a_second_after_the_last_or_at_the_end(model, clock, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.npz")
    checkpoint.set_model(model)
    found = []
    for epoch in range(6):
        clock.now += 0.4
        checkpoint.on_epoch_end(epoch, {"loss": 1.0})
        found.append(saved_epoch(checkpoint.path))
    assert found == [1, 1, 1, 4, 4, 4]
    checkpoint.on_train_end()
    assert saved_epoch(checkpoint.path) == 6


def test_an_epoch_whose_curvature_is_measured_is_saved_in_any_case(model, clock, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.npz", always_every=3)
    checkpoint.set_model(model)
    found = []
    for epoch in range(7):
        checkpoint.on_epoch_end(epoch, {"loss": 1.0})
        found.append(saved_epoch(checkpoint.path))
    assert found == [1, 1, 3, 3, 3, 6, 6]


@pytest.mark.parametrize(("monitor", "best"), [("loss", 3), ("val_loss", 2)])
def test_the_best_epoch_is_that_of_the_lowest_monitored_loss(model, monitor, best, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.npz", monitor=monitor)
    checkpoint.set_model(model)
    weights = []
    for epoch, (loss, val_loss) in enumerate([(3.0, 3.0), (2.0, 1.0), (1.0, 2.0), (1.0, 1.0)]):
        model.set_weights([w + 1 for w in model.get_weights()])
        weights.append(model.get_weights())
        checkpoint.on_epoch_end(epoch, {"loss": loss, "val_loss": val_loss})
    checkpoint.on_train_end()
    restored = Checkpoint(checkpoint.path)
    restored.restore(model)
    assert (restored.epoch, restored.best_epoch) == (4, best)
    np.testing.assert_array_equal(restored.best_weights[0], weights[best - 1][0])


def test_training_stops_when_the_best_epoch_is_too_long_ago(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.npz")
    stopping = EarlyStopping(checkpoint, patience=2)
    for callback in (checkpoint, stopping):
        callback.set_model(model)
    model.stop_training = False
    stopped = []
    for epoch, loss in enumerate([3.0, 2.0, 2.5, 1.9, 1.9, 2.0]):
        for callback in (checkpoint, stopping):
            callback.on_epoch_end(epoch, {"loss": loss})
        stopped.append(model.stop_training)
    assert stopped == [False] * 5 + [True]
    # A training that stopped does not go on when it is resumed.
    checkpoint.on_train_end()
    again = Checkpoint(checkpoint.path)
    again.restore(model)
    stopping = EarlyStopping(again, patience=2)
    stopping.set_model(model)
    model.stop_training = False
    stopping.on_train_begin()
    assert model.stop_training
