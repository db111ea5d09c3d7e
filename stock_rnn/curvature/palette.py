"""Colours, titles and the figure factory that every picture of the package is made with."""

from __future__ import annotations

import re

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


# Of DejaVu Sans, Matplotlib's own font, as a share of its size: wider than most words need.
_LETTER_WIDTH = 0.62


def add_title(figure: Figure, text: str, *, size: float = 11.0) -> None:
    """Put a title above all panels, in as many lines as it needs to be seen whole.

    Args:
        figure: of `new_figure`.
        text: the title; lines are broken after spaces, underscores and commas, else anywhere.
        size: of the letters, in points.
    """
    letters = int(72 * figure.get_figwidth() / (size * _LETTER_WIDTH))
    figure.suptitle("\n".join(_lines(text, letters)), fontsize=size)


def _lines(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` letters; only spaces are lost."""
    lines = [""]
    for word in re.findall(rf"[^ _,]{{1,{width - 1}}}[ _,]?|[ _,]", text):
        if len(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return [line.strip() for line in lines]
