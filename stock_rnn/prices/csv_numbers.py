"""Numbers as people and programs write them, under one decimal sign for a whole file."""

import re

import numpy as np

from stock_rnn.prices.csv_candidates import Mismatch

# What Yahoo ("null"), pandas, R, Excel and web pages write where there is no price.
MISSING = ("", "null", "Null", "NULL", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "#N/A", "None", "-")
CURRENCIES = "$€£¥₹"

# A blank that does not break, the narrow one, and both of Switzerland's apostrophes.
_OTHER_GROUPING = " \u00a0\u202f'\u2019"
_NOT_DIGITS_AND_POINTS = re.compile(r"[^0-9.\n]")


def _pattern(decimal: str, grouping: str) -> re.Pattern[str]:
    """Return what a number is: grouped by threes throughout, or not at all."""
    grouped = rf"[1-9][0-9]{{0,2}}(?P<group>[{grouping}])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*"
    whole = rf"(?:{grouped}(?:{decimal}[0-9]*)?|[0-9]+(?:{decimal}[0-9]*)?|{decimal}[0-9]+)"
    return re.compile(
        rf"[+-]?(?:[{CURRENCIES}] ?)?"
        rf"(?:{whole}(?:[eE][+-]?[0-9]+)?|inf(?:inity)?)"
        rf"(?: ?[{CURRENCIES}])?",
        re.IGNORECASE,
    )


_PATTERNS = {
    "point": _pattern(r"\.", "," + _OTHER_GROUPING),
    "comma": _pattern(",", "." + _OTHER_GROUPING),
}
_DELETED = {
    "point": "," + _OTHER_GROUPING + CURRENCIES,
    "comma": "." + _OTHER_GROUPING + CURRENCIES,
}
_MISSING = frozenset(MISSING)


def parse_numbers(cells: list[str], decimal: str) -> np.ndarray:
    """Parse cells without surrounding blanks.

    Args:
        cells: One or more: numbers, perhaps grouped by thousands (by the other one of point
            and comma, a blank, an apostrophe) or with one of `CURRENCIES`; or `MISSING`.
        decimal: One of `stock_rnn.prices.sources.DECIMALS`.

    Returns:
        float64, shape (cells,), NaN where missing.

    Raises:
        Mismatch: A cell is no such number.
    """
    if decimal == "point" and not _NOT_DIGITS_AND_POINTS.search("\n".join(cells)):
        try:
            return np.array(cells, dtype=object).astype(np.float64)
        except ValueError:
            pass  # An empty cell, or 1.2.3: the slower way tells which.
    fits = _PATTERNS[decimal].fullmatch
    for row, cell in enumerate(cells):
        if not fits(cell) and cell not in _MISSING:
            raise Mismatch(row)
    text = "\n".join("nan" if cell in _MISSING else cell for cell in cells)
    for sign in _DELETED[decimal]:
        text = text.replace(sign, "")
    if decimal == "comma":
        text = text.replace(",", ".")
    return np.array(text.split("\n"), dtype=object).astype(np.float64)


def currencies(cells: list[str]) -> set[str]:
    """Return the currency signs that stand in the cells."""
    return set(CURRENCIES).intersection("".join(cells))
