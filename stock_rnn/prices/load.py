"""`load_prices`: one function for every source."""

import logging
import os
from collections.abc import Mapping
from datetime import date

from stock_rnn.errors import UserError
from stock_rnn.prices import bundled
from stock_rnn.prices.series import Prices, RawPrices, select, shown
from stock_rnn.prices.sources import SOURCES, default_symbol
from stock_rnn.prices.span import Span, parse_span

logger = logging.getLogger("stock_rnn.prices")


def load_prices(
    symbol: str | None = None,
    *,
    source: str = "auto",
    csv: str | os.PathLike[str] | None = None,
    date_column: str | None = None,
    close_column: str | None = None,
    decimal: str | None = None,
    period: str = "5y",
    start: str | date | None = None,
    end: str | date | None = None,
    need_open: bool = False,
) -> Prices:
    """Load the daily prices of a symbol and check them.

    Args:
        symbol: Yahoo's symbol, e.g. "^GSPC"; for a CSV just a name. None: the name of
            the CSV if one is named, else ^GSPC.
        source: One of `stock_rnn.prices.sources.SOURCES`. "bundled": ^GSPC and ^IXIC,
            1999-01-04 to 2018-12-31, without a network. "csv": the file `csv`. "yahoo":
            Yahoo Finance, cached. "skfolio": 20 US stocks, 1990 to 2022, of the package of
            that name. "auto": the CSV if one is named, else bundled if it
            has the symbol on every day asked for, else Yahoo. A source that fails is
            never replaced by another.
        csv: A file with a header, a date column and a close column; docs/prices.md says
            which formats are read.
        date_column: The name of the CSV's date column. None: it is called Date or similar.
        close_column: The name of the CSV's close column. None: it is called Close or similar.
        decimal: "point" or "comma", the CSV's decimal sign. None: the numbers tell.
        period: One of `PERIODS`, counted back from the source's last day
            (Yahoo: the last complete day).
        start: First day, ISO 8601, inclusive. It or `end` overrides `period`.
        end: Last day, ISO 8601, inclusive. None: as far as the source goes.
        need_open: Load opening prices too; otherwise `Prices.open` is None.

    Returns:
        The prices of those days, oldest first.

    Raises:
        UserError: Anything a user can mend, in one line.
    """
    if symbol is None:
        symbol = default_symbol(csv)
    if not isinstance(symbol, str) or not symbol.strip():
        raise UserError(f"a symbol is needed, such as ^GSPC. Received: symbol={symbol!r}")
    symbol = symbol.strip()
    span = parse_span(period, start, end)
    columns = {"date_column": date_column, "close_column": close_column, "decimal": decimal}
    chosen = _choose(source, csv, symbol, span)
    if chosen == "csv":
        assert csv is not None
        # Imported here: pandas takes long, and other sources do not need it.
        from stock_rnn.prices.csv_file import read_csv

        raw = read_csv(csv, symbol=symbol, need_open=need_open, **columns)
    else:
        _check_no_columns(chosen, columns)
        raw = _read(chosen, symbol, span)
    prices = select(raw, span, need_open=need_open)
    logger.info("%s", prices.describe())
    return prices


def _choose(source: str, csv: str | os.PathLike[str] | None, symbol: str, span: Span) -> str:
    if source not in SOURCES:
        raise UserError(f"the source must be one of {', '.join(SOURCES)}. Received: {source!r}")
    if source == "csv" and csv is None:
        raise UserError("the source csv needs a file: name it with --csv FILE")
    if source not in ("auto", "csv") and csv is not None:
        raise UserError(
            f"the source {source} does not read a file; leave out either --source {source} "
            f"or --csv. Received: csv={shown(csv)}"
        )
    if source != "auto":
        return source
    if csv is not None:
        return "csv"
    return "bundled" if bundled.holds(symbol, span) else "yahoo"


def _check_no_columns(source: str, columns: Mapping[str, str | None]) -> None:
    """Raise UserError where a setting of CSV files is given for another source."""
    given = [name for name, value in columns.items() if value is not None]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UserError(f"{flags} goes with --csv FILE; the prices come from the source {source}")


def _read(source: str, symbol: str, span: Span) -> RawPrices:
    if source == "bundled":
        return bundled.read_bundled(symbol)
    if source == "skfolio":
        # Imported here: pandas takes long, and other sources do not need it.
        from stock_rnn.prices.skfolio import read_skfolio

        return read_skfolio(symbol)
    # Imported here: yfinance takes long.
    from stock_rnn.prices.yahoo import read_yahoo

    return read_yahoo(symbol, span)
