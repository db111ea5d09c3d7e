import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.data import base_prices, cut_windows, denormalize, normalize
from stock_rnn.errors import UserError

positive = st.floats(0.01, 1e6)
EPS = np.finfo(float).eps


def test_golden_windows():
    windows = normalize(cut_windows(np.arange(1.0, 11.0), 4))
    # Prices 1..10 in fours: the newest two are dropped.
    np.testing.assert_array_equal(windows, [[0, 1, 2, 3], [0.25, 0.5, 0.75, 1]])


def test_golden_windows_that_end_at_the_newest_price():
    windows = cut_windows(np.arange(1.0, 11.0), 4, align="newest")
    np.testing.assert_array_equal(windows, [[3, 4, 5, 6], [7, 8, 9, 10]])
    with pytest.raises(UserError, match=r"oldest, newest\. Received: 'end'"):
        cut_windows(np.arange(1.0, 11.0), 4, align="end")


@given(st.integers(1, 5), st.lists(positive, min_size=5, max_size=60))
def test_denormalize_inverts_normalize(input_size, prices):
    windows = cut_windows(np.array(prices), input_size)
    bases = base_prices(windows)
    restored = denormalize(normalize(windows), bases)
    # A price far below its base keeps only what p / base - 1 keeps: an error of eps * base.
    assert (np.abs(restored - windows) <= 4 * EPS * np.maximum(windows, bases[:, None])).all()


@given(st.integers(1, 7), st.integers(7, 80))
def test_windows_do_not_overlap_and_only_the_newest_prices_are_dropped(input_size, count):
    windows = cut_windows(np.arange(count), input_size)
    np.testing.assert_array_equal(windows.ravel(), np.arange(count // input_size * input_size))
