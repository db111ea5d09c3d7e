"""Nothing of the future enters a fit, a baseline or an interval: bit for bit."""

import dataclasses

import numpy as np
import pytest

from stock_rnn.backtest.fit import dataset_before
from stock_rnn.config import Config
from stock_rnn.data import dataset_of
from stock_rnn.forecasting.comparison import MODEL
from stock_rnn.forecasting.intervals import Intervals
from stock_rnn.prices import Prices
from tests.backtest.cases import CONFIG, INTERVALS, fits_of, fitted_of, judged, walk_prices


def altered_from(prices, example):
    """The same prices before an example's label, wild ones from there on."""
    first = (example + CONFIG.num_steps) * CONFIG.input_size
    close = prices.close.copy()
    close[first:] = 1 + 1e4 * np.random.default_rng(1).random(len(close) - first)
    return dataclasses.replace(prices, close=close)


def same_bits(one, two):
    np.testing.assert_array_equal(np.asarray(one).view(np.int64), np.asarray(two).view(np.int64))


@pytest.fixture(scope="module", params=["the second fold begins", "the second fold is half over"])
def cutoff(request, prices):
    fit = fits_of(prices)[2]
    return fit.end if "begins" in request.param else (fit.end + fit.stop) // 2


@pytest.fixture(scope="module")
def altered(prices, fitted, cutoff):
    """The walk over the altered prices."""
    other = altered_from(prices, cutoff)
    if cutoff == fits_of(prices)[2].end:
        return other, fitted_of(other)
    # The first fits are made again for the other cutoff, which is the earlier one.
    return other, [*fitted[:2], *fitted_of(other, only={2})]


def test_no_fit_or_forecast_before_the_cutoff_changes(prices, fitted, altered, cutoff):
    for fit, before, after in zip(fits_of(prices), fitted, altered[1], strict=True):
        # The forecast of the cutoff itself reads the prices before it.
        known = min(cutoff, fit.stop) + 1 - fit.end
        assert (before.best_epoch, before.scale) == (after.best_epoch, after.scale)
        for name, values in before.forecasts.items():
            same_bits(values[:known], after.forecasts[name][:known])
        same_bits(before.spread[:known], after.spread[:known])
    # What comes after does change: the prices were altered indeed.
    later = fits_of(prices)[2].stop - cutoff - 1
    model = [each[2].forecasts[MODEL][-later:] for each in (fitted, altered[1])]
    assert not np.isclose(*model).any()


@pytest.mark.parametrize("method", ["conformal", "adaptive", "dropout"])
def test_no_interval_before_the_cutoff_changes(prices, fitted, altered, cutoff, method):
    intervals = dataclasses.replace(INTERVALS, method=method)
    begin = fits_of(prices)[1].end
    tables = [judged(*each, intervals=intervals).forecasts for each in ((prices, fitted), altered)]
    for name in ("model", "low", "high"):
        same_bits(*(table[name][: cutoff - begin + 1] for table in tables))
    assert not np.isclose(*(table["high"][cutoff - begin + 1 :] for table in tables)).any()


@pytest.mark.parametrize("align", ["oldest", "newest"])
@pytest.mark.parametrize("normalized", [True, False])
def test_a_fits_data_set_ends_where_its_test_begins(align, normalized):
    config = Config(
        num_steps=3, input_size=4, align=align, normalized=normalized, open_and_close=True
    )
    close = 100 + np.random.default_rng(0).random(61)
    dates = np.datetime64("2020-01-01", "s") + np.arange(61) * np.timedelta64(1, "D")
    prices = Prices("^X", "csv", dates, close, open=close + 1)
    everything = dataset_of(config, prices)
    known = dataset_before(config, prices, 5, 20)
    assert known.train.tolist() == list(range(5, 20))
    # No window begins at or after that of the first test example's label.
    assert len(known.windows) == 20 + config.num_steps
    same_bits(known.windows, everything.windows[: len(known.windows)])
    same_bits(known.inputs(known.train), everything.inputs(known.train))
    assert (known.label_dates(known.train) == everything.label_dates(known.train)).all()
    assert known.label_dates().max() <= everything.label_dates(np.array([20])).min()


def test_validation_is_the_newest_part_of_what_was_known():
    known = dataset_before(CONFIG, walk_prices(), 10, 30)
    assert known.train.tolist() == list(range(10, 26))
    assert known.validation.tolist() == list(range(26, 30))


def test_intervals_of_the_first_fold_come_from_the_fit_before_it(prices, fitted):
    intervals = Intervals(method="conformal", coverage=0.7, errors=1000)
    data, fit = dataset_of(CONFIG, prices), fits_of(prices)[0]
    examples = np.arange(fit.end, fit.stop)
    errors = np.sort(np.abs(fitted[0].forecasts[MODEL] - data.labels(examples)).ravel())
    expected = errors[int(np.ceil(0.7 * (len(errors) + 1) - 1e-9)) - 1]
    table = judged(prices, fitted, intervals=intervals).forecasts
    base = data.label_bases(np.array([fit.stop]))[0]
    assert (table["high"] - table["low"])[0] / 2 == pytest.approx(expected * base)
