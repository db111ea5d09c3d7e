"""The numbers of an evaluation as rows of text, for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from stock_rnn.forecasting.accuracy import Accuracy
from stock_rnn.forecasting.comparison import MODEL, Comparison
from stock_rnn.forecasting.intervals import Intervals, IntervalScore
from stock_rnn.forecasting.metrics import PriceError, Score
from stock_rnn.forecasting.pooling import PooledComparison


def comparison_heading(comparison: Comparison) -> str:
    """What the rows of `comparison_rows` are, in two lines."""
    return (
        f"{comparison.name}: the model beside baselines; each interval is of one comparison, "
        "uncorrected\n"
        "p: test that both have the same squared error (Diebold-Mariano), Holm-corrected for "
        f"{len(comparison.tests)} baselines"
    )


def stocks_heading(comparison: PooledComparison) -> str:
    """What the rows of `stock_rows` are."""
    return (
        f"{comparison.name} by stock; p against its best baseline (Diebold-Mariano, Holm over all "
        "stocks and baselines)"
    )


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
                f"{error.rmse:,.{decimals}f}" if error.rmse == error.rmse else "-",
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


def stock_rows(comparison: PooledComparison) -> list[tuple[str, ...]]:
    """The columns' names, then a row a stock: the model on it, beside its best baseline."""
    rows: list[tuple[str, ...]] = [
        ("", "examples", "MSE", "MAPE", "RMSE", "skill, 95 %", "direction", "best baseline", "p")
    ]
    for symbol, stock in comparison.stocks.items():
        model = stock.accuracies[MODEL]
        rows.append(
            (
                symbol,
                f"{model.score.examples:,}",
                f"{model.score.mse:.2e}",
                f"{model.mape:.2f}",
                _price_cell(model.rmse_price),
                _skill_cell(model),
                _direction_cell(model),
                stock.best,
                _p_cell(comparison.adjusted_by_stock[symbol][stock.best]),
            )
        )
    return rows


def intervals_heading(kind: Intervals) -> str:
    """What the rows of `interval_rows` are."""
    return (
        f"{kind.method} intervals that aim at {kind.coverage:.0%}; width and Winkler score in % of "
        "the last known price"
    )


def interval_rows(scores: Mapping[str, IntervalScore]) -> list[tuple[str, ...]]:
    """The columns' names, then a row a forecast: how good its intervals are."""
    rows: list[tuple[str, ...]] = [
        ("", "coverage", "95 % interval", "mean width", "Winkler", "without end")
    ]
    for name, score in scores.items():
        low, high = score.coverage_interval
        rows.append(
            (
                *(name, f"{score.coverage:.1%}", f"[{low:.1%}, {high:.1%}]"),
                *(_width_cell(score.width), _width_cell(score.winkler), f"{score.unbounded:,}"),
            )
        )
    return rows


def _width_cell(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _decimals(values: Sequence[float]) -> int:
    """Decimals with which the smallest positive value has three digits; 2 at least."""
    positive = [value for value in values if 0 < value < math.inf]
    return max(2, 2 - math.floor(math.log10(min(positive)))) if positive else 2


def _price_cell(value: float) -> str:
    if value != value:
        return "-"
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
    if low != low:
        return f"{each.direction.share:.0%}"
    return f"{each.direction.share:.0%} [{100 * low:.0f},{100 * high:.0f}]"


def _p_cell(value: float) -> str:
    if value != value:
        return "-"
    return "<.001" if value < 0.001 else f"{value:.3f}"
