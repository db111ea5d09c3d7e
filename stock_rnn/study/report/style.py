"""Colours and empty figures: the one place where the report's figures get their look."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stock_rnn.curvature import palette
from stock_rnn.plots import ACTUAL, PERSISTENCE, PREDICTED
from stock_rnn.study.plan import OPTIMIZERS

__all__ = ["ACTUAL", "OPTIMIZER_STYLES", "PERSISTENCE", "PREDICTED", "REFERENCE", "new_figure"]

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


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure outside pyplot, and its panels row by row, each with a grid.

    Args:
        width, height: inches.
        rows, columns: of panels.
    """
    figure = palette.new_figure(width, height, dpi=110)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels
