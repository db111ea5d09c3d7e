"""How good a forecast is, and how sure that is."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

#: Fewer examples than this give no interval: their blocks would be the sample.
LEAST_EXAMPLES = 20

_REPETITIONS = 2000
_MOST_BINS = 10_000


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean squared errors of a forecast and of persistence on the same examples.

    Attributes:
        examples: how many.
        mse: mean squared error of the forecast.
        persistence_mse: that of "the price stays where it is".
        skill: 1 - mse / persistence_mse; above 0 the forecast is the better one.
        interval: 95 % interval of the skill, (nan, nan) for fewer than
            `LEAST_EXAMPLES` examples. It covers the sampling of the examples,
            with their serial dependence; not that of the training.
    """

    examples: int
    mse: float
    persistence_mse: float
    skill: float
    interval: tuple[float, float]


def score(
    actual: NDArray[np.floating],
    predicted: NDArray[np.floating],
    persistence: NDArray[np.floating],
    *,
    seed: int = 0,
) -> Score:
    """The score of a forecast of k examples in order of time.

    The interval is the percentile interval of a stationary bootstrap (Politis
    and Romano 1994) of the pairs of squared errors, with the block length of
    Politis and White (2004, corrected 2009), both as `arch` computes them.

    Args:
        actual, predicted, persistence: (k, N), in one unit.
        seed: of the bootstrap.
    """
    errors = np.mean((np.asarray(predicted, np.float64) - actual) ** 2, axis=1)
    reference = np.mean((np.asarray(persistence, np.float64) - actual) ** 2, axis=1)
    return Score(
        examples=len(errors),
        mse=float(errors.mean()),
        persistence_mse=float(reference.mean()),
        skill=_skill(errors, reference),
        interval=_interval(errors, reference, seed),
    )


def _skill(errors: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    base = reference.mean()
    return float(1.0 - errors.mean() / base) if base > 0 else float("nan")


def _interval(
    errors: NDArray[np.floating], reference: NDArray[np.floating], seed: int
) -> tuple[float, float]:
    if len(errors) < LEAST_EXAMPLES or reference.mean() == 0:
        return float("nan"), float("nan")
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    # Means of neighbours keep the means and their dependence at a bounded cost.
    width = -(-len(errors) // _MOST_BINS)
    if width > 1:
        starts = np.arange(0, len(errors) - width + 1, width)
        errors, reference = (
            np.add.reduceat(e[: starts[-1] + width], starts) for e in (errors, reference)
        )
    best = float(optimal_block_length(errors - reference)["stationary"].iloc[0])
    # A constant difference has no block length.
    block = max(1.0, best) if np.isfinite(best) else 1.0
    bootstrap = StationaryBootstrap(block, errors, reference, seed=seed)
    low, high = bootstrap.conf_int(_skill, reps=_REPETITIONS, method="percentile", size=0.95)[:, 0]
    return float(low), float(high)
