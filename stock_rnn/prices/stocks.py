"""Prices of several stocks, loaded one by one."""

import csv
import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stock_rnn.errors import UserError
from stock_rnn.prices.series import Prices, shown

# Columns of a file of symbols.
_SYMBOL, _SECTOR = "symbol", "sector"


@dataclasses.dataclass(frozen=True, eq=False)
class Stocks:
    """Prices of several stocks; they need not span the same days.

    Attributes:
        symbol: What they are called together.
        prices: Of each stock.
        sectors: Of each stock; empty where it is not known.

    Raises:
        ValueError: There are less than two, two have one symbol, or a sector lacks.
    """

    symbol: str
    prices: tuple[Prices, ...]
    sectors: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.prices) < 2 or len(set(self.symbols)) < len(self.prices):
            raise ValueError(f"several stocks have symbols of their own: {self.symbols}")
        if len(self.sectors) != len(self.prices):
            raise ValueError(f"{len(self.sectors)} sectors for {len(self.prices)} stocks")

    def __len__(self) -> int:
        return sum(map(len, self.prices))

    def __getitem__(self, symbol: str) -> Prices:
        """The prices of one stock; KeyError if there is none of that symbol."""
        for each in self.prices:
            if each.symbol == symbol:
                return each
        raise KeyError(symbol)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of each stock."""
        return tuple(each.symbol for each in self.prices)

    @property
    def source(self) -> str:
        """Where the prices come from; with a comma between two."""
        return ", ".join(dict.fromkeys(each.source for each in self.prices))

    @property
    def dates(self) -> np.ndarray:
        """(m,) datetime64[s], ascending: when any of the stocks has a price."""
        return np.unique(np.concatenate([each.dates for each in self.prices]))

    @property
    def dropped(self) -> int:
        """Rows left out because a price was missing."""
        return sum(each.dropped for each in self.prices)

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the symbols and the digests of their prices, in order."""
        digest = hashlib.sha256()
        for each in self.prices:
            digest.update(f"{each.symbol}\n{each.sha256}\n".encode())
        return digest.hexdigest()

    def describe(self) -> str:
        """Return one line: how many stocks and prices, source, span."""
        dates = self.dates
        first, last = (dates[end].astype("datetime64[D]") for end in (0, -1))
        return (
            f"{shown(self.symbol)} ({self.source}): {len(self.prices):,} stocks, {len(self):,} "
            f"prices, {first} to {last}"
        )


def load_stocks(
    symbols: Sequence[tuple[str, str]], load: Callable[[str], Prices], *, name: str
) -> Stocks:
    """Load several stocks.

    Args:
        symbols: Symbol and sector of each.
        load: Symbol -> its prices.
        name: What they are called together.

    Raises:
        UserError: One cannot be loaded, or two turn out to be one.
    """
    prices = tuple(load(symbol) for symbol, _ in symbols)
    found = [each.symbol for each in prices]
    for number, symbol in enumerate(found):
        if symbol in found[:number]:
            raise UserError(f"{symbol} is there twice: leave one out")
    return Stocks(name, prices, tuple(sector for _, sector in symbols))


def read_symbols(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Read symbols and sectors from a CSV with the columns symbol and, if known, sector.

    Args:
        path: UTF-8, with a comma between two fields. Other columns are not read.

    Returns:
        Symbol and sector of each row, in the file's order; the sector is empty where it lacks.

    Raises:
        UserError: The file cannot be read, has no column symbol, an empty symbol, one twice,
            or less than two.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise UserError(f"--symbols-file {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--symbols-file {path} is no CSV in UTF-8 ({error})") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if _SYMBOL not in header:
        raise UserError(
            f"--symbols-file {path} needs a first line with a column symbol (and sector, if "
            f"known). Received: {shown(','.join(rows[0]) if rows else '')!r}"
        )
    found: dict[str, str] = {}
    for line, row in enumerate(rows[1:], 2):
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        symbol = cells.get(_SYMBOL, "")
        if not symbol or len(symbol) > 64 or not symbol.isprintable():
            raise UserError(
                f"{path}, line {line}: the symbol must be 1 to 64 printable characters. "
                f"Received: {shown(symbol)!r}"
            )
        if symbol in found:
            raise UserError(f"{path}, line {line}: {symbol} is there twice: leave one out")
        found[symbol] = " ".join(cells.get(_SECTOR, "").split())
    if len(found) < 2:
        raise UserError(
            f"{path} needs two symbols or more; one is --symbol. Received: {len(found)}"
        )
    return list(found.items())
