"""The data set that the network is trained and tested on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from stock_rnn.data.batches import epoch_order
from stock_rnn.data.splits import IntArray, split_examples, split_off_validation
from stock_rnn.data.windows import FloatArray, base_prices, cut_windows, denormalize, normalize
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices

DateArray = NDArray[np.datetime64]


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


def series_of(prices: Prices, *, open_and_close: bool) -> tuple[DateArray, FloatArray]:
    """The series that windows are cut from: closes, or opens and closes in turn.

    Returns:
        dates (L,) and prices (L,).

    Raises:
        UserError: opening prices are asked for, and the source has none.
    """
    return interleave(prices) if open_and_close else (prices.dates, prices.close)


class StockDataSet:
    """Examples (T windows in, the next window out) over a series of prices.

    With L prices there are W = floor(L / N) windows and n = W - T examples:
    example i reads windows i..i+T-1 and predicts window i+T. Inputs are views into
    one (W, N) array: no copy of them all is made.

    Args:
        prices: (L,) positive prices, oldest first.
        dates: (L,) ascending, as datetime64, ISO 8601, `date` or pandas's; None numbers the
            prices as days from 1970-01-01.
        input_size: N, prices in a window.
        num_steps: T, windows in an example's input.
        normalized: whether windows are relative changes (`normalize`) or prices.
        align: "oldest" or "newest", as in `cut_windows`.
        split, test_ratio, train_ratio, seed: as `split_examples`.
        validation_ratio: share of the training examples, the newest ones, that validate
            instead.
        symbol: for messages.

    Attributes:
        windows: (W, N) float64, in the units that the network reads.
        bases: (W,) float64, the price that each window is divided by.
        train, validation, test: (k,) int32, the examples of each set; `validation` is empty
            if its ratio is 0.
        left_out: one line on the prices that fill no window; None if all do.

    Raises:
        UserError: too few prices for one training and one test example, or a
            price that is not positive and finite.
    """

    def __init__(
        self,
        prices: FloatArray,
        dates: ArrayLike | None = None,
        *,
        input_size: int = 1,
        num_steps: int = 30,
        normalized: bool = True,
        align: str = "oldest",
        split: str = "chronological",
        test_ratio: float = 0.1,
        train_ratio: float = 0.1,
        validation_ratio: float = 0.0,
        seed: int = 0,
        symbol: str = "prices",
    ) -> None:
        self._cut(prices, dates, input_size, num_steps, normalized, align, symbol)
        train, self.test = split_examples(
            self.count, split=split, test_ratio=test_ratio, train_ratio=train_ratio, seed=seed
        )
        self.train, self.validation = split_off_validation(train, validation_ratio)
        if len(self.train) == 0 or len(self.test) == 0:
            raise UserError(
                f"{symbol}: {np.size(prices)} prices are too few: in windows of {input_size} "
                f"with {num_steps} steps they make {len(self.train)} training and "
                f"{len(self.test)} test examples, and each needs at least one; take a longer span "
                f"or smaller --num-steps and --input-size"
            )

    def _cut(
        self,
        prices: FloatArray,
        dates: ArrayLike | None,
        input_size: int,
        num_steps: int,
        normalized: bool,
        align: str,
        symbol: str,
    ) -> None:
        """Set all attributes but the sets of examples; arguments as of the constructor.

        Raises:
            UserError: a price is not positive and finite, or shapes do not fit.
        """
        prices = np.asarray(prices, dtype=np.float64)
        if dates is None:
            dates = np.arange(prices.size).astype("datetime64[D]")
        dates = np.asarray(dates, dtype="datetime64[s]")
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
        raw = cut_windows(prices, input_size, align=align)
        self.count = max(len(raw) - num_steps, 0)
        self.bases = base_prices(raw)
        self.windows = normalize(raw) if normalized else raw
        self._dates = cut_windows(dates, input_size, align=align)
        self.left_out = _describe_left_out(dates, input_size, align)

    @classmethod
    def from_prices(
        cls, prices: Prices, *, open_and_close: bool = False, **options: Any
    ) -> StockDataSet:
        """The data set of closing prices, or of opening and closing prices in turn.

        Args:
            prices: daily prices.
            open_and_close: whether opening prices are used too (`interleave`).
            options: the constructor's other arguments.

        Raises:
            UserError: as the constructor, or the source has no opening prices.
        """
        dates, values = series_of(prices, open_and_close=open_and_close)
        return cls(values, dates, symbol=prices.symbol, **options)

    def __len__(self) -> int:
        return self.count

    def inputs(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k, T, N): what the network reads; a view if `examples` is a slice."""
        every = sliding_window_view(self.windows, self.num_steps, axis=0)[:-1]
        return every[self._chosen(examples)].transpose(0, 2, 1)

    def labels(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k, N): the window that each example predicts."""
        return self.windows[self.num_steps :][self._chosen(examples)]

    def label_dates(self, examples: IntArray | slice = slice(None)) -> DateArray:
        """(k, N) datetime64: the dates of the label's prices."""
        return self._dates[self.num_steps :][self._chosen(examples)]

    def label_kinds(self, examples: IntArray | slice = slice(None)) -> NDArray[np.str_]:
        """(k, N): "open" or "close", what each of the label's prices is.

        Of two prices of one date the first is the open (`interleave`).
        """
        return self._kinds()[self.num_steps :][self._chosen(examples)]

    def _kinds(self) -> NDArray[np.str_]:
        """(W, N): what each price of the windows is."""
        dates = self._dates.ravel()
        # The very first price is in no label.
        again = np.concatenate([[False], dates[1:] == dates[:-1]])
        interleaved = bool(again.any())
        return np.where(again | (not interleaved), "close", "open").reshape(self._dates.shape)

    def input_dates(self, examples: IntArray | slice = slice(None)) -> DateArray:
        """(k, T, N) datetime64: the dates of the input's prices."""
        every = sliding_window_view(self._dates, self.num_steps, axis=0)[:-1]
        return every[self._chosen(examples)].transpose(0, 2, 1)

    def label_bases(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k,): the last price that is known when the label is predicted."""
        return self.bases[self.num_steps :][self._chosen(examples)]

    def _chosen(self, examples: IntArray | slice) -> IntArray | slice:
        """Examples as they are counted in the arrays."""
        return examples

    def to_prices(self, values: FloatArray, examples: IntArray | slice = slice(None)) -> FloatArray:
        """Predictions or labels (k, N) of k examples as prices (k, N) float64."""
        if not self.normalized:
            return np.asarray(values, dtype=np.float64)
        return denormalize(np.asarray(values, dtype=np.float64), self.label_bases(examples))

    def persistence(self, examples: IntArray | slice = slice(None)) -> FloatArray:
        """(k, N): the forecast that the price stays where it is, in the labels' units."""
        bases = np.broadcast_to(self.label_bases(examples)[:, None], self.labels(examples).shape)
        return np.zeros_like(bases) if self.normalized else bases

    def persistence_loss(self, examples: IntArray) -> float:
        """The mean squared error of `persistence` on examples, in the labels' units squared."""
        chosen = self._as_slice(examples)
        return float(np.mean((self.labels(chosen) - self.persistence(chosen)) ** 2))

    @property
    def monitored(self) -> IntArray:
        """The examples whose loss is watched while training: `validation`, or else `test`."""
        return self.validation if len(self.validation) else self.test

    @property
    def monitored_name(self) -> str:
        """ "validation" or "test"."""
        return "validation" if len(self.validation) else "test"

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
        """The batches (X, y) of one training epoch, in the order of `epoch_order`.

        X is (k, T, N), y is (k, N), both float64.
        """
        order, sizes = epoch_order(
            len(self.train), batch_size, shuffle=shuffle, seed=seed, epoch=epoch
        )
        for positions in np.split(order, np.cumsum(sizes)[:-1]):
            examples = self.train[positions]
            yield self.inputs(examples), self.labels(examples)

    def spaced_examples(self, max_examples: int) -> IntArray:
        """Training examples, evenly spaced in time.

        Args:
            max_examples: how many; all of them if there are fewer.

        Returns:
            (k,) int32, ascending.
        """
        count = len(self.train)
        positions = np.linspace(0, count - 1, min(max_examples, count)).round().astype(int)
        return self.train[positions]

    def curvature_sample(
        self, max_examples: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the curvature of the training loss is measured on.

        Args:
            max_examples: as in `spaced_examples`.

        Returns:
            inputs (k, T, N) and labels (k, N) of the spaced training examples, float32
            copies.
        """
        examples = self.spaced_examples(max_examples)
        return (
            self.inputs(examples).astype(np.float32),
            self.labels(examples).astype(np.float32),
        )

    def describe(self) -> str:
        """One line: symbol, windows, span, examples."""
        first, last = self._dates[0, 0], self._dates[-1, -1]
        validation = f", {len(self.validation):,} validation" if len(self.validation) else ""
        return (
            f"{self.symbol}: {len(self.windows):,} windows of {self.input_size} from "
            f"{first.astype('datetime64[D]')} to {last.astype('datetime64[D]')}, "
            f"{len(self.train):,} training{validation} and {len(self.test):,} test examples of "
            f"{self.num_steps} steps"
        )

    def __repr__(self) -> str:
        return f"<StockDataSet {self.describe()}>"

    @staticmethod
    def _as_slice(examples: IntArray) -> IntArray | slice:
        """Contiguous examples as a slice: indexing by it gives a view."""
        first, last = int(examples[0]), int(examples[-1])
        if last - first + 1 == len(examples):
            return slice(first, last + 1)
        return examples


def _describe_left_out(dates: DateArray, input_size: int, align: str) -> str | None:
    count = len(dates) % input_size
    if count == 0:
        return None
    days, other = (dates[-count:], "newest") if align == "oldest" else (dates[:count], "oldest")
    end = {"oldest": "newest", "newest": "oldest"}[align]
    return (
        f"the {end} {count} of {len(dates):,} prices, {days[0].astype('datetime64[D]')} to "
        f"{days[-1].astype('datetime64[D]')}, fill no window of {input_size} and are left out; "
        f"--align {other} leaves out the {align} instead"
    )
