"""Colours and empty figures: the one place where the report's figures get their look."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stock_rnn.config import OPTIMIZERS
from stock_rnn.plots import ACTUAL, PERSISTENCE, PREDICTED

__all__ = ["ACTUAL", "OPTIMIZER_STYLES", "PERSISTENCE", "PREDICTED", "REFERENCE", "new_figure"]

#: Zero, thresholds, and legend symbols that stand for all colours.
REFERENCE = "black"

#: Optimizer -> colour, line style and marker. The colours are from the Okabe-Ito palette,
#: which colour-blind readers can tell apart.
OPTIMIZER_STYLES: dict[str, tuple[str, Any, str]] = {
    "sgd": ("#D55E00", "-", "o"),
    "rmsprop": ("#0072B2", "--", "s"),
    "rmsprop-tf1": ("#CC79A7", "-.", "^"),
    "adam": ("#009E73", ":", "D"),
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
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels
