"""The mean over stretches, with intervals that allow for the days that stretches share.

Each stretch i has a value v_i, the mean over its seeds, and counts the same. Rolling stretches
share days, and two indices move together, so the v_i are not independent. The bootstrap
therefore draws circular blocks of successive start years (Politis, Romano 1992), each year with
all stretches that start in it, and then seeds within every stretch that was drawn.

A block bootstrap of few years gives a standard error that is too small. How much too small is
known where the dependence is: suppose that cov(v_i, v_j) = σ² K_ij, where K_ij is the share of
days that two stretches have in common, the same for another index. Resamples weigh stretches
with a covariance A of the weights, so the expected variance of the bootstrap is σ² tr(AK), where
that of the mean is σ² ΣK/n². The interval is

    mean ± c t_f SE*,   c² = (ΣK/n²) / tr(AK),   f = tr(AK)² / tr(AKAK),

with SE* the bootstrap's standard error and Student's quantile for f degrees of freedom
(Satterthwaite's; Bell and McCaffrey 2002 do the same for regressions on few clusters). For
independent stretches, K = 1 and blocks of one, c² = n/(n-1) and f = n-1: the expanded interval of
`stock_rnn.study.judge.statistics`. Percentiles would not do here: resamples of so few blocks
reach no farther than the most extreme block.

K is the worst case: stretches may share less than their days do, such as where only the days
that test matter, which no two stretches of an index share. Then the interval is too wide.
Drawing seeds as well counts their noise twice, also to the safe side (Davison and Hinkley 1997,
section 3.8). Dependence over more years than a stretch has is not allowed for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from stock_rnn.study.judge.statistics import Location

Array = NDArray[np.float64]

#: Successive start years in a block, at most: the cube root of their number, rounded up.
BLOCK = 3

_RESAMPLES = 10_000

# Of the resampling.
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The mean over stretches.

    Attributes:
        location: the mean, and its intervals at every confidence; NaN where all stretches
            start in one year, or a value is not finite.
        standard_error: of the bootstrap, SE*; not yet multiplied by `factor`.
        factor: c.
        freedom: f; 1 + f independent stretches would tell as much of their spread.
    """

    location: Location
    standard_error: float
    factor: float
    freedom: float


def shared_days(first: NDArray[np.datetime64], last: NDArray[np.datetime64]) -> Array:
    """(n, n): the days that two stretches have in common / the geometric mean of their lengths.

    Args:
        first, last: (n,), first and last day of each stretch.
    """
    begin, end = (np.asarray(day, dtype="datetime64[D]").astype(float) for day in (first, last))
    length = end + 1.0 - begin
    common = np.minimum.outer(end, end) + 1.0 - np.maximum.outer(begin, begin)
    return np.maximum(common, 0.0) / np.sqrt(np.outer(length, length))


def pool(values: Sequence[Array], years: NDArray[np.int64], shared: Array) -> Pooled:
    """Pool the values of stretches.

    Args:
        values: for each of n stretches its values, one a seed; at least one.
        years: (n,), in which each stretch starts.
        shared: (n, n), K, see `shared_days`.
    """
    n = len(values)
    means = np.array([np.mean(of) for of in values])
    slots = np.unique(years, return_inverse=True)[1]
    if n == 0 or not np.isfinite(means).all() or slots.max() == 0:
        value = float(np.mean(means)) if n else math.nan
        return Pooled(Location(value, n, lambda _: (math.nan, math.nan)), *[math.nan] * 3)
    factor, freedom = correction(slots, shared)
    error = _standard_error(values, slots)
    value = float(means.mean())

    def at(confidence: float) -> tuple[float, float]:
        arm = factor * error * float(scipy.stats.t.ppf(0.5 + confidence / 2.0, freedom))
        return value - arm, value + arm

    return Pooled(Location(value, n, at), error, factor, freedom)


def correction(slots: NDArray[np.int64], shared: Array) -> tuple[float, float]:
    """c and f.

    Args:
        slots: (n,), the number of each stretch's start year among m, from 0 to m-1; m > 1.
        shared: (n, n), K.
    """
    n = len(slots)
    center = np.eye(n) - 1.0 / n
    product = center @ _covariance_of_counts(slots.max() + 1)[np.ix_(slots, slots)] @ center
    product = product @ shared / n**2
    expected = np.trace(product)
    factor = math.sqrt(shared.sum() / n**2 / expected)
    return factor, float(expected**2 / np.trace(product @ product))


def _covariance_of_counts(m: int) -> Array:
    """(m, m): covariance of how often a resample has each of m start years."""
    total = np.zeros((m, m))
    for length in _lengths(m):
        covered = np.zeros((m, m))
        for start in range(m):
            covered[start, (start + np.arange(length)) % m] = 1.0
        total += covered.T @ covered / m - (length / m) ** 2
    return total


def _block(m: int) -> int:
    """Start years in a block; at most half of them, or resamples would hardly differ."""
    return max(1, min(BLOCK, m // 2))


def _lengths(m: int) -> list[int]:
    """The lengths of the blocks of a resample; the last one is cut so that they sum to m."""
    block = _block(m)
    return [min(block, m - begin) for begin in range(0, m, block)]


def _standard_error(values: Sequence[Array], slots: NDArray[np.int64]) -> float:
    """The standard deviation of the mean over resamples."""
    n, m = len(values), int(slots.max()) + 1
    counts = np.array([len(of) for of in values])
    table = np.zeros((n, counts.max()))
    for row, of in zip(table, values, strict=True):
        row[: len(of)] = of
    # The stretches of each start year, filled up with -1.
    members = np.full((m, int(np.bincount(slots).max())), -1)
    for slot in range(m):
        of_year = np.flatnonzero(slots == slot)
        members[slot, : len(of_year)] = of_year
    block, blocks = np.arange(_block(m)), len(_lengths(m))
    rng = np.random.default_rng([_SEED, 1])

    def statistic(starts: Any, axis: int = -1) -> Array:
        """The mean of a resample that begins its blocks in the first of `starts`."""
        begins = np.asarray(starts, dtype=np.int64)[..., :blocks, None]
        years = ((begins + block) % m).reshape(*begins.shape[:-2], -1)[..., :m]
        drawn = members[years].reshape(*years.shape[:-1], -1)
        seeds = counts[drawn][..., None]
        picked = (rng.random((*drawn.shape, table.shape[1])) * seeds).astype(np.int64)
        used = np.arange(table.shape[1]) < seeds
        of_stretch = (table[drawn[..., None], picked] * used).sum(axis=-1) / seeds[..., 0]
        there = drawn >= 0
        return np.asarray((of_stretch * there).sum(axis=-1) / there.sum(axis=-1))

    result = scipy.stats.bootstrap(
        (np.arange(m),),
        statistic,
        n_resamples=_RESAMPLES,
        method="percentile",
        vectorized=True,
        axis=-1,
        batch=1_000,
        rng=np.random.default_rng([_SEED, 0]),
    )
    return float(result.standard_error)


def of_seeds(values: Array, confidence: float) -> tuple[float, float]:
    """Student's interval for the mean of one stretch, over its seeds; NaN for fewer than two."""
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    t = scipy.stats.t.ppf(0.5 + confidence / 2.0, len(values) - 1)
    arm = float(t * scipy.stats.sem(values))
    return float(np.mean(values)) - arm, float(np.mean(values)) + arm
