import numpy as np
import pytest

from stock_rnn.data import split_examples
from stock_rnn.errors import UserError


def test_random_split_is_seeded_and_of_the_asked_size():
    one, rest = split_examples(1000, split="random", test_ratio=0.1, train_ratio=0.1, seed=3)
    again, _ = split_examples(1000, split="random", test_ratio=0.1, train_ratio=0.1, seed=3)
    other, _ = split_examples(1000, split="random", test_ratio=0.1, train_ratio=0.1, seed=4)
    assert (len(one), len(rest)) == (100, 900)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_chronological_split_trains_on_the_oldest_and_tests_on_the_rest():
    train, test = split_examples(7, split="chronological", test_ratio=0.3, train_ratio=0.1, seed=0)
    np.testing.assert_array_equal(train, [0, 1, 2, 3])
    np.testing.assert_array_equal(test, [4, 5, 6])


@pytest.mark.parametrize("split", ["both", "few", "walk-forward"])
def test_an_unknown_split_is_refused(split):
    with pytest.raises(UserError, match=rf"one of chronological, random\. Received: '{split}'"):
        split_examples(7, split=split, test_ratio=0.3, train_ratio=0.1, seed=0)
