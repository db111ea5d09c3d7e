"""Candidate formats of a column, of which its cells reject all but one.

12/11/2018 is a date in two formats, and 1,234 a number under two decimal signs. All
candidates that fit every cell so far are kept; a cell that does not fit rejects one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


class Mismatch(Exception):
    """A cell does not fit a format; `row` counts from 0."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}")
        self.row = row


@dataclass(frozen=True)
class Rejection:
    """A format and the cell that does not fit it; `row` counts from 0 in its chunk."""

    form: str
    line: int
    cell: str
    row: int


class NoFormatError(Exception):
    """No candidate fits all cells; `rejections` has one for each candidate."""

    def __init__(self, rejections: list[Rejection]) -> None:
        super().__init__("no format fits")
        self.rejections = rejections


class AmbiguousFormatError(Exception):
    """Two candidates fit all cells, and differ from line `line` on."""

    def __init__(self, one: str, other: str, line: int) -> None:
        super().__init__(f"{one} or {other}")
        self.one, self.other, self.line = one, other, line


class Candidates:
    """The formats that fit all cells so far, with the values under each.

    Args:
        forms: Names of the formats.
        parse: Cells and a format -> an array of 64-bit values whose last axis is the
            rows; raises `Mismatch`.
    """

    def __init__(self, forms: Sequence[str], parse: Callable[[list[str], str], np.ndarray]) -> None:
        self._parse = parse
        self._parts: dict[str, list[np.ndarray]] = {form: [] for form in forms}
        self._rejections: list[Rejection] = []

    def add(self, cells: list[str], lines: np.ndarray) -> None:
        """Parse some more cells under every format that is left.

        Args:
            cells: The cells of one column, or of several one after the other.
            lines: int, shape (rows,), their lines.

        Raises:
            NoFormatError: No format is left.
        """
        for form in list(self._parts):
            try:
                self._parts[form].append(self._parse(cells, form))
            except Mismatch as mismatch:
                row = mismatch.row
                del self._parts[form]
                line = int(lines[row % len(lines)])
                self._rejections.append(Rejection(form, line, cells[row], row))
        if not self._parts:
            raise NoFormatError(self._rejections)

    def result(self, lines: np.ndarray) -> tuple[str, np.ndarray]:
        """Return the format that is left, and all values.

        Args:
            lines: int, shape (rows,), the lines of all rows.

        Raises:
            AmbiguousFormatError: Formats are left that differ.
        """
        (form, values), *others = (
            (form, np.concatenate(parts, axis=-1)) for form, parts in self._parts.items()
        )
        for other, same in others:
            # As integers, so that missing values are equal.
            differ = values.view(np.int64) != same.view(np.int64)
            if differ.any():
                first = np.flatnonzero(differ.reshape(-1, len(lines)).any(axis=0))[0]
                raise AmbiguousFormatError(form, other, int(lines[first]))
        return form, values
