"""Several stocks in one data set, against brute force over every window."""

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_rnn.data import StockDataSet, StocksDataSet, split_day
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices, Stocks


def stock(symbol, first_day, count, seed=0, opens=False):
    """A random walk on days of its own, with gaps."""
    rng = np.random.default_rng([seed, ord(symbol[0])])
    days = first_day + np.cumsum(rng.integers(1, 4, count))
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    dates = days.astype("datetime64[D]").astype("datetime64[s]")
    return Prices(symbol, "csv", dates, closes, closes * 1.01 if opens else None)


def stocks(*spans, **options):
    prices = [stock("ABCDE"[i], first, count, **options) for i, (first, count) in enumerate(spans)]
    return Stocks("several", tuple(prices), ("",) * len(prices))


@dataclasses.dataclass
class Example:
    """One example, by plain Python."""

    stock: int
    inputs: list
    label: list
    dates: list


def by_hand(several, input_size, num_steps, *, normalized=True, interleaved=False):
    """Every example of several stocks, window by window."""
    found = []
    for number, prices in enumerate(several.prices):
        series = [(date, price) for date, price in zip(prices.dates, prices.close, strict=True)]
        if interleaved:
            opens = zip(prices.dates, prices.open, strict=True)
            series = [each for pair in zip(opens, series, strict=True) for each in pair]
        windows, dates = [], []
        for start in range(0, len(series) - input_size + 1, input_size):
            cells = series[start : start + input_size]
            before = series[start - 1][1] if start else cells[0][1]
            windows.append([p / before - 1 if normalized else p for _, p in cells])
            dates.append([d for d, _ in cells])
        for i in range(len(windows) - num_steps):
            label = i + num_steps
            found.append(Example(number, windows[i:label], windows[label], dates[label]))
    return found


SPANS = st.lists(st.tuples(st.integers(0, 120), st.integers(12, 60)), min_size=2, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    spans=SPANS,
    size=st.integers(1, 3),
    steps=st.integers(1, 3),
    ratio=st.floats(0.05, 0.6),
    share=st.sampled_from([0.0, 0.2, 0.5]),
    interleaved=st.booleans(),
)
def test_examples_and_split_are_those_of_brute_force(spans, size, steps, ratio, share, interleaved):
    several = stocks(*spans, opens=interleaved)
    options = {"input_size": size, "num_steps": steps, "test_ratio": ratio}
    expected = by_hand(several, size, steps, interleaved=interleaved)
    begins = sorted(str(each.dates[0])[:10] for each in expected)
    cutoff = begins[int(len(begins) * (1 - ratio))]
    known = [each for each in expected if str(each.dates[-1])[:10] < cutoff]
    begin = cutoff
    if share and known:
        days = sorted(str(each.dates[0])[:10] for each in known)
        begin = days[len(days) - math.ceil(len(days) * share)]
    train = [each for each in known if str(each.dates[-1])[:10] < begin]
    validation = [each for each in known if str(each.dates[0])[:10] >= begin]
    test = [each for each in expected if str(each.dates[0])[:10] >= cutoff]
    if {each.stock for each in train} < set(range(len(spans))):
        with pytest.raises(UserError, match="too few"):
            StocksDataSet(several, open_and_close=interleaved, validation_ratio=share, **options)
        return
    data = StocksDataSet(several, open_and_close=interleaved, validation_ratio=share, **options)
    assert str(data.cutoff) == cutoff
    sets = {"train": train, "validation": validation if share else [], "test": test}
    for name, wanted in sets.items():
        examples = getattr(data, name)
        assert len(examples) == len(wanted)
        if wanted:
            np.testing.assert_allclose(
                data.inputs(examples), [e.inputs for e in wanted], rtol=1e-12
            )
            np.testing.assert_allclose(data.labels(examples), [e.label for e in wanted], rtol=1e-12)
            np.testing.assert_array_equal(data.label_dates(examples), [e.dates for e in wanted])
            np.testing.assert_array_equal(data.rows(examples), [e.stock + 1 for e in wanted])
    assert len(data) == len(expected)
    np.testing.assert_allclose(data.labels(), [e.label for e in expected], rtol=1e-12)


