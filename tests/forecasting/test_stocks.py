"""A run of several stocks evaluated and led on, against the network applied by hand."""

import dataclasses
import json
import math

import keras
import numpy as np
import pandas as pd
import pytest

import stock_rnn
from stock_rnn.data import StockDataSet, dataset_of
from stock_rnn.forecasting.accuracy import Scale
from stock_rnn.forecasting.baselines import fit_baselines
from stock_rnn.forecasting.comparison import MODEL, compare
from stock_rnn.forecasting.horizon import interval_reach
from stock_rnn.forecasting.pooling import daily_losses, pool, pooled_score
from stock_rnn.prices import load_prices
from stock_rnn.training import runs


@pytest.fixture(scope="module")
def forecaster(stocks_forecaster):
    return stocks_forecaster


@pytest.fixture(scope="module")
def dataset(forecaster):
    return dataset_of(forecaster.config, runs.read_prices(forecaster.run))


@pytest.fixture(scope="module")
def result(stocks_result):
    return stocks_result


@pytest.fixture(scope="module")
def other():
    return load_prices("KO", source="skfolio", period="1y")


def network(forecaster, windows, row):
    """The saved network on windows of one stock."""
    rows = np.full(len(windows), row, np.int32)
    model = keras.saving.load_model(forecaster.run.model)
    return np.asarray(model([windows.astype(np.float32), rows]), np.float64)


def test_the_predictions_are_those_of_each_stock_s_own_row(forecaster, dataset, result):
    table = result.predictions
    assert list(dict.fromkeys(table["symbol"])) == ["AAPL", "JPM", "XOM"]
    for row, stock in enumerate(dataset.stocks, 1):
        expected = network(forecaster, stock.test_X, row)
        found = table[table["symbol"] == stock.symbol]
        np.testing.assert_allclose(found["predicted"], expected.ravel(), rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(found["actual"], stock.test_y.ravel())
        prices = runs.read_prices(forecaster.run)[stock.symbol].close[-len(found) :]
        np.testing.assert_allclose(found["actual_price"], prices)
        one = forecaster.of(stock.symbol).predict_examples(stock, stock.test)
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-8)
    pooled = forecaster.predict_examples(dataset, dataset.test)
    np.testing.assert_allclose(pooled.ravel(), table["predicted"], rtol=1e-5, atol=1e-8)


def test_scores_of_all_stocks_are_means_over_all_their_examples(result, dataset):
    table = result.predictions
    score = result.scores["test"]
    assert score.examples == len(table) == len(dataset.test)
    assert score.days == table["date"].nunique()
    assert score.mse == pytest.approx(((table["predicted"] - table["actual"]) ** 2).mean())
    assert score.persistence_mse == pytest.approx((table["actual"] ** 2).mean())
    assert math.isnan(result.price_errors["test"].rmse)
    relative = table["predicted_price"] / table["actual_price"] - 1
    assert result.price_errors["test"].rmse_percent == pytest.approx(
        100 * math.sqrt((relative**2).mean())
    )
    pooled = result.comparison.accuracies[MODEL]
    assert pooled.score.mse == pytest.approx(score.mse)
    assert pooled.mae == pytest.approx((table["predicted"] - table["actual"]).abs().mean())
    assert pooled.mape == pytest.approx(100 * relative.abs().mean())
    assert set(result.comparison.stocks) == {"AAPL", "JPM", "XOM"}


def test_each_stock_stands_beside_baselines_of_its_own_training(result, dataset, forecaster):
    stock = dataset.stocks[1]
    found = result.comparison.stocks["JPM"]
    forecasts = {
        MODEL: forecaster.of("JPM").predict_examples(stock, stock.test),
        **{
            name: each.predict_examples(stock, stock.test)
            for name, each in fit_baselines(stock).items()
        },
    }
    expected = compare("test", stock, stock.test, forecasts, Scale.of_training(stock))
    assert found.to_dict() == expected.to_dict()


