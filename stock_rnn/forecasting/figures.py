"""Figures of an evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stock_rnn import plots
from stock_rnn.curvature.palette import BLUE, GREY, VERMILION, new_figure
from stock_rnn.forecasting.comparison import MODEL, Comparison


def predictions_figure(table: pd.DataFrame, suffix: str, *, title: str, ylabel: str) -> Figure:
    """The newest predictions of a table, as the report's figure 5.1.

    Args:
        table: as `Evaluation.predictions`.
        suffix: "" for the model's units, "_price" for prices.
        title, ylabel: texts.
    """
    return plots.prediction_figure(
        table["date"].to_numpy(),
        table[f"actual{suffix}"].to_numpy(),
        table[f"predicted{suffix}"].to_numpy(),
        persistence=table[f"persistence{suffix}"].to_numpy(),
        title=title,
        ylabel=ylabel,
        kinds=table["kind"].to_numpy(str),
    )


def skills_figure(comparison: Comparison) -> Figure | None:
    """The skill of each forecast with its 95 % interval; None if no forecast has a skill."""
    skills = {
        name: each.score
        for name, each in comparison.accuracies.items()
        if math.isfinite(each.score.skill)
    }
    if not skills:
        return None
    figure = new_figure(6, 1 + 0.35 * len(skills))
    fix_margins(figure, left=1.35, top=0.2)
    axes = figure.subplots()
    axes.axvline(0.0, color=GREY, lw=1.2, ls=":")
    for place, (name, score) in enumerate(skills.items()):
        bars: Any = None
        if score.no_interval is None:
            bars = np.abs(np.subtract(score.interval, score.skill))[:, None]
        color = VERMILION if name == MODEL else BLUE
        axes.errorbar(score.skill, place, xerr=bars, fmt="o", color=color, capsize=4, lw=1.6)
    axes.set_yticks(range(len(skills)), list(skills))
    axes.set_ylim(len(skills) - 0.5, -0.5)
    axes.set_xlabel("skill: 1 - MSE / MSE of persistence")
    axes.grid(alpha=0.3)
    return figure


def losses_figure(history: pd.DataFrame, *, monitored: str) -> Figure:
    """The losses by epoch, beside those of persistence where the history has them.

    Args:
        history: the columns of `history.csv`, a row an epoch.
        monitored: what the examples of `val_loss` are called, e.g. "test".
    """
    figure = new_figure(6, 3.2)
    fix_margins(figure, left=1.15, top=0.4)
    axes = figure.subplots()
    lines = (
        ("loss", "train", BLUE, "-"),
        ("persistence_loss", "persistence, train", BLUE, ":"),
        ("val_loss", monitored, VERMILION, "-"),
        ("val_persistence_loss", f"persistence, {monitored}", VERMILION, ":"),
    )
    # A single epoch is a point, which no line shows.
    marker = "o" if len(history) == 1 else ""
    for column, label, color, style in lines:
        if column in history and history[column].notna().any():
            options: dict[str, Any] = {"color": color, "ls": style, "lw": 1.4, "marker": marker}
            axes.plot(history["epoch"], history[column], label=label, **options)
    axes.set(xlabel="epoch", ylabel="mean squared error", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.3)
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize="small"
    )
    return figure


def fix_margins(figure: Figure, *, left: float, top: float) -> None:
    """Give a figure fixed margins, in inches: to find them takes longer than to draw."""
    width, height = figure.get_size_inches()
    figure.set_layout_engine(None)
    figure.subplots_adjust(
        left / width, 0.65 / height, 1 - 0.2 / width, 1 - top / height, hspace=0.08
    )
