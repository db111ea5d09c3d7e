"""The numbers of an evaluation as rows of text, for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from stock_rnn.forecasting.accuracy import Accuracy
from stock_rnn.forecasting.comparison import Comparison
from stock_rnn.forecasting.metrics import PriceError, Score

#: What the rows of `comparison_rows` are.
COMPARISON = "the model beside baselines; p of equal squared errors (Diebold-Mariano, Holm)"


def score_rows(
    scores: Mapping[str, Score], price_errors: Mapping[str, PriceError]
) -> list[tuple[str, ...]]:
    """The columns' names, then a row a set of examples; one number format a column.

    Args:
        scores, price_errors: as of `Evaluation`.
    """
    errors = [price_errors[name] for name in scores]
    decimals = _decimals([error.rmse for error in errors])
    rows: list[tuple[str, ...]] = [
        (
            *("", "examples", "MSE", "persistence MSE", "RMSE in %", "RMSE in price"),
            *("skill", "95 % interval"),
        )
    ]
    for (name, score), error in zip(scores.items(), errors, strict=True):
        low, high = score.interval
        rows.append(
            (
                name,
                f"{score.examples:,}",
                f"{score.mse:.2e}",
                f"{score.persistence_mse:.2e}",
                f"{error.rmse_percent:.3f}",
                f"{error.rmse:,.{decimals}f}",
                f"{score.skill:+.3f}" if score.skill == score.skill else "undefined",
                score.no_interval or f"[{low:+.3f}, {high:+.3f}]",
            )
        )
    return rows


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The columns' names, then a row a forecast."""
    rows: list[tuple[str, ...]] = [
        (
            *("", "MSE", "MAE", "RMSE", "MAPE", "MASE", "RMSSE"),
            *("skill, 95 %", "direction", "p"),
        )
    ]
    for name, each in comparison.accuracies.items():
        rows.append(
            (
                name,
                f"{each.score.mse:.2e}",
                f"{each.mae:.2e}",
                _price_cell(each.rmse_price),
                f"{each.mape:.2f}",
                *(f"{value:.2f}" if value == value else "-" for value in (each.mase, each.rmsse)),
                _skill_cell(each),
                _direction_cell(each),
                _p_cell(comparison.adjusted.get(name, math.nan)),
            )
        )
    return rows


def _decimals(values: Sequence[float]) -> int:
    """Decimals with which the smallest positive value has three digits; 2 at least."""
    positive = [value for value in values if 0 < value < math.inf]
    return max(2, 2 - math.floor(math.log10(min(positive)))) if positive else 2


def _price_cell(value: float) -> str:
    return f"{value:,.0f}" if 1e3 <= value < 1e6 else f"{value:.4g}"


def _skill_cell(each: Accuracy) -> str:
    if each.score.skill != each.score.skill:
        return "-"
    low, high = each.score.interval
    interval = "" if each.score.no_interval else f" [{low:+.2f},{high:+.2f}]"
    return f"{each.score.skill:+.2f}{interval}"


def _direction_cell(each: Accuracy) -> str:
    if each.direction.count == 0:
        return "-"
    low, high = each.direction.interval
    return f"{each.direction.share:.0%} [{100 * low:.0f},{100 * high:.0f}]"


def _p_cell(value: float) -> str:
    if value != value:
        return "-"
    return "<.001" if value < 0.001 else f"{value:.3f}"
