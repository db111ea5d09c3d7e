"""Intervals around forecasts, from errors that were made before; and how good they are.

All of it works on errors in order of time, and an interval reads only errors that lie before
its forecast. Rows are examples, oldest first; columns are the N prices of an example, each
with errors of its own: the third price ahead is harder than the first.

This is own code. MAPIE 1.6 has adaptive intervals for time series, but around a scikit-learn
estimator that it calls once an example, with the miscoverage rounded to two decimals and no
window of its errors in the adaptive method. crepes 0.9 has split-conformal intervals whose
errors grow with time, without a window and without adaptation. Here the forecasts are made
already, by networks that are trained anew along the way, and errors are a matrix.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stock_rnn.config import INTERVAL_STEP, INTERVALS
from stock_rnn.errors import UserError
from stock_rnn.forecasting.significance import default_lags, long_run_variance

FloatArray = NDArray[np.float64]

#: Passes with dropout on that the spread of Monte-Carlo dropout comes from.
DROPOUT_PASSES = 100

#: Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054


@dataclasses.dataclass(frozen=True, kw_only=True)
class Intervals:
    """Which intervals stand around forecasts.

    Attributes:
        method: "conformal" (`split_conformal`), "adaptive" (`adaptive_conformal`) or "dropout"
            (`dropout_reach`).
        coverage: share of the prices that they are to hold.
        step: γ of the adaptive method.
        errors: how many of the newest errors they come from.

    Raises:
        UserError: a value is out of range; the message names its flag.
    """

    method: str = "conformal"
    coverage: float = 0.9
    step: float = INTERVAL_STEP
    errors: int = 250

    def __post_init__(self) -> None:
        if self.method not in INTERVALS:
            raise UserError(
                f"--intervals must be one of {', '.join(INTERVALS)}. Received: {self.method!r}"
            )
        for name, value in (("coverage", self.coverage), ("interval-step", self.step)):
            if not 0 < value < 1:
                raise UserError(f"--{name} must be above 0 and below 1. Received: {value}")
        if self.errors < 1:
            raise UserError(f"--interval-errors must be at least 1. Received: {self.errors}")

    def reach(
        self, errors: ArrayLike, blocks: Sequence[int], spread: ArrayLike | None = None
    ) -> FloatArray:
        """How far they reach to either side, whichever method it is.

        Args:
            errors: (m, N), |actual - predicted|, oldest first.
            blocks: as `split_conformal`.
            spread: as `dropout_reach`; only for the method "dropout".

        Returns:
            (m - blocks[0], N).
        """
        if self.method == "conformal":
            return split_conformal(errors, self.coverage, blocks, window=self.errors)
        if self.method == "adaptive":
            return adaptive_conformal(
                errors, self.coverage, blocks[0], step=self.step, window=self.errors
            )
        if spread is None:
            raise ValueError("the method dropout needs the spread of forecasts with dropout on")
        return dropout_reach(errors, spread, self.coverage, blocks, window=self.errors)


def conformal_quantile(ordered: Sequence[float] | FloatArray, coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest of n errors; infinity where that is beyond n.

    If errors are exchangeable, the next one is at most this large with at least the
    probability `coverage`. Source: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman (2018),
    section 2.2.

    Args:
        ordered: (n,), ascending, not negative.
        coverage: at most 1; 0 where it is 0 or less.
    """
    # Rounding must not lift a whole number to the next.
    rank = math.ceil((len(ordered) + 1) * coverage - 1e-9)
    if rank <= 0:
        return 0.0
    return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf


def split_conformal(
    errors: ArrayLike, coverage: float, blocks: Sequence[int], *, window: int | None = None
) -> FloatArray:
    """How far split-conformal intervals reach to either side.

    Within a block it stays the same: the `conformal_quantile` of the newest errors before the
    block.

    Args:
        errors: (m, N), |actual - predicted|, oldest first.
        coverage: in (0, 1).
        blocks: where blocks begin, ascending: the first is the first example that has an
            interval, the last ends at m.
        window: how many errors; None: all before the block.

    Returns:
        (m - blocks[0], N); infinity where the errors are too few.
    """
    errors = _matrix(errors)
    reach = np.empty((len(errors) - blocks[0], errors.shape[1]))
    for begin, end in zip(blocks, [*blocks[1:], len(errors)], strict=True):
        ordered = np.sort(_newest(errors, begin, window), axis=0)
        row = [conformal_quantile(column, coverage) for column in ordered.T]
        reach[begin - blocks[0] : end - blocks[0]] = row
    return reach


