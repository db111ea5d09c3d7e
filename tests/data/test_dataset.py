import datetime
import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.data import StockDataSet, interleave
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices

positive = st.floats(0.01, 1e6)


@st.composite
def datasets(draw, split="chronological"):
    input_size, num_steps = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    shortest = input_size * (num_steps + 2)
    prices = draw(st.lists(positive, min_size=shortest, max_size=shortest + 40))
    count = len(prices) // input_size - num_steps
    ratio = draw(st.floats(1.0 / count, 1.0 - 1.0 / count))
    try:
        return StockDataSet(
            np.array(prices),
            input_size=input_size,
            num_steps=num_steps,
            split=split,
            test_ratio=ratio,
            train_ratio=ratio,
            seed=draw(st.integers(0, 99)),
        )
    except UserError:
        # int() of the original's split can leave one side empty at the edges.
        return StockDataSet(
            np.array(prices), input_size=input_size, num_steps=num_steps, split=split,
            test_ratio=0.5, train_ratio=0.5,
        )  # fmt: skip


def test_examples_read_t_windows_and_predict_the_next():
    prices = np.arange(1.0, 8.0)
    data = StockDataSet(prices, num_steps=3, normalized=False, test_ratio=0.25)
    np.testing.assert_array_equal(
        data.inputs()[:, :, 0], [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]]
    )
    np.testing.assert_array_equal(data.labels()[:, 0], [4, 5, 6, 7])
    assert (data.train_X.shape, data.test_X.shape) == ((3, 3, 1), (1, 3, 1))


def test_without_options_thirty_single_prices_are_read_and_the_newest_tenth_tests():
    prices = np.random.default_rng(0).lognormal(size=130)
    data = StockDataSet(prices)
    assert data.train_X.shape == (90, 30, 1)
    assert data.test_X.shape == (10, 30, 1)
    assert (data.windows[0], data.windows[1]) == (0, prices[1] / prices[0] - 1)
    assert len(StockDataSet(prices, split="random").train) == 10


def test_contiguous_examples_are_views_and_others_are_copies():
    prices = np.random.default_rng(0).lognormal(size=60)
    data = StockDataSet(prices, num_steps=3, test_ratio=0.3)
    for view in (data.train_X, data.train_y, data.test_X, data.test_y):
        assert np.shares_memory(view, data.windows)
    drawn = StockDataSet(prices, num_steps=3, split="random", train_ratio=0.5)
    np.testing.assert_array_equal(drawn.train_y, drawn.windows[3:][drawn.train])
    np.testing.assert_array_equal(drawn.test_y, drawn.windows[3:][drawn.test])
    assert not np.shares_memory(drawn.train_X, drawn.windows)


def test_a_data_set_of_prices_reads_the_opening_ones_only_when_told():
    dates = np.arange(20).astype("datetime64[D]").astype("datetime64[s]")
    prices = Prices("X", "csv", dates, np.arange(2.0, 42.0, 2), np.arange(1.0, 41.0, 2))
    closes = StockDataSet.from_prices(prices, num_steps=2, normalized=False)
    np.testing.assert_array_equal(closes.windows[:, 0], prices.close)
    both = StockDataSet.from_prices(prices, open_and_close=True, num_steps=2, normalized=False)
    np.testing.assert_array_equal(both.windows[:, 0], np.arange(1, 41))
    assert both.symbol == closes.symbol == "X"


