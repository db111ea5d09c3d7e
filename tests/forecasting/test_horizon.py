"""Predictions of the next days are the model's own, step by step, with measured intervals."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy.stats import norm

import stock_rnn
from stock_rnn.config import Config
from stock_rnn.data import StockDataSet, dataset_of, prices_of
from stock_rnn.errors import UserError
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.forecasting.horizon import (
    errors_ahead,
    interval_reach,
    predict_ahead,
    predict_next,
)


class Network:
    """A network whose outputs are `scale` times the mean of its inputs, plus `shift`."""

    def __init__(self, scale=0.5, shift=0.0):
        self.scale, self.shift = scale, shift

    def predict_on_batch(self, windows):
        return self.scale * windows.mean(axis=1) + self.shift


def forecaster(run=None, scale=0.5, shift=0.0, **settings):
    config = Config(period="1y", **{"num_steps": 3, **settings})
    return Forecaster(run, config, Network(scale, shift))


def walk(count, seed=0):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_later_windows_are_predicted_as_if_the_earlier_had_come_true(size, normalized):
    model, prices = forecaster(input_size=size, normalized=normalized), list(walk(40))
    inputs, last = model.newest_windows(prices)
    found = predict_ahead(model, inputs, np.array([last]), 7)
    assert found.shape == (1, 7)
    for _ in range(7):
        prices += list(model.predict(prices))
    np.testing.assert_allclose(found[0], prices[40:47], rtol=1e-5)


def test_the_network_of_a_run_goes_on_in_the_same_way(small_run, small_config):
    model, prices = stock_rnn.load_run(small_run.folder), prices_of(small_config)
    table = predict_next(model, prices, horizon=4).table
    closes = list(prices.close)
    for _ in range(4):
        closes += list(model.predict(closes))
    np.testing.assert_allclose(table.predicted, closes[-4:], rtol=1e-6)
    assert (table.persistence == prices.close[-1]).all()


@pytest.mark.parametrize("normalized", [True, False])
def test_errors_are_those_of_predictions_made_at_each_test_example(normalized):
    prices = walk(61)
    data = StockDataSet(prices, input_size=2, num_steps=3, normalized=normalized, test_ratio=0.3)
    model = forecaster(input_size=2, normalized=normalized)
    found = errors_ahead(model, data, data.test, 5)
    assert found.shape == (len(data.test), 5)
    for example, row in zip(data.test, found, strict=True):
        known = list(prices[: 2 * (example + 3)])
        start = len(known)
        for _ in range(3):
            known += list(model.predict(known))
        # The last price fills no window.
        actual = prices[start : min(start + 5, 60)]
        expected = np.abs(np.log(actual / known[start : start + len(actual)]))
        np.testing.assert_allclose(row[: len(actual)], expected, rtol=1e-4, atol=1e-7)
        assert np.isnan(row[len(actual) :]).all()


def test_a_prediction_that_is_no_price_has_an_infinite_error():
    data = StockDataSet(walk(40), num_steps=3, test_ratio=0.5)
    assert np.isinf(errors_ahead(forecaster(shift=-2.0), data, data.test, 1)).all()


@pytest.mark.parametrize(("count", "coverage"), [(9, 0.9), (19, 0.9), (126, 0.9), (30, 0.5)])
def test_the_reach_is_the_conformal_quantile(count, coverage):
    errors = np.random.default_rng(0).exponential(size=(count, 1))
    rank = math.ceil(round((count + 1) * coverage, 6))
    reach, counts = interval_reach(errors, coverage)
    assert reach[0] == sorted(errors[:, 0])[rank - 1]
    assert counts[0] == count


def test_too_few_errors_have_no_interval():
    errors = np.tile(np.arange(1.0, 10.0)[:, None], (1, 3))
    errors[8, 1] = np.nan
    reach, counts = interval_reach(errors, 0.9)
    # Nine errors are just enough for 90 %; after a step without there is none.
    assert reach[0] == 9
    assert np.isnan(reach[1:]).all()
    assert counts.tolist() == [9, 8, 9]


def test_an_interval_is_not_narrower_than_that_of_the_step_before():
    errors = np.tile([[1.0, 3.0, 2.0]], (20, 1))
    assert interval_reach(errors, 0.9)[0].tolist() == [1, 3, 3]


def test_infinite_errors_count_and_have_no_interval():
    errors = np.ones((20, 1))
    errors[:5] = np.inf
    assert np.isnan(interval_reach(errors, 0.9)[0]).all()
    assert interval_reach(errors, 0.7)[0].tolist() == [1.0]


def test_exchangeable_errors_are_covered_as_often_as_promised():
    rng, hits = np.random.default_rng(1), 0
    for _ in range(4000):
        errors = np.abs(rng.normal(size=40))
        hits += errors[-1] <= interval_reach(errors[:-1, None], 0.8)[0][0]
    # ⌈40 · 0.8⌉ / 40; two standard errors are 0.013.
    assert hits / 4000 == pytest.approx(0.8, abs=0.02)


def test_the_table_of_the_next_days(small_run, small_config):
    model, prices = stock_rnn.load_run(small_run.folder), prices_of(small_config)
    found = predict_next(model, prices, horizon=5, coverage=0.8)
    table = found.table
    assert table.date.astype(str).tolist() == [f"2019-01-0{day}" for day in (2, 3, 4, 7, 8)]
    assert table.step.tolist() == [1, 2, 3, 4, 5]
    data = dataset_of(model.config, prices)
    # One test example less can be measured at each step.
    assert table.measured.tolist() == [len(data.test) - step for step in range(5)]
    errors = errors_ahead(model, data, data.test, 5)
    for step in range(5):
        known = np.sort(errors[: len(data.test) - step, step])
        low = table.predicted[step] * np.exp(-known[math.ceil(0.8 * (len(known) + 1)) - 1])
        assert table.low[step] <= low * (1 + 1e-9)
    widths = np.log(table.high / table.low)
    assert (np.diff(widths) >= 0).all()
    assert widths[4] > 1.3 * widths[0]
    assert found.verdict == stock_rnn.evaluate(model).scores["test"].verdict("test")
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["predicted"] for row in content["predictions"]] == table.predicted.tolist()


def test_without_a_horizon_the_next_window_is_predicted(small_run, small_config):
    prices = prices_of(dataclasses.replace(small_config, open_and_close=True))
    run = small_run
    assert len(predict_next(forecaster(run, input_size=3), prices).table) == 3
    both = predict_next(forecaster(run, input_size=3, num_steps=2), prices, horizon=None)
    assert both.table.kind.tolist() == ["close"] * 3


def test_too_few_test_examples_have_no_intervals_and_say_so(small_run, small_config):
    model, prices = stock_rnn.load_run(small_run.folder), prices_of(small_config)
    found = predict_next(model, prices, horizon=40)
    measured = found.table.measured >= 9
    assert found.table.low.notna().tolist() == measured.tolist()
    assert not measured.all()
    assert f"too few for the last {(~measured).sum()}" in found.intervals
    none = predict_next(model, prices, coverage=0.999)
    assert none.table.low.isna().all()
    assert none.intervals.startswith("no intervals: 25 test examples are too few for 99.9 %")


def test_intervals_of_another_symbol_say_whose_errors_they_are(small_run, small_config):
    model = stock_rnn.load_run(small_run.folder)
    other = stock_rnn.load_prices("^IXIC", source="bundled", period="1y")
    assert "of ^GSPC, not ^IXIC" in predict_next(model, other).intervals
    assert "not" not in predict_next(model, prices_of(small_config)).intervals


def test_the_prices_that_are_followed_do_not_change_the_intervals(small_run, small_config):
    model, prices = stock_rnn.load_run(small_run.folder), prices_of(small_config)
    wild = dataclasses.replace(prices, close=prices.close * walk(len(prices), seed=3))
    one, two = (predict_next(model, p, horizon=3).table for p in (prices, wild))
    np.testing.assert_allclose(one.high / one.predicted, two.high / two.predicted, rtol=1e-9)
    assert not np.allclose(one.predicted, two.predicted)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"horizon": 0}, "--horizon must be 1 to 1000"),
        ({"horizon": 1001}, "--horizon must be 1 to 1000"),
        ({"coverage": 1.0}, "--coverage must be"),
        ({"coverage": math.nan}, "--coverage must be"),
        ({"calendar": "none"}, "--calendar must be"),
    ],
)
def test_what_is_out_of_range_is_refused(options, named, small_run, small_config):
    model = stock_rnn.load_run(small_run.folder)
    with pytest.raises(UserError, match=named):
        predict_next(model, prices_of(small_config), **options)


def test_too_few_prices_and_negative_predictions_are_refused(small_run, small_config):
    prices = prices_of(small_config)
    few = dataclasses.replace(prices, dates=prices.dates[-3:], close=prices.close[-3:])
    with pytest.raises(UserError, match="3 prices are too few: the model reads 4"):
        predict_next(stock_rnn.load_run(small_run.folder), few)
    with pytest.raises(UserError, match="not positive and finite, at step 1"):
        predict_next(forecaster(small_run, shift=-2.0), prices)


def test_adaptive_intervals_are_those_after_the_test_examples(small_run, small_config):
    model, prices = stock_rnn.load_run(small_run.folder), prices_of(small_config)
    found = predict_next(model, prices, horizon=2, coverage=0.6, intervals="adaptive", step=0.2)
    data = dataset_of(model.config, prices)
    errors = errors_ahead(model, data, data.test, 2)
    assert found.intervals.startswith("adaptive intervals (step 0.2) from the errors on the ")
    reach = []
    for column in errors.T:
        known = column[~np.isnan(column)].tolist()
        alpha = 0.4
        for at in range(len(known) // 2, len(known)):
            before = sorted(known[:at])
            rank = math.ceil((1 - alpha) * (at + 1) - 1e-9)
            alpha += 0.2 * (0.4 - (rank <= at and known[at] > before[rank - 1]))
        rank = math.ceil((1 - alpha) * (len(known) + 1) - 1e-9)
        reach.append(sorted(known)[rank - 1])
    # Other than the conformal ones here.
    assert reach[0] != interval_reach(errors, 0.6)[0][0]
    expected = found.table.predicted * np.exp(np.maximum.accumulate(reach))
    np.testing.assert_allclose(found.table.high, expected)


def test_dropout_intervals_have_the_spread_of_many_passes_and_the_test_errors(
    small_run, small_config
):
    model, prices = stock_rnn.load_run(small_run.folder), prices_of(small_config)
    found = [
        predict_next(model, prices, horizon=2, coverage=0.9, intervals="dropout") for _ in range(2)
    ]
    assert found[0].table.high.tolist() == found[1].table.high.tolist()
    assert found[0].intervals.startswith("intervals from 100 passes with dropout on and from ")
    data = dataset_of(model.config, prices)
    noise = np.mean(errors_ahead(model, data, data.test, 1) ** 2)
    inputs, _ = model.newest_windows(prices)
    many = np.repeat(inputs.astype(np.float32), 20_000, axis=0)
    passes = np.log(1 + model.model(many, training=True).numpy().astype(np.float64))
    reach = np.log(found[0].table.high / found[0].table.predicted)
    spread = np.sqrt((reach[0] / norm.ppf(0.95)) ** 2 - noise)
    assert spread == pytest.approx(passes.std(), rel=0.3)
    assert reach[1] > reach[0]


def test_a_run_without_dropout_has_no_dropout_intervals(small_run, small_config):
    model = stock_rnn.load_run(small_run.folder)
    model = dataclasses.replace(model, config=dataclasses.replace(model.config, keep_prob=1.0))
    with pytest.raises(UserError, match=r"small has no dropout for --intervals dropout"):
        predict_next(model, prices_of(small_config), intervals="dropout")
