"""Prices from a CSV file: any with a date column and a close column.

The steps: `csv_text` converts the file to UTF-8, `csv_header` finds its columns,
`csv_lines` checks every line, pandas splits the needed columns into cells, in chunks,
and `csv_dates` and `csv_numbers` parse the cells. `csv_candidates` finds the one format
that fits a whole column. The log tells the guesses in one line; a file with two formats
that fit and differ is refused.
"""

import logging
import os
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

import numpy as np
import pandas as pd

from stock_rnn.errors import UserError
from stock_rnn.prices.csv_candidates import (
    AmbiguousFormatError,
    Candidates,
    Mismatch,
    NoFormatError,
)
from stock_rnn.prices.csv_dates import ISO, date_formats, one_clock, parse_dates
from stock_rnn.prices.csv_header import Table, Wanted, find_table
from stock_rnn.prices.csv_lines import Lines, check_lines
from stock_rnn.prices.csv_numbers import MISSING, currencies, parse_numbers
from stock_rnn.prices.csv_text import open_text
from stock_rnn.prices.series import RawPrices, shown
from stock_rnn.prices.sources import DECIMALS, default_symbol

logger = logging.getLogger("stock_rnn.prices")

# The first chunk is small, because it rejects most candidate formats.
FIRST_CHUNK_ROWS = 1000
CHUNK_ROWS = 250_000
# Chunks of long lines have fewer rows, so that memory stays bounded.
CHUNK_BYTES = 32 * 1024**2

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_csv(
    path: str | os.PathLike[str],
    *,
    symbol: str | None = None,
    need_open: bool = False,
    date_column: str | None = None,
    close_column: str | None = None,
    decimal: str | None = None,
) -> RawPrices:
    """Read dates and prices from a CSV file; docs/prices.md lists the formats.

    Dates are in one format throughout, local time where there are zones (UTC where local
    time goes back between two rows), UTC where they are seconds since 1970. Where commas
    separate the fields, numbers have a decimal point; elsewhere the numbers must tell.

    Args:
        path: A regular file, perhaps packed by gzip.
        symbol: The name that the prices get; None: the file's.
        need_open: Read the opening prices too.
        date_column: The column of the dates; None: the one named so.
        close_column: The column of the closes; None: the one named so.
        decimal: One of `DECIMALS`; None: as above.

    Raises:
        UserError: The file cannot be read, is no such table, is ambiguous, has two
            symbols, or a cell that is no date or no number; the message names the file
            and the line.
    """
    if decimal is not None and decimal not in DECIMALS:
        raise UserError(f"--decimal must be one of {', '.join(DECIMALS)}. Received: {decimal!r}")
    name = shown(os.fspath(path), 200)
    wanted = Wanted(date_column, close_column, need_open)
    with open_text(path, name) as text:
        table = find_table(text.file, name, wanted)
        columns = _Columns(table, decimal)
        for cells, lines in _chunks(text.file, table, check_lines(text.file, table)):
            columns.add(cells, lines)
    raw, notes = columns.result(default_symbol(path) if symbol is None else symbol)
    logger.info("%s: read %s", name, ", ".join((*_layout(table), *notes, *text.notes)))
    return raw


def _layout(table: Table) -> Iterator[str]:
    yield f"{shown(table.names[table.close], 40)!r} by {shown(table.names[table.date], 40)!r}"
    if table.above:
        yield f"{table.above} lines above the header left out"
    yield f"{_SEPARATORS[table.delimiter]}s between fields"


