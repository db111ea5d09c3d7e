"""The baselines agree with statsmodels and closed forms, and see nothing of the future."""

import numpy as np
import pytest
from statsmodels.tsa.ar_model import AutoReg, ar_select_order
from statsmodels.tsa.holtwinters import SimpleExpSmoothing

from stock_rnn.data import StockDataSet
from stock_rnn.forecasting.baselines import (
    Autoregression,
    Drift,
    ExponentialSmoothing,
    MovingMean,
    fit_baselines,
)


def autoregressive_prices(count, seed=0):
    """Prices whose log changes follow an autoregression of two lags."""
    rng, changes = np.random.default_rng(seed), np.zeros(count)
    for t in range(2, count):
        changes[t] = 0.0005 + 0.4 * changes[t - 1] - 0.3 * changes[t - 2] + 0.01 * rng.normal()
    return 100 * np.exp(np.cumsum(changes))


def noisy_prices(count, seed=0):
    """A slow level below noise, for which smoothing with α near 0.2 is best."""
    rng = np.random.default_rng(seed)
    return 100 * np.exp(np.cumsum(rng.normal(0, 0.005, count)) + rng.normal(0, 0.02, count))


def training_part(data, prices):
    """The log prices up to the last one that a training example predicts."""
    return np.log(prices[: (data.train[-1] + 1 + data.num_steps) * data.input_size])


def test_drift_is_the_mean_change_of_the_training_labels():
    prices = autoregressive_prices(300)
    data = StockDataSet(prices, input_size=2, num_steps=3)
    known = training_part(data, prices)
    # The changes of the labels telescope: the labels begin at price 6.
    change = (known[-1] - known[5]) / (len(known) - 6)
    assert Drift.fit(data).change == pytest.approx(change, rel=1e-9)
    predicted = data.to_prices(Drift(change).predict_examples(data, data.test), data.test)
    last = data.label_bases(data.test)
    expected = np.stack([last * np.exp(change), last * np.exp(2 * change)], axis=1)
    np.testing.assert_allclose(predicted, expected, rtol=1e-9)


@pytest.mark.parametrize("normalized", [True, False])
def test_the_moving_mean_is_the_geometric_mean_of_what_the_network_reads(normalized):
    prices = autoregressive_prices(60)
    data = StockDataSet(prices, input_size=2, num_steps=3, normalized=normalized)
    predicted = data.to_prices(MovingMean().predict_examples(data, data.test), data.test)
    for example, row in zip(data.test, predicted, strict=True):
        read = prices[2 * example : 2 * example + 6]
        np.testing.assert_allclose(row, np.prod(read) ** (1 / 6), rtol=1e-9)


def test_the_autoregression_is_that_of_statsmodels():
    prices = autoregressive_prices(800)
    data = StockDataSet(prices, num_steps=6)
    changes = np.diff(training_part(data, prices), prepend=np.log(prices[0]))
    found = Autoregression.fit(data)
    chosen = ar_select_order(changes, 6, ic="bic")
    assert len(found.coefficients) == len(chosen.ar_lags) == 2
    # Both fit the changes from the seventh price on, which the first example predicts.
    expected = AutoReg(changes, 2, hold_back=6).fit()
    np.testing.assert_allclose([found.constant, *found.coefficients], expected.params, rtol=1e-8)


def test_the_number_of_lags_is_that_of_the_lowest_bic():
    for seed in range(15):
        prices = noisy_prices(120, seed)
        data = StockDataSet(prices, num_steps=6)
        changes = np.diff(training_part(data, prices), prepend=np.log(prices[0]))
        chosen = ar_select_order(changes, 6, ic="bic").ar_lags or [1]
        assert len(Autoregression.fit(data).coefficients) == len(chosen)


def test_the_autoregression_goes_on_several_steps_as_statsmodels_does():
    prices = autoregressive_prices(400)
    data = StockDataSet(prices, input_size=4, num_steps=3)
    changes = np.diff(np.log(prices[: len(data.windows) * 4]), prepend=np.log(prices[0]))
    found = Autoregression.fit(data)
    example = data.test[-1:]
    start = (example[0] + 3) * 4
    model = AutoReg(changes[:start], len(found.coefficients))
    ahead = model.predict([found.constant, *found.coefficients], start=start, end=start + 3)
    expected = prices[start - 1] * np.exp(np.cumsum(ahead))
    predicted = data.to_prices(found.predict_examples(data, example), example)[0]
    np.testing.assert_allclose(predicted, expected, rtol=1e-9)


