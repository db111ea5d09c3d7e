"""The folds of a backtest as rows of text, for the terminal and for the page."""

from __future__ import annotations

from stock_rnn.backtest.judge import Judged
from stock_rnn.backtest.plan import Walk
from stock_rnn.config import Config
from stock_rnn.forecasting.comparison import MODEL


def how(config: Config, walk: Walk) -> str:
    """How the backtest went along time, in one line."""
    start = (
        "each fit starts from the weights of the one before (warm)"
        if walk.warm_start
        else "each fit starts anew"
    )
    fold = "fold" if walk.refit_every == 1 else f"{walk.refit_every} folds"
    return (
        f"{config.symbol}: {walk.folds} folds, {walk.window} window, a fit every {fold}; {start}, "
        f"{config.max_epoch} epochs, {walk.model} epoch's weights"
    )


def fold_rows(judged: Judged) -> list[tuple[str, ...]]:
    """The columns' names, then a row a fold: the model beside the best baseline of that fold."""
    rows: list[tuple[str, ...]] = [
        (
            *("fold", "first", "last", "trained on", "start", "MSE", "skill"),
            *("best baseline", "its skill", "coverage"),
        )
    ]
    for number, group in judged.folds.groupby("fold"):
        by_name = {row["forecast"]: row for row in group.to_dict("records")}
        model = by_name.pop(MODEL)
        best = min(by_name.values(), key=lambda row: row["mse"])
        rows.append(
            (
                *(str(number), str(model["first"])[:10], str(model["last"])[:10]),
                *(f"{model['trained_on']:,}", str(model["start"])),
                *(f"{model['mse']:.2e}", _signed(model["skill"])),
                *(best["forecast"], _signed(best["skill"]), f"{model['coverage']:.0%}"),
            )
        )
    return rows


def _signed(value: float) -> str:
    return f"{value:+.3f}" if value == value else "-"