def rows_in_a_chunk(longest_line: int) -> int:
    """Return how many rows are parsed at once if the longest line has so many bytes."""
    return min(CHUNK_ROWS, max(FIRST_CHUNK_ROWS, CHUNK_BYTES // max(1, longest_line)))


def _chunks(
    file: BinaryIO, table: Table, checked: Lines
) -> Iterator[tuple[dict[int, list[str]], np.ndarray]]:
    """Yield the needed columns of some rows as text, and the line of each row."""
    file.seek(table.offset)
    numbers = (table.date, table.time, table.symbol, table.close, table.open)
    columns = [column for column in numbers if column is not None]
    # pandas skips blank lines: so many rows stand before each of them.
    rows_before_blank = checked.blank - (table.line + 1) - np.arange(len(checked.blank))
    chunk_rows = rows_in_a_chunk(checked.longest)
    done = 0
    try:
        reader = pd.read_csv(
            file,
            sep=table.delimiter,
            header=None,
            names=[str(column) for column in range(table.columns)],
            usecols=[str(column) for column in columns],
            dtype=object,
            keep_default_na=False,
            iterator=True,
            encoding="utf-8",
        )
        while True:
            frame = reader.get_chunk(chunk_rows if done else FIRST_CHUNK_ROWS)
            row = np.arange(done, done + len(frame))
            done += len(frame)
            skipped = np.searchsorted(rows_before_blank, row, side="right")
            yield (
                {i: [cell.strip() for cell in frame[str(i)].tolist()] for i in columns},
                table.line + 1 + row + skipped,
            )
    except (StopIteration, pd.errors.EmptyDataError):
        return


class _Columns:
    """The dates and prices of a table, chunk by chunk."""

    def __init__(self, table: Table, decimal: str | None) -> None:
        self._table = table
        self._prices = [table.close] if table.open is None else [table.close, table.open]
        if decimal is not None:
            decimals: tuple[str, ...] = (decimal,)
        elif table.delimiter == ",":
            decimals = ("point",)
        else:
            decimals = DECIMALS
        self._decimal_given = decimal is not None
        self._numbers = Candidates(decimals, self._parse_prices)
        self._dates: Candidates | None = None
        self._lines: list[np.ndarray] = []
        self._symbol: tuple[str, int] | None = None
        self._currency: tuple[str, int] | None = None

    def add(self, cells: dict[int, list[str]], lines: np.ndarray) -> None:
        """Read some more rows.

        Raises:
            UserError: A cell fits no format that is left, or is of another symbol.
        """
        cells, lines = self._without_empty_rows(self._with_times(cells), lines)
        if len(lines) == 0:
            return
        table = self._table
        dates = cells[table.date]
        prices = [cell for column in self._prices for cell in cells[column]]
        if table.symbol is not None:
            self._check_one_symbol(cells[table.symbol], lines)
        self._check_one_currency(prices, lines)
        if self._dates is None:
            self._dates = Candidates(date_formats(dates[0]), parse_dates)
        try:
            self._dates.add(dates, lines)
        except NoFormatError as error:
            self._refuse_date(error)
        try:
            self._numbers.add(prices, lines)
        except NoFormatError as error:
            self._refuse_price(error, len(lines))
        self._lines.append(lines)

    def result(self, symbol: str) -> tuple[RawPrices, list[str]]:
        """Return what was read, and how, for the log.

        Raises:
            UserError: There are no rows, or two formats fit.
        """
        path = self._table.path
        if self._dates is None:
            raise UserError(f"{path} has a header but no rows of prices")
        lines = np.concatenate(self._lines)
        try:
            form, moments = self._dates.result(lines)
        except AmbiguousFormatError as error:
            raise UserError(
                f"{path}: its dates fit both {error.one} and {error.other}, from line "
                f"{error.line} on; write them as 2015-04-01"
            ) from error
        try:
            decimal, prices = self._numbers.result(lines)
        except AmbiguousFormatError as error:
            raise UserError(
                f"{path}, line {error.line}: a price with a decimal {error.one}, or grouped by "
                f"thousands with a decimal {error.other}? No price of the file tells; "
                "say it with --decimal point or --decimal comma"
            ) from error
        dates, is_utc = one_clock(*moments)
        notes = [f"dates in {form}", f"decimal {decimal}"]
        if is_utc:
            notes.append("times in UTC" if form != ISO else "times in UTC: local ones go back")
        raw = RawPrices(
            symbol=symbol,
            source="csv",
            name=path,
            last_day=dates.max().item().date(),
            dates=dates,
            close=prices[0],
            open=prices[1] if len(prices) > 1 else None,
            lines=lines,
        )
        return raw, notes

    def _parse_prices(self, cells: list[str], decimal: str) -> np.ndarray:
        return parse_numbers(cells, decimal).reshape(len(self._prices), -1)

    def _with_times(self, cells: dict[int, list[str]]) -> dict[int, list[str]]:
        """Append the times of day to the dates, where they have a column."""
        date, time = self._table.date, self._table.time
        if time is None:
            return cells
        pairs = zip(cells[date], cells[time], strict=True)
        return {**cells, date: [f"{day} {clock}".strip() for day, clock in pairs]}

    def _without_empty_rows(
        self, cells: dict[int, list[str]], lines: np.ndarray
    ) -> tuple[dict[int, list[str]], np.ndarray]:
        """Leave out rows without date and price, with which spreadsheets end tables."""
        if "" not in cells[self._table.date]:
            return cells, lines
        rows = zip(*(cells[i] for i in (self._table.date, *self._prices)), strict=True)
        filled = [date != "" or not set(prices) <= set(MISSING) for date, *prices in rows]
        if all(filled):
            return cells, lines
        kept = {
            i: [cell for cell, keep in zip(column, filled, strict=True) if keep]
            for i, column in cells.items()
        }
        return kept, lines[filled]

    def _check_one_symbol(self, cells: list[str], lines: np.ndarray) -> None:
        if self._symbol is None:
            self._symbol = cells[0], int(lines[0])
        known, line = self._symbol
        if set(cells) <= {known}:
            return
        row = next(i for i, cell in enumerate(cells) if cell != known)
        raise self._table.fault(
            int(lines[row]),
            f"another symbol than in line {line}; keep the rows of one symbol. "
            f"Received: {shown(cells[row], 40)!r} and {shown(known, 40)!r}",
        )

    def _check_one_currency(self, cells: list[str], lines: np.ndarray) -> None:
        for sign in currencies(cells):
            row = next(i for i, cell in enumerate(cells) if sign in cell) % len(lines)
            if self._currency is None:
                self._currency = sign, int(lines[row])
            known, line = self._currency
            if sign != known:
                first, last = sorted([line, int(lines[row])])
                raise self._table.fault(
                    last, f"another currency than in line {first}; keep the prices of one"
                )

    def _refuse_date(self, error: NoFormatError) -> NoReturn:
        last = max(error.rejections, key=lambda out: out.line)
        what = "not a date" if last.cell else "no date; complete or delete the row"
        raise self._table.fault(
            last.line,
            f"{what}, or in another format than the rows above; write dates as 2015-04-01. "
            f"Received: {shown(last.cell) if last.cell else 'an empty cell'}",
        ) from error

    def _refuse_price(self, error: NoFormatError, rows: int) -> NoReturn:
        last = max(error.rejections, key=lambda out: out.line)
        first = min(error.rejections, key=lambda out: out.line)
        kind = "close" if last.row < rows else "open"
        if first.line != last.line:
            raise self._table.fault(
                last.line,
                f"this {kind} has another decimal sign than line {first.line}, or is no number; "
                f"write all in one way. Received: {shown(last.cell)}",
            ) from error
        advice = "correct it or leave it empty"
        if not self._decimal_given and last.form == "point" and _fits(last.cell, "comma"):
            advice += ", or say --decimal comma"
        raise self._table.fault(
            last.line, f"the {kind} is not a number; {advice}. Received: {shown(last.cell)}"
        ) from error


def _fits(cell: str, decimal: str) -> bool:
    try:
        parse_numbers([cell], decimal)
    except Mismatch:
        return False
    return True