def test_exponential_smoothing_is_that_of_statsmodels():
    prices = noisy_prices(600)
    data = StockDataSet(prices, num_steps=1)
    known = training_part(data, prices)
    options = {"initialization_method": "known", "initial_level": known[0]}
    expected = SimpleExpSmoothing(known, **options).fit()
    found = ExponentialSmoothing.fit(data)
    assert 0.1 < found.alpha < 0.5
    assert found.alpha == pytest.approx(expected.params["smoothing_level"], abs=1e-4)
    smoothed = SimpleExpSmoothing(np.log(prices), **options)
    level = smoothed.fit(smoothing_level=found.alpha, optimized=False).fittedvalues
    predicted = data.to_prices(found.predict_examples(data, data.test), data.test)
    np.testing.assert_allclose(predicted[:, 0], np.exp(level[data.test + 1]), rtol=1e-9)


def test_smoothing_that_forgets_at_once_is_persistence():
    data = StockDataSet(noisy_prices(100), input_size=3, num_steps=2)
    predicted = ExponentialSmoothing(1.0).predict_examples(data, data.test)
    np.testing.assert_allclose(predicted, data.persistence(data.test), atol=1e-12)


@pytest.mark.parametrize("split", ["chronological", "random"])
@pytest.mark.parametrize("normalized", [True, False])
def test_nothing_is_fitted_on_what_no_training_example_predicts(split, normalized):
    prices = noisy_prices(200)
    options = {"num_steps": 2, "split": split, "seed": 3, "normalized": normalized}
    if split == "random":
        options["train_ratio"] = 0.1
    data = StockDataSet(prices, **options)
    before = fit_baselines(data)
    changed = prices.copy()
    # What follows the training: its last label is price last + T.
    changed[data.train[-1] + 3 :] *= 1.5
    assert (changed != prices).any()
    after = fit_baselines(StockDataSet(changed, **options))
    for name, each in before.items():
        assert str(each) == str(after[name]), name


@pytest.mark.parametrize("input_size", [1, 3])
@pytest.mark.parametrize("normalized", [True, False])
def test_no_forecast_reads_its_label_or_what_follows(input_size, normalized):
    prices = noisy_prices(150)
    options = {"input_size": input_size, "num_steps": 2, "normalized": normalized}
    data = StockDataSet(prices, **options)
    everything = np.arange(len(data))
    baselines = fit_baselines(data)
    for cut in (60, 90, 120):
        changed = prices.copy()
        changed[cut:] *= 1.7
        other = StockDataSet(changed, **options)
        known = everything[(everything + 2) * input_size <= cut]
        for name, each in baselines.items():
            one, two = (each.predict_examples(d, known) for d in (data, other))
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12, err_msg=name)
            # And it reads what comes before: the changed prices show in later forecasts.
            later = each.predict_examples(other, everything[-1:])
            assert (other.to_prices(later, everything[-1:]) > 1.2 * prices[cut:].min()).all()


def test_a_random_split_fits_the_drawn_examples_alone():
    prices = noisy_prices(200)
    data = StockDataSet(prices, num_steps=3, split="random", train_ratio=0.3, seed=1)
    changes = np.diff(np.log(prices), prepend=np.log(prices[0]))
    drawn = data.train + 3
    assert Drift.fit(data).change == pytest.approx(changes[drawn].mean())
    found = Autoregression.fit(data)
    p = len(found.coefficients)
    design = np.column_stack([np.ones(len(drawn)), *(changes[drawn - k] for k in range(1, p + 1))])
    expected = np.linalg.solve(design.T @ design, design.T @ changes[drawn])
    np.testing.assert_allclose([found.constant, *found.coefficients], expected, rtol=1e-6)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "prices",
    [np.full(30, 5.0), np.tile([1.0, 2.0], 15), np.array([3.0, 1.0, 2.0]), 2.0 ** np.arange(40)],
)
def test_odd_prices_have_finite_forecasts(prices):
    data = StockDataSet(prices, num_steps=1, test_ratio=0.5)
    for name, each in fit_baselines(data).items():
        predicted = each.predict_examples(data, data.test)
        assert predicted.shape == (len(data.test), 1), name
        assert np.isfinite(predicted).all(), name
    if len(prices) == 40:
        # Doubling each day is foreseen by the drift and the autoregression.
        for model in (Drift.fit(data), Autoregression.fit(data)):
            np.testing.assert_allclose(model.predict_examples(data, data.test), 1.0, rtol=1e-6)