def test_nothing_of_the_tests_days_is_in_the_training():
    several = stocks((0, 60), (20, 50), (50, 30))
    options = {"input_size": 2, "num_steps": 2, "test_ratio": 0.3, "validation_ratio": 0.2}
    data = StocksDataSet(several, **options)
    for examples in (data.train, data.validation):
        assert data.label_dates(examples).max() < data.cutoff
    assert data.label_dates(data.train).max() < data.label_dates(data.validation).min()
    assert data.label_dates(data.test).min() >= data.cutoff
    altered = tuple(
        dataclasses.replace(each, close=np.where(each.dates >= data.cutoff, 7.0, each.close))
        for each in several.prices
    )
    other = StocksDataSet(dataclasses.replace(several, prices=altered), **options)
    for of in (data.inputs, data.labels):
        for name in ("train", "validation"):
            examples = getattr(data, name)
            np.testing.assert_array_equal(of(examples), getattr(other, of.__name__)(examples))
    assert not np.array_equal(data.labels(data.test), other.labels(data.test))


def test_the_split_of_one_stock_is_that_of_its_own_data_set():
    prices = stock("A", 0, 90)
    twice = Stocks("two", (prices, dataclasses.replace(prices, symbol="B")), ("", ""))
    for share in (0.0, 0.3):
        alone = StockDataSet.from_prices(prices, num_steps=4, validation_ratio=share)
        data = StocksDataSet(twice, num_steps=4, validation_ratio=share)
        for name in ("train", "validation", "test"):
            for each in data.stocks:
                np.testing.assert_array_equal(getattr(each, name), getattr(alone, name))
        np.testing.assert_array_equal(data.stocks[1].windows, alone.windows)


def test_a_share_however_small_tests_on_the_newest_day():
    days = np.arange(5).astype("datetime64[D]").astype("datetime64[s]")
    assert split_day(days, 1e-18) == np.datetime64("1970-01-05")
    assert split_day(days, 0.5) == np.datetime64("1970-01-03")
    assert split_day(days, 0.5, rounded_up=True) == np.datetime64("1970-01-03")
    assert split_day(days, 0.7) == np.datetime64("1970-01-02")
    assert split_day(days, 0.7, rounded_up=True) == np.datetime64("1970-01-02")
    assert split_day(days, 0.41, rounded_up=True) == np.datetime64("1970-01-03")


def test_the_stocks_share_the_arrays_of_all():
    data = StocksDataSet(stocks((0, 40), (5, 40)), num_steps=3)
    for each in data.stocks:
        assert np.shares_memory(each.windows, data.windows)
        assert np.shares_memory(each.bases, data.bases)
    np.testing.assert_array_equal(
        data.labels(data.test), np.concatenate([each.test_y for each in data.stocks])
    )
    assert (data.row("A"), data.row("B"), data.row("C")) == (1, 2, 0)
    assert "the test begins on" in data.describe()


def test_another_stock_is_cut_and_split_at_the_same_day():
    data = StocksDataSet(stocks((0, 60), (10, 60)), num_steps=3)
    other = data.cut(stock("E", 30, 80))
    assert (other.label_dates(other.train) < data.cutoff).all()
    assert (other.label_dates(other.test) >= data.cutoff).all()
    assert len(other.train) + len(other.test) == len(other)


def test_kinds_are_told_stock_by_stock():
    # The second stock begins on the day on which the first ends.
    one, two = stock("A", 0, 20), stock("B", 0, 20)
    shift = one.dates[-1] - two.dates[0]
    late = dataclasses.replace(two, dates=two.dates + shift)
    data = StocksDataSet(Stocks("two", (one, late), ("", "")), num_steps=2, test_ratio=0.3)
    assert set(data.label_kinds().ravel()) == {"close"}


def test_a_stock_that_is_too_short_is_named():
    with pytest.raises(UserError, match=r"B: 3 prices are too few: an example of 3 steps needs 4"):
        StocksDataSet(stocks((0, 60), (5, 3)), num_steps=3)
    # It begins when the test has begun.
    with pytest.raises(UserError, match=r"B: its 20 prices .* no training example before"):
        StocksDataSet(stocks((0, 60), (400, 20)), num_steps=3, test_ratio=0.3)


def test_what_fills_no_window_is_told_of_the_first_stock():
    data = StocksDataSet(stocks((0, 41), (5, 40), (0, 41)), input_size=2, num_steps=3)
    assert "of A the newest 1 of 41 prices" in data.left_out
    assert "(and so of 1 more)" in data.left_out


def test_memory_grows_with_the_prices_and_not_with_the_steps():
    several = stocks(*[(7 * i, 4000) for i in range(5)])
    count = len(several)

    def peak(num_steps):
        tracemalloc.start()
        data = StocksDataSet(several, num_steps=num_steps)
        inputs = data.inputs(data.train[:64])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert inputs.shape == (64, num_steps, 1)
        return found

    few, many = peak(2), peak(200)
    # All inputs of 200 steps would take 1,600 bytes a price.
    assert many < 160 * count
    assert many < 1.1 * few + 64 * 200 * 8 * 2
