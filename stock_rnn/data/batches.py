"""The order in which an epoch sees the training examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stock_rnn.errors import UserError

IntArray = NDArray[np.integer]


def epoch_order(
    count: int, batch_size: int, *, shuffle: str, seed: int, epoch: int
) -> tuple[IntArray, IntArray]:
    """The examples of one epoch, in the order in which they are seen.

    batches (as the original): contiguous slices, the same in every epoch, in shuffled
    order. The last slice may be shorter, and may come anywhere. windows: all examples
    shuffled, then sliced.

    The order depends on (seed, epoch) alone: a resumed run sees what an uninterrupted
    one would have seen.

    Args:
        count: number of training examples.
        batch_size: examples in a batch.
        shuffle: "batches" or "windows".
        seed, epoch: of the random order; epochs are counted from 0.

    Returns:
        order (count,) int32, positions in the training set; sizes (batches,) int32,
        the sizes of the batches in turn.

    Raises:
        UserError: `shuffle` is neither of the two.
    """
    rng = np.random.default_rng([seed, epoch])
    starts = np.arange(0, count, batch_size)
    if shuffle == "windows":
        sizes = np.minimum(batch_size, count - starts)
        return rng.permutation(count).astype(np.int32), sizes.astype(np.int32)
    if shuffle == "batches":
        rng.shuffle(starts)
        sizes = np.minimum(batch_size, count - starts)
        # Where each batch begins in the epoch, against where its slice begins in the set.
        shifts = starts - (np.cumsum(sizes) - sizes)
        order = np.arange(count) + np.repeat(shifts, sizes)
        return order.astype(np.int32), sizes.astype(np.int32)
    raise UserError(f"shuffle must be one of batches, windows. Received: {shuffle!r}")
