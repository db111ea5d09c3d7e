"""The data set of several stocks in one model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stock_rnn.data.dataset import StockDataSet, series_of
from stock_rnn.data.splits import IntArray, split_day
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices, Stocks

#: The embedding's row for stocks that were not trained on. Stock k of a data set, from 0, has
#: row k + 1.
UNSEEN_ROW = 0


class StocksDataSet(StockDataSet):
    """Examples of several stocks: windows a stock, all of them split at one day.

    The stocks' windows stand in one array, one stock after the other, each normalized by itself.
    Example e reads windows e..e+T-1 and predicts window e+T; the numbers of the examples have gaps,
    so that these windows are always of one stock.

    The split is a day, and no index, since the stocks need not span the same days. An example tests
    if the first price of its label is of `cutoff` or later. It trains (or validates) if the last
    price of its label is of a day before: no price of the test's period is in the training, be it
    of another stock. Labels of several prices that begin before and end after the day do neither.
    The day is that of `split_day`. Validation is split off by a day in the same way.

    Args:
        stocks: the prices.
        open_and_close, input_size, num_steps, normalized, align: as of `StockDataSet`.
        test_ratio, validation_ratio: shares of the examples of all stocks together.

    Attributes:
        stocks: the data set of each, whose arrays are views into those of this one, and whose sets
            of examples are the same, counted from 0 in each.
        symbols, sectors: of each; a sector that is not known is empty.
        cutoff: datetime64[D], the first day of the test.
        starts: (stocks + 1,) int64, where the windows of each begin.
        windows, bases, train, validation, test: as of `StockDataSet`.

    Raises:
        UserError: a stock has no training example, a price that is not positive and finite, or
            no opening prices where they are needed.
    """

    stocks: tuple[StockDataSet, ...]

    def __init__(
        self,
        stocks: Stocks,
        *,
        open_and_close: bool = False,
        input_size: int = 1,
        num_steps: int = 30,
        normalized: bool = True,
        align: str = "oldest",
        test_ratio: float = 0.1,
        validation_ratio: float = 0.0,
    ) -> None:
        self.symbol = stocks.symbol
        self.input_size, self.num_steps, self.normalized = input_size, num_steps, normalized
        self._open_and_close, self._align = open_and_close, align
        self.stocks = tuple(self._cut_alike(prices) for prices in stocks.prices)
        self.symbols, self.sectors = stocks.symbols, stocks.sectors
        self._join()
        self.cutoff, self._validation_from = self._split_days(test_ratio, validation_ratio)
        for stock in self.stocks:
            self._split(stock)
            if len(stock.train) == 0:
                raise UserError(self._untrained(stock))
        self.train, self.validation, self.test = (
            self._numbered([getattr(stock, name) for stock in self.stocks])
            for name in ("train", "validation", "test")
        )
        self.left_out = self._describe_left_out()

    def cut(self, prices: Prices) -> StockDataSet:
        """Another stock, cut into windows and split at the same days as these.

        Its sets may be empty.

        Raises:
            UserError: too few prices for one example, or as the constructor.
        """
        stock = self._cut_alike(prices)
        self._split(stock)
        return stock

    def row(self, symbol: str) -> int:
        """The embedding's row of a stock; `UNSEEN_ROW` if it is not among these."""
        return self.symbols.index(symbol) + 1 if symbol in self.symbols else UNSEEN_ROW

    def rows(self, examples: IntArray) -> NDArray[np.int32]:
        """(k,): the embedding's rows of the stocks that examples (k,) are of."""
        return self.rows_of_windows()[examples]

    def rows_of_windows(self) -> NDArray[np.int32]:
        """(W,): the embedding's rows of the stocks that the windows are of."""
        rows = np.arange(1, len(self.stocks) + 1, dtype=np.int32)
        return np.repeat(rows, np.diff(self.starts))

    @property
    def shown(self) -> StockDataSet:
        """The stock that stands for all in a picture: the first of most monitored examples."""
        return max(self.stocks, key=lambda stock: len(stock.monitored))

    def describe(self) -> str:
        """One line: stocks, windows, span, examples, the test's first day."""
        first, last = self._dates.min(), self._dates.max()
        validation = f", {len(self.validation):,} validation" if len(self.validation) else ""
        return (
            f"{self.symbol}: {len(self.stocks):,} stocks, {len(self.windows):,} windows of "
            f"{self.input_size} from {first.astype('datetime64[D]')} to "
            f"{last.astype('datetime64[D]')}, {len(self.train):,} training{validation} and "
            f"{len(self.test):,} test examples of {self.num_steps} steps; the test begins on "
            f"{self.cutoff}"
        )

    def _cut_alike(self, prices: Prices) -> StockDataSet:
        stock = StockDataSet.__new__(StockDataSet)
        dates, values = series_of(prices, open_and_close=self._open_and_close)
        stock._cut(
            values,
            dates,
            self.input_size,
            self.num_steps,
            self.normalized,
            self._align,
            prices.symbol,
        )
        if stock.count == 0:
            raise UserError(
                f"{prices.symbol}: {len(values):,} prices are too few: an example of "
                f"{self.num_steps} steps needs {(self.num_steps + 1) * self.input_size}; leave the "
                "stock out, or take a longer span or smaller --num-steps and --input-size"
            )
        return stock

    def _join(self) -> None:
        """Put the stocks' arrays into one, of which theirs become views."""
        self.starts = np.cumsum([0, *(len(stock.windows) for stock in self.stocks)])
        self.windows, self.bases, self._dates = (
            np.concatenate([getattr(stock, name) for stock in self.stocks])
            for name in ("windows", "bases", "_dates")
        )
        for stock, start, end in zip(self.stocks, self.starts, self.starts[1:], strict=False):
            stock.windows, stock.bases = self.windows[start:end], self.bases[start:end]
            stock._dates = self._dates[start:end]
        self._every = self._numbered([np.arange(len(stock)) for stock in self.stocks])
        self.count = len(self._every)

    def _numbered(self, examples: list[IntArray]) -> IntArray:
        """The examples of each stock as they are counted here."""
        starts = self.starts[:-1]
        counted = [start + each for start, each in zip(starts, examples, strict=True)]
        return np.concatenate(counted).astype(np.int32)

    def _split_days(
        self, test_ratio: float, validation_ratio: float
    ) -> tuple[np.datetime64, np.datetime64 | None]:
        """The first day of the test, and of the validation if there is one."""
        first, last = self.label_dates()[:, 0], self.label_dates()[:, -1]
        cutoff = split_day(first, test_ratio)
        known = first[last < cutoff]
        if not validation_ratio or not len(known):
            return cutoff, None
        return cutoff, split_day(known, validation_ratio, rounded_up=True)

    def _split(self, stock: StockDataSet) -> None:
        """Set a stock's sets of examples."""
        dates = stock.label_dates()
        first, last = dates[:, 0], dates[:, -1]
        stock.test = _true(first >= self.cutoff)
        known, begin = last < self.cutoff, self._validation_from
        stock.validation = (
            _true(known & (first >= begin)) if begin is not None else _true(~known)[:0]
        )
        stock.train = _true(last < begin) if begin is not None else _true(known)

    def _untrained(self, stock: StockDataSet) -> str:
        first, last = (stock._dates.ravel()[end].astype("datetime64[D]") for end in (0, -1))
        begin = self.cutoff if self._validation_from is None else self._validation_from
        other = "test" if self._validation_from is None else "validation"
        return (
            f"{stock.symbol}: its {stock.windows.size:,} prices from {first} to {last} are too "
            f"few: they make no training example before {begin}, where the {other} begins; leave "
            "the stock out, or take a longer span"
        )

    def _describe_left_out(self) -> str | None:
        lines = [f"of {stock.symbol} {stock.left_out}" for stock in self.stocks if stock.left_out]
        if len(lines) < 2:
            return lines[0] if lines else None
        return f"{lines[0]} (and so of {len(lines) - 1:,} more)"

    def _kinds(self) -> NDArray[np.str_]:
        return np.concatenate([stock._kinds() for stock in self.stocks])

    def _chosen(self, examples: IntArray | slice) -> IntArray | slice:
        # Between two stocks there are numbers that are no examples.
        return self._every if isinstance(examples, slice) and examples == slice(None) else examples


def _true(chosen: NDArray[np.bool_]) -> IntArray:
    return np.flatnonzero(chosen).astype(np.int32)
