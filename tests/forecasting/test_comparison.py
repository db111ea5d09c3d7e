"""Measures by hand, by pandas and statsmodels; the sentence says what the numbers say."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from stock_rnn.cli.evaluate import comparison_table
from stock_rnn.data import StockDataSet
from stock_rnn.forecasting.accuracy import MAX_SHIFT, Scale, accuracy, wilson
from stock_rnn.forecasting.baselines import fit_baselines
from stock_rnn.forecasting.comparison import MODEL, compare


def walk(count, seed=0):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))


def weekdays(count):
    return pd.bdate_range("2020-01-01", periods=count).to_numpy()


def compared(data, model, examples=None):
    """The model's predictions, given for `examples`, beside the baselines."""
    examples = data.test if examples is None else examples
    predictions = {
        name: each.predict_examples(data, examples) for name, each in fit_baselines(data).items()
    }
    scale = Scale.of_training(data)
    return compare("test", data, examples, {MODEL: model, **predictions}, scale)


@pytest.mark.parametrize("normalized", [True, False])
def test_errors_by_hand(normalized):
    # Two training examples, then two test examples, of one step.
    prices = np.array([100.0, 110.0, 99.0, 100.0, 80.0])
    data = StockDataSet(prices, num_steps=1, test_ratio=0.5, normalized=normalized)
    assert (data.train.tolist(), data.test.tolist()) == ([0, 1], [2, 3])
    predicted = np.array([[103.0], [90.0]])
    units = predicted / [[99.0], [100.0]] - 1 if normalized else predicted
    found = accuracy(data, data.test, units, Scale.of_training(data))
    # The prices were 100 and 80, and 99 and 100 the day before.
    assert found.rmse_price == pytest.approx(math.sqrt((3**2 + 10**2) / 2))
    assert found.mape == pytest.approx(100 * (3 / 100 + 10 / 80) / 2)
    # The training's changes are +10 % and -10 %.
    assert found.mase == pytest.approx((3 / 99 + 10 / 100) / 2 / 0.1)
    assert found.rmsse == pytest.approx(math.sqrt(((3 / 99) ** 2 + 0.1**2) / 2) / 0.1)
    assert found.mae == pytest.approx((3 / 99 + 0.1) / 2 if normalized else 13 / 2)
    np.testing.assert_allclose(found.losses, found_losses(normalized))
    assert found.score.mse == pytest.approx(found.losses.mean())
    # 103 after 99 is the rise that came; 90 after 100 the fall.
    assert (found.direction.hits, found.direction.count) == (2, 2)


def found_losses(normalized):
    return [(3 / 99) ** 2, 0.01] if normalized else [9.0, 100.0]


def test_persistence_in_the_training_has_mase_and_rmsse_one():
    data = StockDataSet(walk(100), num_steps=2)
    found = accuracy(data, data.train, data.persistence(data.train), Scale.of_training(data))
    assert (found.mase, found.rmsse) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (found.score.skill, found.score.interval) == (0.0, (0.0, 0.0))
    assert found.direction.count == 0
    assert math.isnan(found.direction.share)


def test_wilson_s_interval_is_that_of_statsmodels():
    for hits, count in ((0, 5), (7, 20), (66, 126), (5, 5)):
        low, high = proportion_confint(hits, count, method="wilson")
        assert wilson(hits, count).interval == pytest.approx((low, high), abs=1e-9)


def test_the_direction_is_that_of_the_last_price_of_a_window():
    prices = np.array([10.0, 10, 9, 11, 12, 10, 10, 10, 11, 9, 8, 12])
    data = StockDataSet(prices, input_size=2, num_steps=1)
    examples = np.arange(len(data))
    # From 10 to 11, from 11 to 10, from 10 to 10, from 10 to 9, from 9 to 12.
    predicted = np.array([[0, 0.1], [9, 0.1], [0, 0.1], [0, -0.1], [0, 0.0]])
    found = accuracy(data, examples, predicted, Scale.of_training(data)).direction
    # A day without a change, and a forecast of none, have no direction.
    assert (found.hits, found.count) == (2, 3)


def test_shift_correlations_are_those_of_pandas():
    data = StockDataSet(walk(200), weekdays(200), num_steps=10)
    rng = np.random.default_rng(5)
    predicted = rng.normal(0, 0.01, (len(data.test), 1))
    found = accuracy(data, data.test, predicted, Scale.of_training(data)).shift
    prices = pd.Series(walk(200))
    as_prices = pd.Series(data.to_prices(predicted, data.test)[:, 0], index=data.test + 10)
    expected = [as_prices.corr(prices.shift(k)) for k in range(MAX_SHIFT + 1)]
    np.testing.assert_allclose(found.correlations, expected)
    assert found.best == int(np.argmax(expected))


