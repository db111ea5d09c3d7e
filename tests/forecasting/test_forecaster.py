import dataclasses
import shutil

import keras
import numpy as np
import pytest

import stock_rnn
from stock_rnn.data import dataset_of, prices_of
from stock_rnn.errors import UserError


def test_predict_equals_the_network_applied_by_hand(small_run, small_config):
    prices = prices_of(small_config).close
    forecaster = stock_rnn.load_run("small", models_dir=small_run.models_dir)
    tomorrow = forecaster.predict(prices)
    # By hand: the last three relative changes through the network, times the last price.
    changes = prices[-3:] / prices[-4:-1] - 1
    predicted = float(forecaster.model(changes[None, :, None].astype(np.float32))[0, 0])
    np.testing.assert_allclose(tomorrow, [(1 + predicted) * prices[-1]], rtol=1e-6)
    np.testing.assert_array_equal(tomorrow, forecaster.predict(prices[-4:]))


def test_predict_agrees_with_the_data_set(small_run, small_config):
    prices = prices_of(small_config)
    data = dataset_of(small_config, prices)
    forecaster = stock_rnn.load_run(small_run.folder)
    predicted = forecaster.predict_examples(data, data.test)
    last = data.test[-1:]
    expected = data.to_prices(predicted[-1:], last)[0]
    np.testing.assert_allclose(forecaster.predict(prices.close[:-1]), expected, rtol=1e-6)


def test_predict_takes_prices_as_they_are_loaded(small_run, small_config):
    prices = prices_of(small_config)
    forecaster = stock_rnn.load_run(small_run.folder)
    np.testing.assert_array_equal(forecaster.predict(prices), forecaster.predict(prices.close))
    both = dataclasses.replace(small_config, open_and_close=True)
    prices = prices_of(both)
    reads_both = dataclasses.replace(forecaster, config=both)
    by_hand = forecaster.predict(np.stack([prices.open, prices.close], axis=1).ravel())
    np.testing.assert_array_equal(reads_both.predict(prices), by_hand)
    with pytest.raises(UserError, match="needs opening prices"):
        reads_both.predict(prices_of(small_config))


@pytest.mark.parametrize(
    "prices", [np.ones(3), np.ones((4, 1)), np.array([1, 2, 3, np.nan]), np.array([1, 2, 0, 4])]
)
def test_bad_prices_are_refused(small_run, prices):
    with pytest.raises(UserError, match="predict needs"):
        stock_rnn.load_run(small_run.folder).predict(prices)


@pytest.fixture
def copied_run(small_run, tmp_path):
    """A copy of the run, for tests that change it: its folder."""
    shutil.copytree(small_run.folder, tmp_path / "m" / "small")
    return tmp_path / "m" / "small"


def test_last_and_best_are_the_models_of_their_files(copied_run):
    changed = keras.saving.load_model(copied_run / "best.keras")
    changed.set_weights([weight + 1 for weight in changed.get_weights()])
    changed.save(copied_run / "best.keras")
    windows = np.linspace(-0.1, 0.1, 6).reshape(2, 3, 1)
    for which, name in (("last", "model.keras"), ("best", "best.keras")):
        expected = keras.saving.load_model(copied_run / name)(windows)
        found = stock_rnn.load_run(copied_run, which=which).predict_windows(windows)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(UserError, match="one of last, best"):
        stock_rnn.load_run(copied_run, which="first")


def test_a_model_with_code_is_refused(copied_run):
    inputs = keras.Input((3, 1))
    outputs = keras.layers.Lambda(lambda x: x[:, -1])(inputs)
    keras.Model(inputs, outputs).save(copied_run / "model.keras")
    with pytest.raises(UserError, match="cannot be loaded"):
        stock_rnn.load_run(copied_run)