def adaptive_conformal(
    errors: ArrayLike,
    coverage: float,
    first: int,
    *,
    step: float = INTERVAL_STEP,
    window: int | None = None,
) -> FloatArray:
    """How far adaptive conformal intervals reach to either side.

    The interval of example t is the `conformal_quantile` of the newest errors before t at the
    coverage 1 - α_t. From example to example

        α_{t+1} = α_t + γ (α - err_t),   α_1 = α = 1 - coverage,

    where err_t is 1 if the error was larger than the interval's reach, else 0. Whatever the
    errors are, over T examples the mean of err differs from α by at most
    (max(α, 1 - α) + γ) / (γ T): a larger step follows a drift sooner, and its widths vary more.
    Source: Gibbs and Candès (2021), equation 2 and proposition 4.1.

    Where α_t is 0 or less the interval is unbounded, as in the source. Where it is 1 or more the
    interval is the forecast alone, which errors of 0 do not miss: they would lift α_t for ever,
    so it is kept at 1 + γ, which it does not exceed for other errors (the source's lemma 4.1).

    Args:
        errors: (m, N), |actual - predicted|, oldest first; each column adapts by itself.
        coverage: in (0, 1).
        first: the first example that has an interval; the errors before it only calibrate.
        step: γ in (0, 1).
        window: how many errors; None: all before the example.

    Returns:
        (m - first, N); infinity where the interval is unbounded.
    """
    return adapt(errors, coverage, first, step=step, window=window)[0]


