"""The stationary bootstrap of several ratios of means over the same days."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def skill_intervals(
    errors: Mapping[str, FloatArray],
    reference: FloatArray,
    *,
    repetitions: int,
    seed: int,
    coverage: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of 1 - Σ errors / Σ reference, for several forecasts at once.

    The stationary bootstrap of Politis and Romano (1994): a sample of n consists of blocks that
    begin anywhere, go on past the end at the beginning, and end at each step with probability
    1 / b. The mean length b of each forecast's blocks is that of Politis and White (2004,
    corrected 2009), as `arch` computes it, for errors - reference.

    The random numbers are those of `arch.bootstrap.StationaryBootstrap`, drawn once for all
    forecasts, and a block's sum is a difference of two cumulated sums. The intervals are arch's.

    Args:
        errors: forecast -> (n,), n >= 20, finite, in order of time.
        reference: (n,), what all of them are compared with; their sum is positive.
        repetitions: samples.
        seed: of the random numbers.
        coverage: of the intervals.

    Returns:
        Forecast -> the ends; (nan, nan) if the reference is zero all through a sample.
    """
    if not errors:
        return {}
    count = len(reference)
    ends = {name: 1.0 / _block_length(each - reference) for name, each in errors.items()}
    # Both sums of a block at once: the real part is that of the errors.
    cumulated = {name: _cumulated(each + 1j * reference) for name, each in errors.items()}
    found = {name: np.empty(repetitions) for name in errors}
    rng = np.random.default_rng(seed)
    # A block begins with the sample, and one would begin after it.
    chances = np.full(count + 1, -1.0)
    for repetition in range(repetitions):
        begins = rng.integers(count, size=count, dtype=np.int64)
        chances[1:-1] = rng.random(count)[1:]
        for name, chance in ends.items():
            at = np.flatnonzero(chances <= chance)
            first = begins[at[:-1]]
            last = first + np.diff(at)
            total = (cumulated[name][last] - cumulated[name][first]).sum()
            defined = total.imag > 0
            found[name][repetition] = 1.0 - total.real / total.imag if defined else np.nan
    tails = [50 * (1 - coverage), 50 * (1 + coverage)]
    limits = {name: np.percentile(each, tails) for name, each in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


def _block_length(differences: FloatArray) -> float:
    from arch.bootstrap import optimal_block_length

    best = float(optimal_block_length(differences)["stationary"].iloc[0])
    # It is nan where all differences are equal.
    return max(1.0, best) if np.isfinite(best) else 1.0


def _cumulated(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """(2n + 1,), the sums of the first 0, 1, ... values of two rounds."""
    return np.concatenate([[0], np.cumsum(np.tile(values, 2))])