@pytest.mark.parametrize(
    ("shift", "said"),
    [(0, "the day's own price"), (1, "yesterday's price"), (3, "the price 3 days before")],
)
def test_a_shifted_line_is_found_out(shift, said):
    prices = walk(200)
    data = StockDataSet(prices, weekdays(200), num_steps=5)
    past = prices[data.test + 5 - shift]
    predicted = (past / data.label_bases(data.test) - 1)[:, None]
    found = compared(data, predicted)
    assert found.accuracies[MODEL].shift.best == shift
    assert found.accuracies[MODEL].shift.correlations[shift] == pytest.approx(1)
    assert f"follow {said} most closely (correlation 1.0000" in found.shift


@pytest.mark.parametrize("dates", [np.repeat(weekdays(100), 2), weekdays(1000)[::5]])
def test_of_opens_and_closes_and_of_weeks_no_price_is_called_yesterday_s(dates):
    data = StockDataSet(walk(200), dates, num_steps=4)
    assert (
        "follow the price before most closely ("
        in compared(data, data.persistence(data.test)).shift
    )


def test_a_model_that_knows_more_beats_the_best_baseline():
    prices = walk(600)
    data = StockDataSet(prices, num_steps=3, test_ratio=0.5)
    found = compared(data, 0.5 * data.labels(data.test))
    assert found.sentence.startswith(
        f"test: the model beats the best baseline, {found.best}, at 5 % (MSE -7"
    )
    assert found.sentence.endswith("p < 0.001)")
    # Half of each change is left as the error.
    assert found.accuracies[MODEL].score.skill == pytest.approx(0.75)
    assert found.accuracies[MODEL].direction.share == 1


def test_a_worse_model_is_called_worse_and_an_equal_one_is_not():
    data = StockDataSet(walk(400), num_steps=3, test_ratio=0.5)
    noise = np.random.default_rng(1).normal(0, 0.03, (len(data.test), 1))
    assert "does not beat" in compared(data, noise).sentence
    assert ", and is worse (MSE +" in compared(data, noise).sentence
    equal = compared(data, data.persistence(data.test) + 1e-5 * noise)
    assert "does not beat" in equal.sentence
    assert "worse" not in equal.sentence


def test_the_correction_counts_all_baselines():
    data = StockDataSet(walk(400), num_steps=3, test_ratio=0.5)
    noise = np.random.default_rng(2).normal(0, 0.004, (len(data.test), 1))
    found = compared(data, noise)
    assert found.adjusted[found.best] >= found.tests[found.best].p_value
    smallest = min(found.tests, key=lambda name: found.tests[name].p_value)
    assert found.adjusted[smallest] == pytest.approx(min(1, 5 * found.tests[smallest].p_value))


@pytest.mark.parametrize(
    ("prices", "factor", "said"),
    [
        (np.full(60, 5.0), 0.0, "persistence makes no error"),
        (walk(60), np.inf, "the forecast is not finite"),
        (walk(60), 0.5, "no test against the best baseline"),
    ],
)
def test_what_cannot_be_compared_is_said_and_is_strict_json(prices, factor, said):
    data = StockDataSet(prices, num_steps=2)
    found = compared(data, np.full((len(data.test), 1), factor))
    assert said in found.sentence
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(comparison_table(found).splitlines()) == 9


def test_json_and_csv_have_the_same_numbers(tmp_path):
    data = StockDataSet(walk(300), num_steps=3)
    found = compared(data, 0.3 * data.labels(data.test))
    content = json.loads(json.dumps(found.to_dict()))
    found.to_frame().to_csv(tmp_path / "a.csv", index=False)
    table = pd.read_csv(tmp_path / "a.csv").set_index("forecast")
    assert list(table.index) == list(content["forecasts"]) == [MODEL, *fit_baselines(data)]
    drift = content["forecasts"]["drift"]
    assert table.loc["drift", "mse"] == pytest.approx(drift["mse"])
    assert table.loc["drift", "skill_interval_low"] == pytest.approx(drift["skill_interval"][0])
    p_value = drift["diebold_mariano"]["p_value_holm"]
    assert table.loc["drift", "diebold_mariano_p_value_holm"] == pytest.approx(p_value)


def test_the_table_fits_into_a_hundred_columns():
    data = StockDataSet(12345.678 * walk(400), num_steps=3)
    noise = np.random.default_rng(1).normal(0, 0.02, (len(data.test), 1))
    lines = comparison_table(compared(data, noise)).splitlines()
    assert len(lines) == 3 + 6
    assert max(map(len, lines)) <= 100
