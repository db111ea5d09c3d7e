"""Intervals around a run's own test forecasts: from the test errors before each."""

import dataclasses

import numpy as np
import pytest

import stock_rnn
from stock_rnn.data import dataset_of
from stock_rnn.errors import UserError
from stock_rnn.forecasting.interval_evaluation import evaluate_intervals, relative_errors
from stock_rnn.forecasting.intervals import Intervals, conformal_quantile
from stock_rnn.training import runs


@pytest.fixture(scope="module")
def model(small_run):
    return stock_rnn.load_run(small_run.folder)


def test_errors_are_shares_of_the_last_known_price():
    prices = np.array([100.0, 110.0, 99.0, 100.0, 80.0])
    data = stock_rnn.StockDataSet(prices, num_steps=1, test_ratio=0.5)
    forecast = np.array([[103.0], [90.0]]) / [[99.0], [100.0]] - 1
    np.testing.assert_allclose(relative_errors(data, data.test, forecast), [[3 / 99], [0.1]])


def test_each_interval_comes_from_the_errors_before(model):
    kind = Intervals(coverage=0.7)
    data = dataset_of(model.config, runs.read_prices(model.run))
    changes = np.abs(data.labels(data.test)).ravel()
    half = len(changes) // 2
    covered = [
        changes[at] <= conformal_quantile(np.sort(changes[:at]), 0.7)
        for at in range(half, len(changes))
    ]
    # Persistence's errors are the changes.
    found = evaluate_intervals(model, kind)["persistence"]
    assert found.coverage == pytest.approx(np.mean(covered))
    assert found.count == len(covered)


@pytest.mark.parametrize("method", ["conformal", "adaptive", "dropout"])
def test_the_model_stands_beside_baselines_that_have_intervals(model, method):
    found = evaluate_intervals(model, Intervals(method=method, coverage=0.7))
    names = {"model", "persistence", "drift", "moving mean", "AR", "smoothing"}
    assert set(found) == ({"model"} if method == "dropout" else names)
    assert found["model"].width > 0


def test_a_run_without_dropout_has_no_dropout_intervals(model):
    without = dataclasses.replace(
        model, config=dataclasses.replace(model.config, optimizer="newton")
    )
    with pytest.raises(UserError, match=r"has no dropout for --intervals dropout"):
        evaluate_intervals(without, Intervals(method="dropout"))
