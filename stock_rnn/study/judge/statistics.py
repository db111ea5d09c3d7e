"""What many seeds say together: interquartile means, probabilities of improvement, intervals.

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


@dataclasses.dataclass(frozen=True)
class Summary:
    """A statistic over seeds with its intervals.

    Attributes:
        value: the statistic.
        interval: at 95 %.
        simultaneous: at the level that holds for a whole family of claims at once.
        seeds: how many it rests on.
    """

    value: float
    interval: tuple[float, float]
    simultaneous: tuple[float, float]
    seeds: int


def iqm(values: Array, axis: int = -1) -> Any:
    """The interquartile mean: that of the middle half, a quarter cut off at each end."""
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def family_level(claims: int, *, confidence: float = CONFIDENCE) -> float:
    """The confidence of each of so many intervals that all hold at once (Bonferroni)."""
    return 1.0 - (1.0 - confidence) / claims


def least_seeds(confidence: float) -> int:
    """How many seeds an interval of that confidence needs.

    No interval over n independent values can be surer than the one from the smallest
    to the largest, which misses the median with probability 2^(1-n).
    """
    return math.ceil(1.0 + math.log2(1.0 / (1.0 - confidence)))


def summarize(
    values: Array, *, statistic: Statistic = iqm, claims: int = 1, seed: int = 0
) -> Summary:
    """A location of one value a seed, with expanded percentile intervals.

    The percentile interval of the bootstrap is too short for few values: its width is
    that of the normal distribution with the variance Σ(x-x̄)²/n. The expanded one takes
    the percentiles at Φ(-√(n/(n-1)) t_{n-1}) in place of those at Φ(z) = α/2, which
    mends both. Resampling seeds as wholes keeps whatever is paired by seed together.
    At the level of a large family its percentiles lie beyond those of any number of
    resamples: the interval is then from the lowest to the highest.

    Args:
        values: (n,), one a seed.
        statistic: (values, axis=...) -> location; `iqm` or `np.mean`.
        claims: the size of the family that `simultaneous` holds for.
        seed: of the resampling.

    Returns:
        NaN intervals for fewer seeds than an interval of that level needs, and where a
        value is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        return Summary(math.nan, (math.nan, math.nan), (math.nan, math.nan), 0)
    if not np.isfinite(values).all():
        with np.errstate(invalid="ignore"):
            value = float(statistic(values))
        return Summary(value, (math.nan, math.nan), (math.nan, math.nan), n)
    levels = [CONFIDENCE, family_level(claims)]
    interval, simultaneous = _intervals((values,), statistic, n, levels, seed)
    return Summary(float(statistic(values)), interval, simultaneous, n)


def summarize_share(holds: NDArray[np.bool_], *, claims: int = 1) -> Summary:
    """The share of seeds for which something holds, with Clopper and Pearson's intervals.

    They are exact: the bootstrap has nothing to resample where all seeds agree.

    Args:
        holds: (n,), one a seed.
        claims: as in `summarize`.
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


def probability_of_improvement(
    ours: Sequence[Array], theirs: Sequence[Array], *, seed: int = 0
) -> Summary:
    """P(X < Y): that a run of ours has the lower loss, the mean over tasks; ties count half.

    Runs are compared within tasks only. The same seeds are resampled in all of them, as
    weights and batches are paired by seed; rliable, whose runs are not, takes others.

    Args:
        ours, theirs: losses (n,) for each task, one a seed, the seeds in one order.
        seed: of the resampling.
    """
    tasks, n = len(ours), len(ours[0])

    def statistic(*losses: Array, axis: int = -1) -> Array:
        shares = []
        for mine, other in zip(losses[:tasks], losses[tasks:], strict=True):
            x, y = mine[..., :, None], other[..., None, :]
            shares.append(((x < y) + 0.5 * (x == y)).mean(axis=(-1, -2)))
        return np.mean(shares, axis=0)

    data = (*ours, *theirs)
    (interval,) = _intervals(data, statistic, n, [CONFIDENCE], seed)
    if interval[0] == interval[1]:
        # All pairs agree, and so do resamples of them: the limit is that of n seeds that agree.
        agreed = np.full(n, interval[0] == 1.0)
        equal = 0.0 < interval[0] < 1.0
        interval = (math.nan, math.nan) if equal else summarize_share(agreed).interval
    return Summary(float(statistic(*data)), interval, (math.nan, math.nan), n)


def _intervals(
    data: tuple[Array, ...], statistic: Any, n: int, levels: Sequence[float], seed: int
) -> list[tuple[float, float]]:
    """Expanded percentile intervals at each level, from one set of resamples."""
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
            rng=np.random.default_rng(seed),
        )
        low, high = result.confidence_interval
        intervals.append((float(low), float(high)))
    return [*intervals, *[(math.nan, math.nan)] * (len(levels) - len(enough))]


def expanded_level(confidence: float, n: int) -> float:
    """The level at which the percentile interval of n values has about this confidence."""
    t = scipy.stats.t.ppf(0.5 + confidence / 2.0, n - 1)
    return float(1.0 - 2.0 * scipy.stats.norm.sf(math.sqrt(n / (n - 1)) * t))
