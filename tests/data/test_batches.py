import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.data import epoch_order
from stock_rnn.errors import UserError


@given(st.integers(1, 300), st.integers(1, 80), st.integers(0, 50))
def test_batches_are_fixed_slices_in_shuffled_order(count, batch_size, epoch):
    order, sizes = epoch_order(count, batch_size, shuffle="batches", seed=1, epoch=epoch)
    batches = np.split(order, np.cumsum(sizes)[:-1])
    expected = {tuple(range(i, min(i + batch_size, count))) for i in range(0, count, batch_size)}
    assert {tuple(batch) for batch in batches} == expected
    assert len(batches) == len(expected)


@given(st.integers(1, 300), st.integers(1, 80))
def test_shuffled_windows_are_a_permutation(count, batch_size):
    order, sizes = epoch_order(count, batch_size, shuffle="windows", seed=1, epoch=0)
    np.testing.assert_array_equal(np.sort(order), np.arange(count))
    assert sizes.sum() == count
    assert (sizes[:-1] == batch_size).all()


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(epoch, seed=0):
        return epoch_order(640, 64, shuffle="batches", seed=seed, epoch=epoch)[0].tolist()

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0) != order(0, seed=1)


@pytest.mark.parametrize("shuffle", ["all", "days", "years"])
def test_an_unknown_shuffle_is_refused(shuffle):
    with pytest.raises(UserError, match=rf"one of batches, windows\. Received: '{shuffle}'"):
        epoch_order(10, 5, shuffle=shuffle, seed=0, epoch=0)
