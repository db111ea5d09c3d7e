"""Figures of predictions."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from stock_rnn import plots


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
