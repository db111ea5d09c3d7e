"""Which examples train, and which test."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stock_rnn.errors import UserError

IntArray = NDArray[np.integer]


def split_examples(
    count: int, *, split: str, test_ratio: float, train_ratio: float, seed: int
) -> tuple[IntArray, IntArray]:
    """Which examples train and which test.

    chronological (the report's appendix): the first int(count * (1 - test_ratio))
    train, the rest test. random (the report's section 5.1): int(count * train_ratio)
    train, drawn without replacement; the rest test.

    Args:
        count: number of examples.
        split: "chronological" or "random".
        test_ratio, train_ratio: shares, in (0, 1).
        seed: of the random split.

    Returns:
        (n_train,) and (n_test,) int32, both ascending; disjoint, together 0..count-1.

    Raises:
        UserError: `split` is neither of the two.
    """
    if split == "chronological":
        n_train = int(count * (1.0 - test_ratio))
        everything = np.arange(count, dtype=np.int32)
        return everything[:n_train], everything[n_train:]
    if split == "random":
        n_train = int(count * train_ratio)
        drawn = np.random.default_rng(seed).choice(count, size=n_train, replace=False)
        in_training = np.zeros(count, dtype=bool)
        in_training[drawn] = True
        return (
            np.flatnonzero(in_training).astype(np.int32),
            np.flatnonzero(~in_training).astype(np.int32),
        )
    raise UserError(f"split must be one of chronological, random. Received: {split!r}")


def split_day(
    first: NDArray[np.datetime64], share: float, *, rounded_up: bool = False
) -> np.datetime64:
    """The day that splits the examples of several stocks, the same for all of them.

    Ordered by the day of the label's first price, the newest examples are n - int(n (1 - share))
    or, rounded up, ceil(n share); the oldest of them begins on the day. So of one stock with one
    price a window the split is that of `split_examples` or `split_off_validation`.

    Args:
        first: (n,), n >= 1: when the first price of each label is.
        share: of the newest examples, in (0, 1).
        rounded_up: as above.

    Returns:
        A datetime64[D]. Labels that begin on it or later are the newest.
    """
    count = len(first)
    older = count - math.ceil(count * share) if rounded_up else int(count * (1.0 - share))
    # However small the share: the newest day is among the newest.
    older = min(older, count - 1)
    return np.partition(first.astype("datetime64[D]"), older)[older]


def split_off_validation(train: IntArray, ratio: float) -> tuple[IntArray, IntArray]:
    """The training examples without their newest ones, which validate.

    Args:
        train: (n,), ascending.
        ratio: share that validates, in [0, 1).

    Returns:
        (n - k,) and (k,), k = ceil(n * ratio).
    """
    count = math.ceil(len(train) * ratio)
    return train[: len(train) - count], train[len(train) - count :]
