"""Colours and empty figures: the one place where the report's figures get their look."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from stock_rnn.curvature import palette
from stock_rnn.plots import ACTUAL, PERSISTENCE, PREDICTED
from stock_rnn.study.plan import OPTIMIZERS

__all__ = [
    "ACTUAL",
    "LETTERS",
    "OPTIMIZER_STYLES",
    "PERSISTENCE",
    "PREDICTED",
    "REFERENCE",
    "WIDTH",
    "new_figure",
    "use_log_axis",
]

#: Zero, thresholds, and legend symbols that stand for all colours.
REFERENCE = palette.BLACK

#: Optimizer -> colour, line style and marker.
OPTIMIZER_STYLES: dict[str, tuple[str, Any, str]] = {
    "sgd": (palette.VERMILION, "-", "o"),
    "rmsprop": (palette.BLUE, "--", "s"),
    "rmsprop-tf1": (palette.PURPLE, "-.", "^"),
    "adam": (palette.GREEN, ":", "D"),
}
assert tuple(OPTIMIZER_STYLES) == OPTIMIZERS


#: Inches of a picture whose letters can be read on a phone, where it is 358 pixels wide.
WIDTH = 5.0

#: Points of the smallest letters: nine pixels on a phone.
LETTERS = 9.2

# Pixels of a picture's PNG.
_PIXELS = 1000


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure outside pyplot, and its panels row by row, each with a grid.

    Args:
        width, height: inches.
        rows, columns: of panels.
    """
    figure = palette.new_figure(width, height, dpi=max(110, _PIXELS / width))
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=LETTERS)
    return figure, panels


def use_log_axis(axis: Axis, *, powers: bool = True) -> None:
    """A logarithmic axis whose numbers are as in the tables, without small raised exponents.

    Args:
        axis: its scale is set before.
        powers: whether only powers of ten have numbers; else 2 and 5 times them, too.
    """
    axis.set_major_formatter(FuncFormatter(_number))
    axis.set_minor_formatter(NullFormatter())
    if not powers:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def _number(value: float, _place: int | None = None) -> str:
    """A tick's number: 0.001 to 9,999 as they are, others by their exponent."""
    if value == 0.0 or 0.001 <= abs(value) < 1e4:
        return f"{value:g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")