def test_the_files_name_the_stock_of_every_row(result, forecaster):
    folder = forecaster.run.folder
    content = json.loads((folder / "final_predictions.json").read_text())
    assert content["predictions"]["symbol"] == result.predictions["symbol"].tolist()
    assert content["scores"]["test"]["days"] == result.scores["test"].days
    assert content["scores"]["test"]["rmse_price"] is None
    compared = json.loads((folder / "comparison.json").read_text())
    assert set(compared["stocks"]) == {"AAPL", "JPM", "XOM"}
    rows = pd.read_csv(folder / "comparison.csv")
    assert rows["symbol"].value_counts().to_dict() == dict.fromkeys(
        ["all", "AAPL", "JPM", "XOM"], 6
    )
    for symbol, part in compared["stocks"].items():
        row = rows[(rows["symbol"] == symbol) & (rows["forecast"] == MODEL)]
        assert row["mse"].item() == pytest.approx(part["forecasts"][MODEL]["mse"])
    assert sorted(result.files) == sorted(folder / path.name for path in result.files)


def test_an_unseen_stock_is_predicted_with_its_own_row_and_that_is_said(forecaster, dataset, other):
    result = stock_rnn.evaluate(forecaster, other)
    assert result.unseen.startswith("KO is not among the 3 stocks of the training: ")
    assert "the mean of theirs" in result.unseen
    stock = dataset.cut(other)
    expected = network(forecaster, stock.inputs(), 0)
    np.testing.assert_allclose(
        result.predictions["predicted"], expected.ravel(), rtol=1e-5, atol=1e-8
    )
    after = result.scores["after training's end"]
    assert after.examples == len(stock.test) == (other.dates >= dataset.cutoff).sum()
    assert result.comparison.name == "after training's end"
    assert "symbol" not in result.predictions


def test_a_stock_of_the_training_on_other_days_has_its_own_row(forecaster, dataset):
    prices = load_prices("XOM", source="skfolio", start="2022-05-01", end="2022-12-01")
    result = stock_rnn.evaluate(forecaster, prices)
    assert result.unseen is None
    inside = (prices.dates < dataset.cutoff).sum()
    assert result.overlap.startswith(f"overlap: {inside} of {len(prices)} prices lie in")
    assert f"; {inside} of them are the prices that it was trained on" in result.overlap
    expected = network(forecaster, dataset.cut(prices).inputs(), 3)
    np.testing.assert_allclose(
        result.predictions["predicted"], expected.ravel(), rtol=1e-5, atol=1e-8
    )


def test_prices_after_the_training_alone_have_no_baselines(forecaster, dataset, other):
    late = other.dates >= dataset.cutoff
    part = dataclasses.replace(other, dates=other.dates[late], close=other.close[late])
    result = stock_rnn.evaluate(forecaster, part)
    assert list(result.scores) == ["all"]
    assert (result.comparison, result.overlap) == (None, None)
    assert not [path for path in result.files if "comparison" in path.name]


def test_the_next_price_of_a_stock_is_its_row_s_with_its_own_errors(forecaster, dataset):
    prices = load_prices("JPM", source="skfolio", period="6mo")
    found = stock_rnn.predict_next(forecaster, prices)
    windows = (prices.close[-3:] / prices.close[-4:-1] - 1)[None, :, None]
    expected = (1 + network(forecaster, windows, 2)[0, 0]) * prices.close[-1]
    assert found.table["predicted"].item() == pytest.approx(expected, rel=1e-6)
    assert forecaster.predict(prices).item() == pytest.approx(expected, rel=1e-6)
    stock = dataset.stocks[1]
    errors = np.abs(
        np.log(
            stock.to_prices(stock.test_y, stock.test)
            / stock.to_prices(network(forecaster, stock.test_X, 2), stock.test)
        )
    )
    reach, _ = interval_reach(errors, 0.9)
    assert found.table["high"].item() == pytest.approx(expected * math.exp(reach[0]), rel=1e-5)
    assert found.unseen is None
    assert found.score.examples == len(stock.test)


