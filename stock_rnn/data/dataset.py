"""Prices cut into windows: the data set that the network is trained on.

Window arithmetic is pure functions on arrays; `StockDataSet` puts them
together. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]
DateArray = NDArray[np.datetime64]


def cut_windows(prices: NDArray[Any], input_size: int) -> NDArray[Any]:
    """Disjoint windows of N consecutive prices; the newest L mod N are dropped.

    Args:
        prices: (L,), oldest first.
        input_size: N >= 1.

    Returns:
        (floor(L / N), N), a view.
    """
    count = len(prices) // input_size
    return prices[: count * input_size].reshape(count, input_size)


def base_prices(windows: FloatArray) -> FloatArray:
    """The price each window is divided by: the last one before it.

    Window 0 has nothing before it and is divided by its own first price.

    Args:
        windows: (W, N) prices.

    Returns:
        (W,) prices.
    """
    return np.concatenate([windows[:1, 0], windows[:-1, -1]])


def normalize(windows: FloatArray) -> FloatArray:
    """Relative change against the last price before the window: w_k / base_k - 1.

    In this normalization the forecast 0 says "the price stays where it is":
    it is the persistence forecast. (Report, section 4.2.2.)

    Args:
        windows: (W, N) prices.

    Returns:
        (W, N), dimensionless.
    """
    return windows / base_prices(windows)[:, None] - 1.0


def denormalize(normalized: FloatArray, bases: FloatArray) -> FloatArray:
    """The inverse of `normalize`: (x + 1) * base, for x (k, N) and bases (k,)."""
    return (normalized + 1.0) * bases[:, None]


def interleave(prices: Prices) -> tuple[DateArray, FloatArray]:
    """Opening and closing prices in turn, day by day.

    Returns:
        dates (2n,) and prices (2n,): open, close, open, close, ...

    Raises:
        UserError: the source has no opening prices.
    """
    if prices.open is None:
        raise UserError(
            f"--open-and-close needs opening prices; {prices.source} has none for {prices.symbol}"
        )
    return np.repeat(prices.dates, 2), np.column_stack([prices.open, prices.close]).ravel()


def split_examples(
    count: int, *, split: str, test_ratio: float, train_ratio: float, seed: int
) -> tuple[IntArray, IntArray]:
    """Which examples train and which test, both in the order of time.

    chronological: the first int(count * (1 - test_ratio)) train, the rest test
    (the appendix). random: int(count * train_ratio) drawn without replacement
    train, the rest test (section 5.1's words).

    Returns:
        (n_train,) and (n_test,) int32, disjoint, together 0..count-1.
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


def epoch_order(
    count: int, batch_size: int, *, shuffle: str, seed: int, epoch: int
) -> tuple[IntArray, IntArray]:
    """The examples of one epoch in the order in which they are seen.

    batches: contiguous slices of fixed composition in shuffled order, as the
    original; the short last slice is kept, and may come anywhere. windows: all
    examples shuffled, then sliced.

    A function of (seed, epoch) alone, so that a resumed run sees what an
    uninterrupted one would have seen.

    Returns:
        order (count,) int32, positions in the training set; sizes (batches,)
        int32, how many of them each batch takes in turn.
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


class StockDataSet:
    """Examples (T windows in, the next window out) over a series of prices.

    With L prices there are W = floor(L / N) windows and n = W - T examples:
    example i reads windows i..i+T-1 and is to predict window i+T. Inputs are
    views into one (W, N) array and are never materialized as a whole.

    Args:
        prices: (L,) positive prices, oldest first.
        dates: (L,) datetime64, ascending; None numbers the prices as days from
            1970-01-01.
        input_size: N, prices in a window.
        num_steps: T, windows in an example's input.
        normalized: whether windows are relative changes (`normalize`) or prices.
        split, test_ratio, train_ratio, seed: as `split_examples`.
        symbol: for messages.

    Attributes:
        windows: (W, N) float64, what the network reads.
        bases: (W,) float64, what turns a window back into prices.
        train, test: (n_train,), (n_test,) int32, the examples of each set.

    Raises:
        UserError: too few prices for one training and one test example, or a
            price that is not positive and finite.
    """

    def __init__(
        self,
        prices: FloatArray,
        dates: DateArray | None = None,
        *,
        input_size: int = 1,
        num_steps: int = 30,
        normalized: bool = True,
        split: str = "chronological",
        test_ratio: float = 0.1,
        train_ratio: float = 0.1,
        seed: int = 0,
        symbol: str = "prices",
    ) -> None:
        prices = np.asarray(prices, dtype=np.float64)
        if dates is None:
            dates = np.arange(len(prices)).astype("datetime64[D]").astype("datetime64[s]")
        if prices.ndim != 1 or dates.shape != prices.shape:
            raise UserError(
                f"prices and dates must be 1-d and of one length. Received: shapes "
                f"{prices.shape}, {dates.shape}"
            )
        if not (np.isfinite(prices).all() and (prices > 0).all()):
            at = int(np.flatnonzero(~(np.isfinite(prices) & (prices > 0)))[0])
            raise UserError(f"{symbol}: price {at} must be positive and finite: {prices[at]}")
        self.symbol = symbol
        self.input_size, self.num_steps, self.normalized = input_size, num_steps, normalized
        raw = cut_windows(prices, input_size)
        self.count = max(len(raw) - num_steps, 0)
        self.train, self.test = split_examples(
            self.count, split=split, test_ratio=test_ratio, train_ratio=train_ratio, seed=seed
        )
        if len(self.train) == 0 or len(self.test) == 0:
            raise UserError(
                f"{symbol}: {len(prices)} prices are too few: in windows of {input_size} with "
                f"{num_steps} steps they make {len(self.train)} training and {len(self.test)} test "
                f"examples, and each needs at least one; take a longer span or smaller "
                f"--num-steps and --input-size"
            )
        self.bases = base_prices(raw)
        self.windows = normalize(raw) if normalized else raw
        self._dates = cut_windows(dates, input_size)
        self._last_price = float(raw[-1, -1])

    @classmethod
    def from_prices(
        cls, prices: Prices, *, open_and_close: bool = False, **options: Any
    ) -> StockDataSet:
        """The data set over closing prices, or opening and closing ones in turn."""
        dates, values = interleave(prices) if open_and_close else (prices.dates, prices.close)
        return cls(values, dates, symbol=prices.symbol, **options)

    def __len__(self) -> int:
        return self.count

    def inputs(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k, T, N): what the network reads; a view if `examples` is a slice."""
        every = sliding_window_view(self.windows, self.num_steps, axis=0)[:-1]
        return every[examples].transpose(0, 2, 1)

    def labels(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k, N): the window each example is to predict."""
        return self.windows[self.num_steps :][examples]

    def label_dates(self, examples: IntArray | slice = slice(None)) -> DateArray:
        """(k, N) datetime64: the dates of the label's prices."""
        return self._dates[self.num_steps :][examples]

    def input_dates(self, examples: IntArray | slice = slice(None)) -> DateArray:
        """(k, T, N) datetime64: the dates of the input's prices."""
        every = sliding_window_view(self._dates, self.num_steps, axis=0)[:-1]
        return every[examples].transpose(0, 2, 1)

    def label_bases(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k,): the last price that is known when the label is predicted."""
        return self.bases[self.num_steps :][examples]

    def to_prices(self, values: FloatArray, examples: IntArray | slice = slice(None)) -> FloatArray:
        """Predictions or labels (k, N) turned back into prices (k, N)."""
        if not self.normalized:
            return np.asarray(values, dtype=np.float64)
        return denormalize(np.asarray(values, dtype=np.float64), self.label_bases(examples))

    def persistence(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k, N): the forecast "the price stays", in the units of the labels."""
        bases = np.broadcast_to(self.label_bases(examples)[:, None], self.labels(examples).shape)
        return np.zeros_like(bases) if self.normalized else bases

    def latest_input(self) -> FloatArray:
        """(1, T, N): the newest T windows, from which the next one is predicted."""
        return self.windows[None, -self.num_steps :]

    def latest_to_prices(self, values: FloatArray) -> FloatArray:
        """The prediction made from `latest_input`, (1, N), as prices (N,)."""
        values = np.asarray(values, dtype=np.float64)[0]
        return (values + 1.0) * self._last_price if self.normalized else values

    @property
    def train_X(self) -> FloatArray:
        """(n_train, T, N): the training inputs."""
        return self.inputs(self._as_slice(self.train))

    @property
    def train_y(self) -> FloatArray:
        """(n_train, N): the training labels."""
        return self.labels(self._as_slice(self.train))

    @property
    def test_X(self) -> FloatArray:
        """(n_test, T, N): the test inputs."""
        return self.inputs(self._as_slice(self.test))

    @property
    def test_y(self) -> FloatArray:
        """(n_test, N): the test labels."""
        return self.labels(self._as_slice(self.test))

    def generate_one_epoch(
        self, batch_size: int, *, epoch: int = 0, seed: int = 0, shuffle: str = "batches"
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """The batches (X, y) of one training epoch, in the order of `epoch_order`."""
        order, sizes = epoch_order(
            len(self.train), batch_size, shuffle=shuffle, seed=seed, epoch=epoch
        )
        for positions in np.split(order, np.cumsum(sizes)[:-1]):
            examples = self.train[positions]
            yield self.inputs(examples), self.labels(examples)

    def spaced_examples(self, most: int) -> IntArray:
        """Training examples, evenly spaced in time, `most` of them or all there are.

        Returns:
            (k,) int32, ascending.
        """
        count = len(self.train)
        return self.train[np.linspace(0, count - 1, min(most, count)).round().astype(int)]

    def describe(self) -> str:
        """One line: what is in the set."""
        first, last = self._dates[0, 0], self._dates[-1, -1]
        return (
            f"{self.symbol}: {len(self.windows):,} windows of {self.input_size} from "
            f"{first.astype('datetime64[D]')} to {last.astype('datetime64[D]')}, "
            f"{len(self.train):,} training and {len(self.test):,} test examples of "
            f"{self.num_steps} steps"
        )

    def __repr__(self) -> str:
        return f"<StockDataSet {self.describe()}>"

    @staticmethod
    def _as_slice(examples: IntArray) -> IntArray | slice:
        """Contiguous examples as a slice, so that indexing gives a view."""
        first, last = int(examples[0]), int(examples[-1])
        if last - first + 1 == len(examples):
            return slice(first, last + 1)
        return examples
