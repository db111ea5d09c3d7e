"""Colours and the figure factory that every picture of the package is made with."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# The palette of Okabe and Ito (2008), "Color Universal Design", which colour-blind
# readers can tell apart. https://jfly.uni-koeln.de/color
BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
# Two greys beside it, for what is not the subject.
GREY = "#666666"
LIGHT_GREY = "#999999"


def new_figure(width: float, height: float, *, dpi: float = 120.0) -> Figure:
    """An empty figure without state in pyplot: it is freed when nothing refers to it.

    Args:
        width, height: inches.
        dpi: pixels an inch.

    Returns:
        A figure with a canvas of its own and constrained layout.
    """
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
