"""The names of the sources and of what a user may say about them; imports no library."""

import os
import re
from pathlib import PurePath

from stock_rnn.errors import UserError

# "auto" is the CSV if one is named, else the bundled prices where they have the symbol on
# all days asked for, else Yahoo.
SOURCES = ("auto", "bundled", "csv", "yahoo", "skfolio")
DECIMALS = ("point", "comma")
DEFAULT_SYMBOL = "^GSPC"

# How many symbols the name of several spells out.
_SPELLED = 3

_SUFFIXES = re.compile(r"(\.(csv|tsv|txt|gz))+$", re.IGNORECASE)


def default_symbol(csv: str | os.PathLike[str] | None) -> str:
    """Return the symbol of prices for which none is named.

    Args:
        csv: The file that they come from, or None for another source.

    Returns:
        The file's name without folder and suffixes, as at most 64 printable
        characters; `DEFAULT_SYMBOL` where there is no file.
    """
    if csv is None:
        return DEFAULT_SYMBOL
    stem = _SUFFIXES.sub("", PurePath(csv).name)
    return "".join(c if c.isprintable() else "?" for c in stem).strip()[:64].strip() or "CSV"


def parse_symbols(text: str) -> tuple[str, ...]:
    """Return the symbols of a list such as "AAPL,MSFT,XOM", in its order.

    Raises:
        UserError: One is empty, longer than 64 characters or not printable, or there twice;
            or there is only one.
    """
    symbols = tuple(word.strip() for word in text.split(","))
    for number, symbol in enumerate(symbols):
        if not symbol or len(symbol) > 64 or not symbol.isprintable():
            raise UserError(
                "--symbols must be symbols of 1 to 64 printable characters, with a comma between "
                f"two. Received: {text!r}"
            )
        if symbol in symbols[:number]:
            raise UserError(f"--symbols has {symbol} twice: leave one out")
    if len(symbols) < 2:
        raise UserError(f"--symbols needs two symbols or more; one is --symbol. Received: {text!r}")
    return symbols


def name_of_several(symbols: str | None, file: str | os.PathLike[str] | None) -> str:
    """Return what several stocks are called together: a few symbols, or the file's name.

    Args:
        symbols: As `parse_symbols` takes them; or None.
        file: The file that lists them, if `symbols` is None.

    Raises:
        UserError: As `parse_symbols`.
    """
    if symbols is None:
        return default_symbol(file)
    each = parse_symbols(symbols)
    others = len(each) - _SPELLED
    first = "+".join(each[:_SPELLED])[:48]
    return f"{first}+{others}more" if others > 0 else first
