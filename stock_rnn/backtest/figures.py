"""The picture of a backtest."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from stock_rnn.backtest.judge import Judged
from stock_rnn.curvature.palette import BLACK, GREY, LIGHT_GREY, ORANGE, add_title, new_figure
from stock_rnn.forecasting.comparison import MODEL
from stock_rnn.plots import ACTUAL, PREDICTED, SHOWN_DAYS


def backtest_figure(judged: Judged, *, title: str) -> Figure:
    """When a model is better: prices, the newest forecasts, and squared errors summed over time.

    Above, the price over all folds, a line at the beginning of each. In the middle, the newest
    `SHOWN_DAYS` prices with forecasts and intervals. Below, the sum over time of persistence's
    squared error minus the model's, and the same of the best other baseline: where it rises,
    the forecast is better than persistence (Welch and Goyal 2008, figure 1).

    Args:
        judged: the result.
        title: text.
    """
    figure = new_figure(9, 9)
    above, middle, below = figure.subplots(3, 1, height_ratios=[1.0, 1.2, 1.2])
    _prices(above, judged)
    _newest(middle, judged)
    _summed(below, judged)
    for axes in (above, middle, below):
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.grid(alpha=0.3)
    below.sharex(above)
    below.set_xlabel("date")
    add_title(figure, title)
    return figure


def _prices(axes: Axes, judged: Judged) -> None:
    table = judged.forecasts
    axes.plot(table["date"], table["actual"], color=ACTUAL, lw=0.9)
    # Prices that grow by the same share rise by the same height.
    axes.set_yscale("log")
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks(StrMethodFormatter("{x:,g}"))
    axes.set_ylabel("price")
    _mark_folds(axes, judged)
    _caption(axes, "price, and where folds begin (dotted)")


def _newest(axes: Axes, judged: Judged) -> None:
    table = judged.forecasts[judged.forecasts["kind"] == "close"].iloc[-SHOWN_DAYS:]
    score = judged.intervals[MODEL]
    low, high = (table[name].to_numpy(copy=True) for name in ("low", "high"))
    bounded = np.isfinite(low) & np.isfinite(high)
    axes.fill_between(
        table["date"], low, high, where=bounded, color=PREDICTED, alpha=0.18, lw=0,
        label=f"{score.aim:.0%} interval",
    )  # fmt: skip
    axes.plot(table["date"], table["actual"], color=ACTUAL, lw=1.4, label="actual")
    axes.plot(table["date"], table[MODEL], color=PREDICTED, lw=1.4, ls="--", label="model")
    axes.set_ylabel("price")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)


def _summed(axes: Axes, judged: Judged) -> None:
    best = _best_other(judged)
    for name, colour, style in ((best, ORANGE, "-"), (MODEL, PREDICTED, "-")):
        if name is not None:
            total = np.cumsum(judged.relative_losses[name])
            axes.plot(judged.dates, total, color=colour, ls=style, lw=1.4, label=name)
    axes.axhline(0, color=BLACK, lw=0.8)
    axes.set_ylabel("Σ persistence's squared error\n- the forecast's")
    _mark_folds(axes, judged)
    _caption(axes, "rises where the forecast is better than persistence")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _best_other(judged: Judged) -> str | None:
    """The baseline of the lowest MSE but for persistence, which is the line at 0."""
    totals = {name: each.sum() for name, each in judged.relative_losses.items() if name != MODEL}
    return max(totals, key=lambda name: totals[name]) if totals else None


def _mark_folds(axes: Axes, judged: Judged) -> None:
    for first in judged.folds["first"].drop_duplicates():
        axes.axvline(first, color=LIGHT_GREY, lw=0.7, ls=":")


def _caption(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=9, color=GREY)
