"""Checks of every line of a CSV file: it is text and has as many fields as the header.

pandas fills short rows with missing values and cuts long ones off in silence, so it
gets only files that pass these checks.
"""

import csv
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from stock_rnn.prices.csv_header import MAX_LINE_BYTES, Table, check_text
from stock_rnn.prices.series import shown

MAX_BLANK_LINES = 1_000_000
_BLOCK_BYTES = 1024**2


@dataclass(frozen=True, eq=False)
class Lines:
    """What is known of the lines after the header.

    Attributes:
        blank: int64, shape (blank lines,), their numbers, ascending, from 1.
        longest: Bytes in the longest line.
    """

    blank: np.ndarray
    longest: int


def check_lines(file: BinaryIO, table: Table) -> Lines:
    """Check each line after the header.

    Args:
        file: UTF-8 text.
        table: Where its header is.

    Raises:
        UserError: Binary content, a line that is too long, or one with more or fewer
            fields than the header.
    """
    file.seek(table.offset)
    separator, separators = table.delimiter.encode(), table.columns - 1
    number, rest = table.line, b""
    blank: list[int] = []
    longest = 0
    # As pandas sees it: a line of tabs is a row where tabs separate the fields.
    spaces = b" \t\r".replace(separator, b"")
    while True:
        block = file.read(_BLOCK_BYTES)
        lines = (rest + block).split(b"\n")
        # The last piece goes on in the next block, except at the end of the file.
        rest = lines.pop() if block or not lines[-1] else b""
        if len(rest) > MAX_LINE_BYTES:
            check_text(rest, table.path, number + len(lines) + 1)
        in_block = max(map(len, lines), default=0)
        _check_block(lines, in_block, table.path, number)
        longest = max(longest, in_block)
        # One look at the set: most blocks hold nothing but whole, unquoted rows.
        whole = {line.count(separator) for line in lines} <= {separators}
        plain = whole and not any(b'"' in line for line in lines)
        if not plain and not _all_rows(lines, table):
            for i, line in enumerate(lines, start=number + 1):
                if line.strip(spaces):
                    _check_row(line, i, table)
                elif len(blank) < MAX_BLANK_LINES:
                    blank.append(i)
                else:
                    raise table.fault(i, f"more than {MAX_BLANK_LINES:,} blank lines; remove them")
        number += len(lines)
        if not block:
            return Lines(np.array(blank, dtype=np.int64), longest)


def _check_block(lines: list[bytes], longest: int, path: str, before: int) -> None:
    """Check the text of whole lines at once, and one by one where that fails."""
    joined = b"\n".join(lines)
    plain = b"\0" not in joined and b"\r" not in joined.replace(b"\r\n", b"").removesuffix(b"\r")
    if plain and joined.isascii() and longest <= MAX_LINE_BYTES:
        return
    for number, line in enumerate(lines, start=before + 1):
        check_text(line, path, number)


def _all_rows(lines: list[bytes], table: Table) -> bool:
    """Tell whether each line is a row with all its fields: no blank line, no open quote."""
    texts = b"\n".join(lines).decode("utf-8").split("\n")
    try:
        counts = [len(row) for row in csv.reader(texts, delimiter=table.delimiter, strict=True)]
    except csv.Error:
        return False
    # A quotation mark that is not closed takes the next line into its row.
    return len(counts) == len(texts) and set(counts) <= {table.columns}


def _check_row(line: bytes, number: int, table: Table) -> None:
    text = line.decode("utf-8").strip("\r")
    try:
        count = len(next(csv.reader([text], delimiter=table.delimiter, strict=True), []))
    except csv.Error:
        raise table.fault(
            number,
            "a quotation mark is not closed in its line, or text follows it; correct the line. "
            f"Received: {shown(text)}",
        ) from None
    if count < table.columns:
        raise table.fault(
            number,
            f"only {count} of the {table.columns} fields that the header names, so the row is "
            f"cut off; complete or delete it. Received: {shown(text)}",
        )
    if count > table.columns:
        raise table.fault(
            number,
            f"{count} fields where the header names {table.columns}; quote fields that contain "
            f"{table.delimiter!r}. Received: {shown(text)}",
        )
