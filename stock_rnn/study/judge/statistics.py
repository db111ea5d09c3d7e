"""Statistics over seeds: interquartile means, shares, probabilities of improvement, intervals.

Sources: Agarwal, Schwarzer, Castro, Courville, Bellemare, "Deep Reinforcement Learning
at the Edge of the Statistical Precipice", NeurIPS 2021 (rliable), sections 4.2 and 4.3;
Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Hesterberg,
"What Teachers Should Know About the Bootstrap", 2015, section 5.3 (the expanded interval).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[..., Any]

CONFIDENCE = 0.95

_RESAMPLES = 20_000

# Of the resampling.
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Summary:
    """A statistic over seeds with its intervals.

    Attributes:
        value: the statistic.
        interval: (low, high), at 95 %; NaN if there is none.
        simultaneous: (low, high), at the level at which the intervals of all claims of a
            family hold simultaneously with 95 %; NaN if there is none.
        seeds: number of seeds.
    """

    value: float
    interval: tuple[float, float]
    simultaneous: tuple[float, float]
    seeds: int


def iqm(values: Array, axis: int = -1) -> Any:
    """The interquartile mean: the mean without the lowest and the highest quarter."""
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def family_level(claims: int) -> float:
    """The confidence of each interval so that all of them hold with 95 % (Bonferroni)."""
    return 1.0 - (1.0 - CONFIDENCE) / claims


def least_seeds(confidence: float) -> int:
    """The least number of seeds for an interval of this confidence.

    The widest interval over n independent values is from the smallest to the largest. It
    misses the median with probability 2^(1-n).
    """
    return math.ceil(1.0 + math.log2(1.0 / (1.0 - confidence)))


def summarize(values: Array, *, statistic: Statistic = iqm, claims: int = 1) -> Summary:
    """The location of one value a seed, with expanded percentile intervals.

    The bootstrap's percentile interval is too short for few values. It uses the normal
    distribution where Student's is right, and the variance Σ(x-x̄)²/n where it is
    Σ(x-x̄)²/(n-1). The expanded interval corrects both: it takes the percentiles at
    Φ(-√(n/(n-1)) t_{n-1}) in place of those at Φ(z) = α/2. For a large family these lie
    beyond the percentiles of any number of resamples, and the interval reaches from the
    lowest to the highest resample.

    Args:
        values: (n,), one a seed.
        statistic: (values, axis=...) -> location; `iqm` or `np.mean`.
        claims: size of the family that `simultaneous` holds for.

    Returns:
        The summary, with NaN intervals if there are fewer seeds than the interval's level
        needs, or a value is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        return Summary(math.nan, (math.nan, math.nan), (math.nan, math.nan), 0)
    if not np.isfinite(values).all():
        # Whatever the statistic makes of NaN: trim_mean cuts it off in SciPy 1.15.
        with np.errstate(invalid="ignore"):
            value = math.nan if np.isnan(values).any() else float(statistic(values))
        return Summary(value, (math.nan, math.nan), (math.nan, math.nan), n)
    levels = [CONFIDENCE, family_level(claims)]
    interval, simultaneous = _intervals((values,), statistic, n, levels)
    return Summary(float(statistic(values)), interval, simultaneous, n)


def summarize_share(holds: NDArray[np.bool_], *, claims: int = 1) -> Summary:
    """The share of seeds for which something holds, with Clopper and Pearson's exact intervals.

    The bootstrap would not do: where all seeds agree, all resamples are equal.

    Args:
        holds: (n,), one a seed.
        claims: size of the family that `simultaneous` holds for.
    """
    n = len(holds)
    if n == 0:
        return Summary(math.nan, (math.nan, math.nan), (math.nan, math.nan), 0)
    test = scipy.stats.binomtest(int(np.count_nonzero(holds)), n)
    interval, simultaneous = (
        (float(limits.low), float(limits.high))
        for limits in (
            test.proportion_ci(level, method="exact")
            for level in (CONFIDENCE, family_level(claims))
        )
    )
    return Summary(float(np.mean(holds)), interval, simultaneous, n)


def probability_of_improvement(x: Sequence[Array], y: Sequence[Array]) -> Summary:
    """P(X < Y): the probability that a run of X has the lower loss. Ties count half.

    It is the mean over tasks; runs are compared within a task. Runs with the same seed share
    weights and batches, so a resample takes the same seeds for X, Y and all tasks. rliable,
    whose runs are not paired, resamples each by itself.

    Args:
        x, y: for each task the losses (n,), one a seed, in the same order of seeds.

    Returns:
        The summary, without a simultaneous interval.
    """
    tasks, n = len(x), len(x[0])

    def statistic(*losses: Array, axis: int = -1) -> Array:
        shares = []
        for one, other in zip(losses[:tasks], losses[tasks:], strict=True):
            a, b = one[..., :, None], other[..., None, :]
            shares.append(((a < b) + 0.5 * (a == b)).mean(axis=(-1, -2)))
        return np.mean(shares, axis=0)

    data = (*x, *y)
    (interval,) = _intervals(data, statistic, n, [CONFIDENCE])
    if interval[0] == interval[1]:
        # All pairs agree, so all resamples are equal. Use the exact interval of n agreeing seeds.
        agreed = np.full(n, interval[0] == 1.0)
        equal = 0.0 < interval[0] < 1.0
        interval = (math.nan, math.nan) if equal else summarize_share(agreed).interval
    return Summary(float(statistic(*data)), interval, (math.nan, math.nan), n)


def _intervals(
    data: tuple[Array, ...], statistic: Any, n: int, levels: Sequence[float]
) -> list[tuple[float, float]]:
    """Expanded percentile intervals at each level, all from the same resamples."""
    enough = [level for level in levels if n >= least_seeds(level)]
    intervals = []
    result = None
    for level in enough:
        result = scipy.stats.bootstrap(
            data,
            statistic,
            n_resamples=_RESAMPLES if result is None else 0,
            bootstrap_result=result,
            confidence_level=expanded_level(level, n),
            method="percentile",
            vectorized=True,
            paired=len(data) > 1,
            axis=-1,
            batch=2_000,
            rng=np.random.default_rng(_SEED),
        )
        low, high = result.confidence_interval
        intervals.append((float(low), float(high)))
    return [*intervals, *[(math.nan, math.nan)] * (len(levels) - len(enough))]


def expanded_level(confidence: float, n: int) -> float:
    """The nominal level at which a percentile interval over n values has this confidence."""
    t = scipy.stats.t.ppf(0.5 + confidence / 2.0, n - 1)
    return float(1.0 - 2.0 * scipy.stats.norm.sf(math.sqrt(n / (n - 1)) * t))
