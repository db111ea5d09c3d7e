"""Tables by hand from known forecasts; odd prices have defined values."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from stock_rnn.backtest.figures import backtest_figure
from stock_rnn.data import dataset_of
from stock_rnn.forecasting.comparison import MODEL
from stock_rnn.forecasting.intervals import Intervals
from tests.backtest.cases import (
    CONFIG,
    WALK,
    fits_of,
    halfway,
    judged,
    known_fit,
    made_prices,
    walk_prices,
)


def known(prices, model, walk=WALK):
    return [known_fit(CONFIG, fit, prices, model) for fit in fits_of(prices, walk)]


@pytest.fixture(scope="module")
def found():
    prices = walk_prices()
    return judged(prices, known(prices, halfway), intervals=Intervals(coverage=0.5))


def test_skill_and_losses_are_those_of_the_errors(found):
    rows = found.folds[found.folds["forecast"] == MODEL]
    assert rows["skill"].tolist() == pytest.approx([0.75, 0.75])
    assert found.folds_better == (2, 2)
    assert "lower MSE than persistence in 2 of 2 folds" in found.sentences
    assert found.comparison.accuracies[MODEL].score.skill == pytest.approx(0.75)
    data = dataset_of(CONFIG, walk_prices())
    changes = data.labels(np.arange(31, 48)).ravel()
    np.testing.assert_allclose(found.relative_losses[MODEL], 0.75 * changes**2, rtol=1e-6)
    assert found.dates.tolist() == data.label_dates(np.arange(31, 48)).ravel().tolist()


def test_a_row_a_fold_says_what_it_was_trained_on(found):
    rows = found.folds[found.folds["forecast"] == MODEL]
    assert rows["fold"].tolist() == [1, 2]
    assert rows["trained_on"].tolist() == [31, 39]
    assert rows["examples"].tolist() == [8, 9]
    assert rows["start"].tolist() == ["anew", "anew"]
    days = pd.bdate_range("2020-01-01", periods=50)
    assert rows["first"].astype("datetime64[ns]").tolist() == [days[33], days[41]]


def test_a_fold_that_is_not_trained_for_keeps_its_network():
    prices = walk_prices()
    for settings, expected in (
        ({"refit_every": 2}, ["anew", "kept"]),
        ({"warm_start": True}, ["warm", "warm"]),
    ):
        walk = dataclasses.replace(WALK, **settings)
        rows = judged(prices, known(prices, halfway, walk), walk).folds
        assert rows[rows["forecast"] == MODEL]["start"].tolist() == expected


def test_intervals_of_all_forecasts_are_counted(found):
    assert set(found.intervals) == set(found.comparison.accuracies)
    table = found.forecasts
    inside = (table["low"] <= table["actual"]) & (table["actual"] <= table["high"])
    assert found.intervals[MODEL].coverage == pytest.approx(inside.mean())
    by_fold = found.folds[found.folds["forecast"] == MODEL]
    assert (by_fold["coverage"] * by_fold["examples"]).sum() == pytest.approx(inside.sum())
    middle = (table["low"] + table["high"]) / 2
    np.testing.assert_allclose(middle, table[MODEL])


def test_dropout_gives_intervals_to_the_model_alone():
    prices = walk_prices()
    intervals = Intervals(method="dropout", coverage=0.5)
    assert set(judged(prices, known(prices, halfway), intervals=intervals).intervals) == {MODEL}


def test_prices_and_changes_have_the_same_intervals_in_prices():
    prices = walk_prices()
    plain = dataclasses.replace(CONFIG, normalized=False)
    fits = known(prices, halfway)
    data, raw = dataset_of(CONFIG, prices), dataset_of(plain, prices)
    converted = []
    for fit, each in zip(fits_of(prices), fits, strict=True):
        examples = np.arange(fit.end, fit.stop)
        forecasts = {name: data.to_prices(v, examples) for name, v in each.forecasts.items()}
        spread = each.spread * raw.label_bases(examples)[:, None]
        converted.append(dataclasses.replace(each, forecasts=forecasts, spread=spread))
    for method in ("conformal", "dropout"):
        intervals = Intervals(method=method, coverage=0.5)
        ours = judged(prices, fits, intervals=intervals).forecasts
        theirs = judged(prices, converted, config=plain, intervals=intervals).forecasts
        np.testing.assert_allclose(ours["high"], theirs["high"], rtol=1e-12)


def test_constant_prices_have_defined_values():
    prices = made_prices(np.full(50, 7.0))
    found = judged(prices, known(prices, halfway))
    rows = found.folds[found.folds["forecast"] == MODEL]
    assert rows["mse"].tolist() == [0.0, 0.0]
    assert rows["skill"].isna().all()
    assert found.intervals[MODEL].coverage == 1.0
    assert found.sentences[0] == (
        "2 folds: no comparison with baselines: persistence makes no error"
    )


def test_gaps_of_weeks_change_dates_alone():
    prices = walk_prices()
    days = pd.bdate_range("2020-01-01", periods=50)
    gaps = days + pd.to_timedelta(np.where(np.arange(50) >= 36, 40, 0), "D")
    other = made_prices(prices.close, gaps)
    tables = [judged(each, known(each, halfway)).forecasts for each in (prices, other)]
    pd.testing.assert_frame_equal(*(table.drop(columns="date") for table in tables))
    assert (tables[1]["date"].diff().max()).days >= 40


def test_unbounded_intervals_are_counted():
    prices = walk_prices()
    intervals = Intervals(coverage=0.99)
    found = judged(prices, known(prices, halfway), intervals=intervals)
    assert found.intervals[MODEL].unbounded == 17
    assert np.isposinf(found.forecasts["high"]).all()


@pytest.mark.parametrize("coverage", [0.5, 0.99])
def test_the_picture_sums_the_errors_against_persistence(coverage):
    prices = walk_prices()
    found = judged(prices, known(prices, halfway), intervals=Intervals(coverage=coverage))
    above, middle, below = backtest_figure(found, title="t").axes
    lines = {line.get_label(): line.get_ydata() for line in below.get_lines()}
    np.testing.assert_allclose(lines[MODEL], np.cumsum(found.relative_losses[MODEL]))
    others = [name for name in found.relative_losses if name != MODEL]
    best = max(others, key=lambda name: found.relative_losses[name].sum())
    np.testing.assert_allclose(lines[best], np.cumsum(found.relative_losses[best]))
    np.testing.assert_allclose(above.get_lines()[0].get_ydata(), found.forecasts["actual"])
    # The band, where it has ends, is that of the table.
    (band,) = middle.collections
    drawn = np.concatenate([path.vertices[:, 1] for path in band.get_paths()] or [[]])
    expected = found.forecasts[["low", "high"]].to_numpy()
    finite = expected[np.isfinite(expected)]
    assert set(finite.round(6)) == set(drawn.round(6)) if len(finite) else len(drawn) == 0