def test_the_next_price_of_an_unseen_stock_has_the_errors_of_all_with_its_row(
    forecaster, dataset, other
):
    found = stock_rnn.predict_next(forecaster, other)
    windows = (other.close[-3:] / other.close[-4:-1] - 1)[None, :, None]
    expected = (1 + network(forecaster, windows, 0)[0, 0]) * other.close[-1]
    assert found.table["predicted"].item() == pytest.approx(expected, rel=1e-6)
    assert found.table["measured"].item() == found.score.examples == len(dataset.test)
    squared = [
        (network(forecaster, stock.test_X, 0) - stock.test_y) ** 2 for stock in dataset.stocks
    ]
    assert found.score.mse == pytest.approx(np.concatenate(squared).mean(), rel=1e-5)
    assert found.unseen == found.to_dict()["unseen"]
    assert "of three, not KO" in found.intervals


def test_the_losses_of_a_day_count_together():
    losses = np.array([1.0, 2.0, 3.0, 10.0])
    days = np.array(["2020-01-02", "2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[D]")
    found = daily_losses(losses, days)
    # Sums 2, 4 and 10; 4 examples in 3 days.
    np.testing.assert_allclose(found, np.array([2.0, 4.0, 10.0]) * 3 / 4)
    assert found.mean() == pytest.approx(losses.mean())


def test_stocks_that_move_together_count_as_one():
    rng = np.random.default_rng(0)
    errors, reference = rng.chisquare(1, 200), rng.chisquare(1, 200)
    days = np.arange(200).astype("datetime64[D]")
    one = pooled_score(errors, reference, days)
    # The same stock ten times has the same interval, and not a narrower one.
    ten = pooled_score(np.tile(errors, 10), np.tile(reference, 10), np.tile(days, 10))
    assert (ten.examples, ten.days) == (2000, 200)
    np.testing.assert_allclose(ten.interval, one.interval, rtol=1e-9)
    few = pooled_score(
        np.tile(errors[:10], 10), np.tile(reference[:10], 10), np.tile(days[:10], 10)
    )
    assert few.no_interval == "fewer than 20 days"
    same = pooled_score(errors, 0 * reference, days)
    assert same.no_interval == "the prices never change"


def test_the_p_values_of_stocks_are_corrected_for_all_tests():
    stocks, days = {}, {}
    for number, symbol in enumerate("AB"):
        rng = np.random.default_rng(number)
        data = StockDataSet(100 * np.exp(np.cumsum(rng.normal(0, 0.01, 300))), num_steps=2)
        forecasts = {
            MODEL: data.labels(data.test) + rng.normal(0, 0.009, (len(data.test), 1)),
            **{
                n: each.predict_examples(data, data.test) for n, each in fit_baselines(data).items()
            },
        }
        stocks[symbol] = compare("test", data, data.test, forecasts, Scale.of_training(data))
        days[symbol] = data.label_dates(data.test)[:, -1]
    found = pool(stocks, days)
    raw = {(s, n): t.p_value for s, each in stocks.items() for n, t in each.tests.items()}
    smallest = min(raw, key=raw.get)
    assert found.adjusted_by_stock[smallest[0]][smallest[1]] == pytest.approx(
        min(1, len(raw) * raw[smallest])
    )
    for symbol, each in stocks.items():
        for name, value in each.adjusted.items():
            assert found.adjusted_by_stock[symbol][name] >= value - 1e-12
    pooled, parts = found.accuracies, [each.accuracies for each in stocks.values()]
    hits = sum(part[MODEL].direction.hits for part in parts)
    assert pooled[MODEL].direction.hits == hits
    scaled = np.mean([part["AR"].rmsse ** 2 for part in parts])
    assert pooled["AR"].rmsse == pytest.approx(math.sqrt(scaled))
    assert found.to_frame()["symbol"].tolist() == ["all"] * 6 + ["A"] * 6 + ["B"] * 6
