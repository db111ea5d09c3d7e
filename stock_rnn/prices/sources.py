"""The names of the sources and of what a user may say about them; imports no library."""

import os
import re
from pathlib import PurePath

# "auto" is the CSV if one is named, else the bundled prices where they have the symbol on
# all days asked for, else Yahoo.
SOURCES = ("auto", "bundled", "csv", "yahoo")
DECIMALS = ("point", "comma")
DEFAULT_SYMBOL = "^GSPC"

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
