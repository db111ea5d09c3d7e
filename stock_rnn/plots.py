"""Pictures of predictions."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn.curvature.palette import BLUE, GREY, VERMILION, new_figure

# The report's red and blue, in hues that colour-blind readers can tell apart.
ACTUAL, PREDICTED, PERSISTENCE = VERMILION, BLUE, GREY

#: How many of the newest predicted prices are shown, as in the report.
SHOWN_DAYS = 100


def prediction_figure(
    dates: NDArray[np.datetime64],
    actual: NDArray[np.floating],
    predicted: NDArray[np.floating],
    *,
    persistence: NDArray[np.floating],
    title: str,
    ylabel: str,
) -> Figure:
    """The report's figure 5.1: actual in red, predicted in blue, persistence in grey.

    The newest `SHOWN_DAYS` values are shown.

    Args:
        dates: (m,) datetime64, ascending.
        actual, predicted, persistence: (m,), in the units that `ylabel` names.
        title, ylabel: texts.
    """
    newest = slice(-SHOWN_DAYS, None)
    figure = new_figure(9, 4.5)
    axes = figure.add_subplot()
    axes.plot(
        dates[newest], persistence[newest], color=PERSISTENCE, lw=1.3, ls=":", label="persistence"
    )
    axes.plot(dates[newest], actual[newest], color=ACTUAL, lw=1.4, label="actual")
    axes.plot(dates[newest], predicted[newest], color=PREDICTED, lw=1.4, ls="--", label="predicted")
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set(title=title, ylabel=ylabel, xlabel="date")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
