"""Ways to read a column, followed until its cells leave one.

12/11/2018 is a date in two formats, and 1,234 a number under two decimal signs. Every
way that fits all cells so far is followed; a cell that does not fit rules a way out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


class Misfit(Exception):
    """A cell that does not fit a way of reading; `row` counts from 0."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}")
        self.row = row


class NoWayError(Exception):
    """No way fits all cells; `ruled_out` says by which cell each was ruled out."""

    def __init__(self, ruled_out: "list[RuledOut]") -> None:
        super().__init__("no way is left")
        self.ruled_out = ruled_out


class SeveralWaysError(Exception):
    """Two ways fit all cells and read them differently."""

    def __init__(self, one: str, other: str, line: int) -> None:
        super().__init__(f"{one} and {other}")
        self.one, self.other, self.line = one, other, line


@dataclass(frozen=True)
class RuledOut:
    """A way, and the cell that ruled it out; `row` counts from 0 in its chunk."""

    way: str
    line: int
    cell: str
    row: int


class Ways:
    """The ways that fit all cells so far, with what they read.

    Args:
        ways: Names of the ways, the preferred ones first.
        parse: Cells and a way -> an array of 64-bit values whose last axis is the
            rows; raises `Misfit`.
    """

    def __init__(self, ways: Sequence[str], parse: Callable[[list[str], str], np.ndarray]) -> None:
        self._parse = parse
        self._parts: dict[str, list[np.ndarray]] = {way: [] for way in ways}
        self._ruled_out: list[RuledOut] = []

    def add(self, cells: list[str], lines: np.ndarray) -> None:
        """Read some more cells, whose lines are `lines`; raise NoWayError when none is left."""
        for way in list(self._parts):
            try:
                self._parts[way].append(self._parse(cells, way))
            except Misfit as misfit:
                row = misfit.row
                del self._parts[way]
                line = int(lines[row % len(lines)])
                self._ruled_out.append(RuledOut(way, line, cells[row], row))
        if not self._parts:
            raise NoWayError(self._ruled_out)

    def result(self, lines: np.ndarray) -> tuple[str, np.ndarray]:
        """Return the way that is left and what it read.

        Args:
            lines: int, shape (rows,), the lines of all rows.

        Raises:
            SeveralWaysError: Ways are left that differ.
        """
        (way, values), *others = (
            (way, np.concatenate(parts, axis=-1)) for way, parts in self._parts.items()
        )
        for other, same in others:
            # As integers: missing values are equal too.
            differ = values.view(np.int64) != same.view(np.int64)
            if differ.any():
                first = np.flatnonzero(differ.reshape(-1, len(lines)).any(axis=0))[0]
                raise SeveralWaysError(way, other, int(lines[first]))
        return way, values