def test_it_equals_the_original_arithmetic_written_with_loops():
    rng = np.random.default_rng(0)
    seq, size, steps = list(rng.lognormal(size=103)), 4, 3
    windows = [seq[i * size : (i + 1) * size] for i in range(len(seq) // size)]
    relative = [[p / windows[0][0] - 1 for p in windows[0]]]
    for previous, current in itertools.pairwise(windows):
        relative.append([p / previous[-1] - 1 for p in current])
    X = [relative[i : i + steps] for i in range(len(relative) - steps)]
    y = [relative[i + steps] for i in range(len(relative) - steps)]
    n_train = int(len(X) * (1.0 - 0.1))

    data = StockDataSet(np.array(seq), input_size=size, num_steps=steps, test_ratio=0.1)
    np.testing.assert_allclose(data.train_X, X[:n_train], rtol=1e-14)
    np.testing.assert_allclose(data.test_X, X[n_train:], rtol=1e-14)
    np.testing.assert_allclose(data.train_y, y[:n_train], rtol=1e-14)
    np.testing.assert_allclose(data.test_y, y[n_train:], rtol=1e-14)


@given(datasets())
def test_every_input_ends_before_its_label_begins(data):
    assert (data.input_dates()[:, -1, -1] < data.label_dates()[:, 0]).all()


@given(datasets())
def test_nothing_of_the_test_labels_enters_training(data):
    seen = np.union1d(data.input_dates(data.train), data.label_dates(data.train))
    assert not np.isin(data.label_dates(data.test), seen).any()
    assert seen.max() < data.label_dates(data.test).min()


@given(datasets(split="random"))
def test_the_random_split_shares_no_label(data):
    assert not np.isin(data.label_dates(data.test), data.label_dates(data.train)).any()
    np.testing.assert_array_equal(np.union1d(data.train, data.test), np.arange(len(data)))


@pytest.mark.parametrize("normalized", [True, False])
def test_labels_turn_back_into_the_prices_of_their_dates(normalized):
    prices = np.random.default_rng(0).lognormal(size=50)
    data = StockDataSet(prices, input_size=3, num_steps=2, normalized=normalized)
    days = data.label_dates(data.test).astype("datetime64[D]").astype(int)
    np.testing.assert_allclose(data.to_prices(data.test_y, data.test), prices[days], rtol=1e-12)


def test_the_forecast_zero_is_persistence():
    prices = np.array([100.0, 110.0, 99.0, 120.0, 90.0, 95.0])
    data = StockDataSet(prices, num_steps=2, test_ratio=0.5)
    np.testing.assert_array_equal(data.persistence(), np.zeros((4, 1)))
    np.testing.assert_allclose(data.to_prices(data.persistence())[:, 0], prices[1:-1])
    raw = StockDataSet(prices, num_steps=2, test_ratio=0.5, normalized=False)
    np.testing.assert_allclose(raw.persistence()[:, 0], prices[1:-1])


def test_the_reports_prices_make_1131_training_and_126_test_examples():
    # 1,260 prices with T = 3 and N = 1: 1,131 training and 126 test examples.
    data = StockDataSet(np.linspace(1, 2, 1260), num_steps=3)
    assert (len(data.train), len(data.test)) == (1131, 126)


def test_generate_one_epoch_gives_every_example_once():
    data = StockDataSet(np.random.default_rng(0).lognormal(size=200), num_steps=3)
    batches = list(data.generate_one_epoch(64))
    labels = np.concatenate([y for _, y in batches])
    np.testing.assert_array_equal(np.sort(labels, axis=0), np.sort(data.train_y, axis=0))
    assert sorted(len(X) for X, _ in batches) == [49, 64, 64]


def test_an_epoch_is_the_first_with_seed_0_and_shuffled_slices_unless_told():
    data = StockDataSet(np.random.default_rng(0).lognormal(size=200), num_steps=3)

    def labels(**options):
        return np.concatenate([y for _, y in data.generate_one_epoch(10, **options)]).tolist()

    assert labels() == labels(epoch=0, seed=0, shuffle="batches")
    assert labels() != labels(epoch=1)
    assert labels() != labels(seed=1)
    assert labels() != labels(shuffle="windows")


def test_interleaved_open_and_close():
    dates = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[s]")
    prices = Prices("X", "csv", dates, np.array([2.0, 4.0]), np.array([1.0, 3.0]))
    days, values = interleave(prices)
    np.testing.assert_array_equal(values, [1, 2, 3, 4])
    np.testing.assert_array_equal(days, dates[[0, 0, 1, 1]])
    with pytest.raises(UserError, match="opening"):
        interleave(Prices("X", "csv", dates, np.array([2.0, 4.0])))


def test_describe_is_one_line_with_the_facts():
    data = StockDataSet(np.linspace(1, 2, 1260), num_steps=3, symbol="^DJI")
    assert data.describe() == (
        "^DJI: 1,260 windows of 1 from 1970-01-01 to 1973-06-13, 1,131 training and 126 test "
        "examples of 3 steps"
    )


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (np.ones(4), "4 prices are too few: .* make 0 training and 1 test examples"),
        (np.array([]), "0 prices are too few: .* make 0 training and 0 test examples"),
        (np.array([1.0, 0.0] * 9), "price 1 must be positive"),
        (np.array([1.0, 2.0, np.nan] * 9), "price 2 must be positive"),
        (np.ones((5, 2)), "1-d"),
    ],
)
def test_bad_prices_are_refused(prices, message):
    with pytest.raises(UserError, match=message):
        StockDataSet(prices, np.zeros(len(prices), "datetime64[s]"), num_steps=3)