def adapt(
    errors: ArrayLike,
    coverage: float,
    first: int,
    *,
    step: float = INTERVAL_STEP,
    window: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """As `adaptive_conformal`, with what the example after the last one would have.

    Returns:
        (m - first, N), and the reach of the next example, (N,).
    """
    columns = [
        _adapt_column(column.tolist(), coverage, first, step, window)
        for column in _matrix(errors).T
    ]
    reach = np.array(columns, np.float64).T
    return reach[:-1], reach[-1]


def _adapt_column(
    errors: list[float], coverage: float, first: int, step: float, window: int | None
) -> list[float]:
    """The reach of each example from the first on, and of the one after the last."""
    alpha = target = 1.0 - coverage
    ordered = sorted(errors[_oldest(first, window) : first])
    found = []
    for at in range(first, len(errors) + 1):
        found.append(conformal_quantile(ordered, 1.0 - alpha))
        if at == len(errors):
            break
        missed = float(errors[at] > found[-1])
        alpha = min(alpha + step * (target - missed), 1.0 + step)
        bisect.insort(ordered, errors[at])
        if window is not None and len(ordered) > window:
            del ordered[bisect.bisect_left(ordered, errors[at - window])]
    return found


def dropout_reach(
    errors: ArrayLike,
    spread: ArrayLike,
    coverage: float,
    blocks: Sequence[int],
    *,
    window: int | None = None,
) -> FloatArray:
    """How far Monte-Carlo dropout's intervals reach to either side.

    z √(s² + σ²), z the normal distribution's two-sided quantile: s² is the variance of
    predictions with dropout on, each pass with masks of its own (Gal and Ghahramani 2016,
    section 4), σ² the mean squared error of the newest forecasts before the block, as the
    noise that no model sees (Zhu and Laptev 2017, section 3.1). It takes errors to be normal,
    which those of prices are not.

    Args:
        errors: (m, N), |actual - predicted|, oldest first.
        spread: (m - blocks[0], N), s.
        coverage, blocks, window: as `split_conformal`.

    Returns:
        (m - blocks[0], N); infinity where there is no error before.
    """
    from scipy.special import ndtri

    errors = _matrix(errors)
    noise = np.empty((len(errors) - blocks[0], errors.shape[1]))
    for begin, end in zip(blocks, [*blocks[1:], len(errors)], strict=True):
        known = _newest(errors, begin, window)
        mean = np.mean(known**2, axis=0) if len(known) else np.inf
        noise[begin - blocks[0] : end - blocks[0]] = mean
    factor = float(ndtri((1.0 + coverage) / 2.0))
    return np.asarray(factor * np.sqrt(_matrix(spread) ** 2 + noise), np.float64)


@dataclasses.dataclass(frozen=True)
class IntervalScore:
    """How good intervals are: they should cover as often as they promise, and be narrow.

    Attributes:
        aim: the coverage that they promise.
        coverage: share of the values that lie in their interval, the ends counted in.
        coverage_interval: 95 % interval of that share, by Wilson (1927) with the number of
            independent examples that has the variance of these: n γ_0 / V, n examples, γ_0
            the variance of their shares and V the long-run variance as
            `significance.diebold_mariano` takes it. Misses come in clusters.
        width: mean width of the bounded intervals; nan if there is none.
        winkler: mean of (u - l) + 2/α (l - x) [x < l] + 2/α (x - u) [x > u] over the bounded
            intervals [l, u], α = 1 - aim: lower is better, and no other intervals have less
            in the mean than the true quantiles (Winkler 1972; Gneiting and Raftery 2007,
            equation 43). nan if there is none.
        count: how many values.
        unbounded: how many intervals have no end; they cover, and `width` and `winkler` leave
            them out.
    """

    aim: float
    coverage: float
    coverage_interval: tuple[float, float]
    width: float
    winkler: float
    count: int
    unbounded: int

    @property
    def in_words(self) -> str:
        """One line: what share they cover, and whether that is the share they promise."""
        low, high = self.coverage_interval
        met = "as promised" if low <= self.aim <= high else "not as promised"
        without = f"; {self.unbounded:,} without an end" if self.unbounded else ""
        return (
            f"{self.aim:.0%} intervals cover {self.coverage:.1%} [{low:.1%}, {high:.1%}] of "
            f"{self.count:,} prices, {met}{without}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields for JSON: null where one is not finite."""
        values = dataclasses.asdict(self)
        return values | {
            "coverage_interval": list(self.coverage_interval),
            "width": self.width if math.isfinite(self.width) else None,
            "winkler": self.winkler if math.isfinite(self.winkler) else None,
        }


def score_intervals(errors: ArrayLike, reach: ArrayLike, coverage: float) -> IntervalScore:
    """Judge intervals predicted ± reach.

    Args:
        errors: (m, N), |actual - predicted|, m >= 1, oldest first.
        reach: (m, N), not negative, of the same unit.
        coverage: what they promise, in (0, 1).
    """
    errors, reach = _matrix(errors), _matrix(reach)
    covered = errors <= reach
    bounded = np.isfinite(reach)
    width, beyond = 2.0 * reach[bounded], np.maximum(errors - reach, 0.0)[bounded]
    share = float(covered.mean())
    return IntervalScore(
        aim=coverage,
        coverage=share,
        coverage_interval=_wilson(share, _independent(covered.mean(axis=1))),
        width=float(width.mean()) if width.size else math.nan,
        winkler=float(np.mean(width + 2.0 / (1.0 - coverage) * beyond)) if width.size else math.nan,
        count=errors.size,
        unbounded=int((~bounded).sum()),
    )


def _independent(shares: FloatArray) -> float:
    """How many independent examples have a mean that scatters as that of these (m,)."""
    count = len(shares)
    centred = shares - shares.mean()
    variance = float(np.mean(centred**2))
    long_run = long_run_variance(centred, default_lags(count))
    # Examples that alternate would count as more than there are.
    return count * min(1.0, variance / long_run) if long_run > 0 else float(count)


def _wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count` trials, which need not be a whole number."""
    denominator = 1.0 + _Z**2 / count
    middle = (share + _Z**2 / (2.0 * count)) / denominator
    variance = share * (1.0 - share) / count + _Z**2 / (4.0 * count**2)
    half = _Z / denominator * math.sqrt(variance)
    return max(0.0, middle - half), min(1.0, middle + half)


def _matrix(values: ArrayLike) -> FloatArray:
    found = np.asarray(values, np.float64)
    if found.ndim != 2:
        raise ValueError(f"errors must be of shape (m, N). Received: {found.shape}")
    return found


def _oldest(at: int, window: int | None) -> int:
    return 0 if window is None else max(0, at - window)


def _newest(errors: FloatArray, at: int, window: int | None) -> FloatArray:
    """The errors before `at`, the newest `window` of them."""
    return errors[_oldest(at, window) : at]
