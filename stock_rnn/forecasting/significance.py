"""Is one forecast better than another by more than chance? Tests of paired losses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: With fewer losses there is no test: autocovariances of so few mean nothing.
MIN_LOSSES = 20


@dataclasses.dataclass(frozen=True)
class DieboldMariano:
    """The test that two forecasts have the same expected loss.

    Attributes:
        difference: d̄, the mean of the first forecast's losses minus the second's; below 0
            the first is better.
        statistic: d̄ over its standard error, corrected for the sample's size; nan where there
            is no test.
        p_value: two-sided, in [0, 1]; 1 if both have the same losses, nan where there is no
            test.
        lags: how many autocovariances the standard error has.
    """

    difference: float
    statistic: float
    p_value: float
    lags: int


def diebold_mariano(
    losses: ArrayLike, others: ArrayLike, *, lags: int | None = None
) -> DieboldMariano:
    """Compare the losses of two forecasts of the same n events, in order of time.

    With d_t = losses_t - others_t and its autocovariances γ_k = Σ_t (d_t - d̄)(d_{t-k} - d̄) / n,

        V = γ_0 + 2 Σ_{k=1..q} (1 - k / (q + 1)) γ_k,     DM = d̄ / √(V / n),
        DM* = DM √((n + 1 - 2h + h (h - 1) / n) / n),      h = q + 1,

    and DM* is compared with Student's t of n - 1 degrees of freedom. Without lags it is the
    paired t-test.

    Sources: Diebold and Mariano (1995), equation 5; Harvey, Leybourne and Newbold (1997),
    equations 8 and 9, for DM*; Newey and West (1987) for the weights, with which V cannot be
    negative, so that the losses may be autocorrelated for any reason. Newey and West (1994)
    for the default q = floor(4 (n / 100)^(2/9)).

    Args:
        losses, others: (n,), of the first and the second forecast.
        lags: q < n; None for the default.

    Returns:
        The result; without a test (nan) for fewer than `MIN_LOSSES`, or if a loss is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    first, second = np.asarray(losses, np.float64), np.asarray(others, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"losses must be of one shape (n,). Received: {first.shape}, {second.shape}"
        )
    count = len(first)
    if lags is None:
        lags = default_lags(count)
    # The losses of a diverged network may be infinite.
    if count < MIN_LOSSES or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return DieboldMariano(math.nan, math.nan, math.nan, lags)
    differences = first - second
    mean = float(differences.mean())
    variance = long_run_variance(differences - mean, lags)
    # Differences that are all equal up to rounding have no scatter to compare the mean with.
    if variance <= (1e-12 * np.abs(differences).max()) ** 2:
        same = not differences.any()
        return DieboldMariano(mean, 0.0 if same else math.nan, 1.0 if same else math.nan, lags)
    ahead = lags + 1
    correction = (count + 1 - 2 * ahead + ahead * (ahead - 1) / count) / count
    statistic = mean / math.sqrt(variance / count) * math.sqrt(correction)
    from scipy.special import stdtr

    # stdtr is the distribution function of Student's t.
    p_value = float(2 * stdtr(count - 1, -abs(statistic)))
    return DieboldMariano(mean, statistic, p_value, lags)


def default_lags(count: int) -> int:
    """How many autocovariances of n values count: floor(4 (n / 100)^(2/9)), below n.

    Source: Newey and West (1994).
    """
    return min(math.floor(4 * (count / 100) ** (2 / 9)), max(count - 1, 0))


def long_run_variance(centred: NDArray[np.float64], lags: int) -> float:
    """V = γ_0 + 2 Σ_{k=1..q} (1 - k / (q + 1)) γ_k; see `diebold_mariano`.

    With these weights it is the mean square of the sums of q + 1 neighbours, over q + 1; beyond
    both ends stand zeros. Sums of neighbours cost the same for any q.

    Args:
        centred: (n,), values minus their mean, in order of time.
        lags: q < n.
    """
    padded = np.pad(centred, lags + 1)
    sums = np.cumsum(padded)
    moving = sums[lags + 1 :] - sums[: -lags - 1]
    return float(moving @ moving) / (len(centred) * (lags + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, adjusted so that together they err in 5 of 100 cases.

    The i-th smallest of m becomes the largest of (m + 1 - j) p_j over j <= i, at most 1. Those
    that are nan stay so, and are not counted among the m. Source: Holm (1979).
    """
    values = np.asarray(p_values, np.float64)
    known = np.flatnonzero(~np.isnan(values))
    # statsmodels's function collects all garbage first, which takes longer than all tests.
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = values.copy()
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return [float(value) for value in adjusted]