@pytest.mark.parametrize("days", [17, 19])
def test_prices_and_dates_of_different_lengths_are_refused(days):
    with pytest.raises(UserError, match=rf"one length.*\(18,\), \({days},\)"):
        StockDataSet(np.ones(18), np.zeros(days, "datetime64[s]"), num_steps=3)


def test_a_single_number_is_no_series_of_prices():
    with pytest.raises(UserError, match="1-d"):
        StockDataSet(np.array(7.0))
    with pytest.raises(UserError, match="1-d"):
        StockDataSet(np.array(7.0), np.array(0, "datetime64[s]"))


def test_a_split_that_leaves_nothing_to_test_is_refused():
    with pytest.raises(UserError, match="17 training and 0 test examples"):
        StockDataSet(np.ones(20), num_steps=3, test_ratio=0.0)


@pytest.mark.slow
def test_ten_million_prices_take_less_than_a_gigabyte():
    prices = np.random.default_rng(0).lognormal(size=10_000_000)
    dates = np.arange(len(prices)).astype("datetime64[s]")
    tracemalloc.start()
    data = StockDataSet(prices, dates, num_steps=30)
    X = data.train_X
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert X.shape == (8_999_973, 30, 1)
    assert np.shares_memory(X, data.windows)
    assert peak < 1e9


def test_the_curvature_sample_is_evenly_spaced_training_examples_in_float32():
    data = StockDataSet(np.random.default_rng(0).lognormal(size=203), input_size=2, num_steps=3)
    assert len(data.train) == 88
    inputs, labels = data.curvature_sample(30)
    # The first and the last are among them, and the steps between differ by one at most.
    chosen = data.spaced_examples(30)
    assert (chosen[0], chosen[-1]) == (0, 87)
    assert set(np.diff(chosen)) == {3}
    np.testing.assert_array_equal(inputs, data.train_X[chosen].astype(np.float32))
    np.testing.assert_array_equal(labels, data.train_y[chosen].astype(np.float32))
    assert inputs.dtype == labels.dtype == np.float32
    assert len(data.curvature_sample(1000)[0]) == 88


@pytest.mark.parametrize(
    "dates",
    [
        [f"2020-01-{day:02}" for day in range(1, 13)],
        [datetime.date(2020, 1, day) for day in range(1, 13)],
        [pd.Timestamp(2020, 1, day) for day in range(1, 13)],
        pd.date_range("2020-01-01", periods=12),
    ],
)
def test_dates_may_be_given_as_python_has_them(dates):
    data = StockDataSet(np.arange(1.0, 13.0), dates, num_steps=2)
    assert data.label_dates()[-1, 0] == np.datetime64("2020-01-12")
    assert data.label_dates().dtype == "datetime64[s]"


@given(st.integers(1, 5), st.sampled_from(["oldest", "newest"]), st.booleans())
def test_kinds_of_labels_are_those_of_their_prices(input_size, align, open_and_close):
    count = 40
    opens, closes = np.arange(count) + 0.5, np.arange(count) + 1.0
    days = np.datetime64("2020-01-01", "s") + np.arange(count) * np.timedelta64(1, "D")
    data = StockDataSet.from_prices(
        Prices("s", "csv", days, closes, opens),
        open_and_close=open_and_close,
        input_size=input_size,
        num_steps=2,
        normalized=False,
        align=align,
    )
    labels = data.labels(slice(None))
    np.testing.assert_array_equal(data.label_kinds(), np.where(labels % 1 == 0.5, "open", "close"))
