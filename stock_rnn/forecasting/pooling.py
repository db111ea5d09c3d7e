"""The forecasts of several stocks taken together.

Stocks move together: errors on one day are no independent sample. So intervals and tests are of
days, with the losses of a day's stocks in one number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stock_rnn.forecasting.accuracy import Accuracy, Direction, Shift
from stock_rnn.forecasting.comparison import MODEL, Comparison
from stock_rnn.forecasting.metrics import MIN_EXAMPLES, Score, scores_of_losses
from stock_rnn.forecasting.significance import diebold_mariano, holm

FloatArray = NDArray[np.float64]

#: How all stocks together are called among the symbols.
ALL = "all"

_REFERENCE = "persistence"


@dataclasses.dataclass(frozen=True)
class PooledComparison(Comparison):
    """The forecasts of one set of examples of several stocks.

    With m examples of all stocks, MSE, MAE, MAPE, MASE and the square of RMSSE are means over
    these, MASE and RMSSE with each stock's own scale. The interval of the skill and the tests are
    of days: see `daily_losses`. RMSE in price has no value, since stocks have other prices. The
    share of directions has no interval: Wilson's takes examples as independent.

    Attributes:
        stocks: symbol -> the forecasts of this stock alone.
        adjusted_by_stock: symbol -> baseline -> the p-value of this stock's test by Holm's
            correction over all baselines and stocks; nan where there is no test.
    """

    stocks: dict[str, Comparison]
    adjusted_by_stock: dict[str, dict[str, float]]

    @property
    def shift(self) -> str:
        """In words: of how many stocks the model's predictions are yesterday's price."""
        shifts = [each.accuracies[MODEL].shift for each in self.stocks.values()]
        later = sum(shift.best is not None and shift.best > 0 for shift in shifts)
        return (
            f"predictions follow a price of the past most closely for {later} of {len(shifts)} "
            "stocks"
        )

    def to_dict(self) -> dict[str, Any]:
        """As of `Comparison`, with the same of each stock in "stocks"."""
        stocks = {symbol: each.to_dict() for symbol, each in self.stocks.items()}
        for symbol, adjusted in self.adjusted_by_stock.items():
            for name, value in adjusted.items():
                test = stocks[symbol]["forecasts"][name]["diebold_mariano"]
                test["p_value_holm_all_stocks"] = value if math.isfinite(value) else None
        return {**super().to_dict(), "stocks": stocks}

    def to_frame(self) -> pd.DataFrame:
        """As of `Comparison`, with a column symbol: first `ALL`, then each stock."""
        frames = {ALL: super().to_frame()}
        frames |= {symbol: each.to_frame() for symbol, each in self.stocks.items()}
        for symbol, frame in frames.items():
            frame.insert(0, "symbol", symbol)
        return pd.concat(frames.values(), ignore_index=True)


@dataclasses.dataclass(frozen=True)
class PooledScore(Score):
    """A score of the examples of several stocks, whose interval is a bootstrap of days.

    Attributes:
        days: how many.
    """

    days: int

    @property
    def no_interval(self) -> str | None:
        """Why there is no interval; None if there is one."""
        reason = super().no_interval
        few = reason is not None and self.days < MIN_EXAMPLES
        changed = math.isfinite(self.mse) and self.persistence_mse > 0
        return f"fewer than {MIN_EXAMPLES} days" if few and changed else reason


def pool(
    stocks: Mapping[str, Comparison], days: Mapping[str, NDArray[np.datetime64]]
) -> PooledComparison:
    """Pool the comparisons of several stocks on one set of examples.

    Args:
        stocks: symbol -> its comparison; all of one set, with the same forecasts.
        days: symbol -> (k,), the day of each of its examples.
    """
    first = next(iter(stocks.values()))
    of_days = np.concatenate([days[symbol] for symbol in stocks])
    together = {
        name: [each.accuracies[name] for each in stocks.values()] for name in first.accuracies
    }
    losses = {
        name: np.concatenate([each.losses for each in accuracies])
        for name, accuracies in together.items()
    }
    pooled = {
        name: _pooled(accuracies, losses[name], losses[_REFERENCE], of_days)
        for name, accuracies in together.items()
    }
    by_day = {name: daily_losses(values, of_days) for name, values in losses.items()}
    tests = {
        name: diebold_mariano(by_day[MODEL], values)
        for name, values in by_day.items()
        if name != MODEL
    }
    adjusted = holm([test.p_value for test in tests.values()])
    return PooledComparison(
        first.name,
        pooled,
        tests,
        dict(zip(tests, adjusted, strict=True)),
        dict(stocks),
        _adjusted_by_stock(stocks),
    )


def daily_losses(losses: FloatArray, days: NDArray[np.datetime64]) -> FloatArray:
    """The losses of all examples of a day in one number, so that their mean is that of all.

    With the sum S_t over the m_t examples of day t, and D days, it is S_t D / Σ_t m_t. The test of
    Diebold and Mariano on these is that of equal pooled accuracy in a panel whose losses depend on
    each other within a day (Timmermann and Zhu 2019, "Comparing forecasting performance with panel
    data").

    Args:
        losses: (m,), of examples of several stocks.
        days: (m,), the day of each.

    Returns:
        (D,), in order of time.
    """
    found, of_example = np.unique(days, return_inverse=True)
    sums = np.bincount(of_example, weights=losses, minlength=len(found))
    return np.asarray(sums * (len(found) / len(losses)), np.float64)


def pooled_score(
    errors: FloatArray, reference: FloatArray, days: NDArray[np.datetime64]
) -> PooledScore:
    """The score of several stocks' examples (m,), whose interval is a bootstrap of days.

    Args:
        errors, reference: (m,), squared errors of the forecast and of persistence.
        days: (m,).
    """
    by_day = [daily_losses(each, days) for each in (errors, reference)]
    found = scores_of_losses({"": by_day[0]}, by_day[1], examples=len(errors))[""]
    return PooledScore(**dataclasses.asdict(found), days=len(by_day[0]))


def _pooled(
    accuracies: Sequence[Accuracy],
    losses: FloatArray,
    reference: FloatArray,
    days: NDArray[np.datetime64],
) -> Accuracy:
    """One forecast's accuracy on the examples of all stocks."""
    counts = [len(each.losses) for each in accuracies]

    def mean(values: Sequence[float]) -> float:
        return float(np.average(values, weights=counts))

    hits = sum(each.direction.hits for each in accuracies)
    count = sum(each.direction.count for each in accuracies)
    return Accuracy(
        score=pooled_score(losses, reference, days),
        mae=mean([each.mae for each in accuracies]),
        rmse_price=math.nan,
        mape=mean([each.mape for each in accuracies]),
        mase=mean([each.mase for each in accuracies]),
        rmsse=math.sqrt(mean([each.rmsse**2 for each in accuracies])),
        direction=Direction(hits, count, hits / count if count else math.nan, (math.nan, math.nan)),
        shift=Shift((math.nan,) * len(accuracies[0].shift.correlations), None),
        losses=losses,
    )


def _adjusted_by_stock(stocks: Mapping[str, Comparison]) -> dict[str, dict[str, float]]:
    """The p-values of all stocks' tests, corrected together."""
    keys = [(symbol, name) for symbol, each in stocks.items() for name in each.tests]
    adjusted = holm([stocks[symbol].tests[name].p_value for symbol, name in keys])
    found: dict[str, dict[str, float]] = {symbol: {} for symbol in stocks}
    for (symbol, name), value in zip(keys, adjusted, strict=True):
        found[symbol][name] = float(value)
    return found
