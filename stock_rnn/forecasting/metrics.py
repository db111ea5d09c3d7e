"""The error of a forecast: beside that of persistence, with an interval, and as a price."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

#: Fewer examples have no interval: a block of the bootstrap would be most of the sample.
MIN_EXAMPLES = 20

_REPETITIONS = 2000
_MAX_BINS = 10_000


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean squared errors of a forecast and of persistence on the same examples.

    Attributes:
        examples: how many.
        mse: mean squared error of the forecast.
        persistence_mse: mean squared error of persistence.
        skill: 1 - mse / persistence_mse; above 0 the forecast is better than
            persistence. nan if persistence has no error.
        interval: 95 % interval of the skill; (nan, nan) for the reason in `no_interval`.
            It covers the sampling of the examples, with their serial
            dependence. It does not cover the randomness of the training.
    """

    examples: int
    mse: float
    persistence_mse: float
    skill: float
    interval: tuple[float, float]

    @property
    def no_interval(self) -> str | None:
        """Why there is no interval; None if there is one."""
        if np.isfinite(self.interval).all():
            return None
        if not np.isfinite(self.mse):
            return "the forecast is not finite"
        if self.persistence_mse == 0:
            return "the prices never change"
        if self.examples < MIN_EXAMPLES:
            return f"fewer than {MIN_EXAMPLES} examples"
        return "too few prices change"

    def verdict(self, name: str) -> str:
        """In words: whether the forecast beats guessing that nothing changes.

        Args:
            name: what the examples are called, e.g. "test".
        """
        if not np.isfinite(self.skill):
            return f"no verdict: {self.no_interval}"
        if self.no_interval:
            skill = f"{name} skill {self.skill:+.3f}, no interval: {self.no_interval}"
            return f"no verdict against guessing no change ({skill})"
        low, high = self.interval
        word = "better than" if low > 0 else "worse than" if high < 0 else "no different from"
        return (
            f"{word} guessing no change ({name} skill {self.skill:+.3f}, "
            f"95 % {low:+.3f} to {high:+.3f})"
        )


@dataclasses.dataclass(frozen=True)
class PriceError:
    """Errors of n predicted prices p̂ beside the actual ones p.

    Attributes:
        rmse: √(Σ (p̂ - p)² / n), in the prices' currency, or points of an index.
        rmse_percent: 100 √(Σ ((p̂ - p) / p)² / n), in per cent of the actual price.
    """

    rmse: float
    rmse_percent: float


def price_error(actual: NDArray[np.floating], predicted: NDArray[np.floating]) -> PriceError:
    """The errors of predicted prices.

    Args:
        actual, predicted: prices of one shape, at least one; the actual ones positive.
    """
    differences = np.asarray(predicted, np.float64) - actual
    return PriceError(
        rmse=float(np.sqrt(np.mean(differences**2))),
        rmse_percent=float(100 * np.sqrt(np.mean((differences / actual) ** 2))),
    )


def score(
    actual: NDArray[np.floating],
    predicted: NDArray[np.floating],
    persistence: NDArray[np.floating],
    *,
    seed: int = 0,
) -> Score:
    """Score a forecast of k examples.

    The interval is the percentile interval of a stationary bootstrap (Politis
    and Romano 1994) of the pairs of squared errors, with the block length of
    Politis and White (2004, corrected 2009), both as `arch` computes them.

    Args:
        actual, predicted, persistence: (k, N), in one unit, in order of time.
        seed: of the bootstrap.
    """
    errors = np.mean((np.asarray(predicted, np.float64) - actual) ** 2, axis=1)
    reference = np.mean((np.asarray(persistence, np.float64) - actual) ** 2, axis=1)
    return score_of_losses(errors, reference, examples=len(errors), seed=seed)


def score_of_losses(
    errors: NDArray[np.floating], reference: NDArray[np.floating], *, examples: int, seed: int = 0
) -> Score:
    """Score a forecast by its squared errors and those of persistence.

    Args:
        errors, reference: (k,), of examples, or means over some of one day, in order of time.
        examples: how many there are.
        seed: of the bootstrap, which is that of `score`.
    """
    return Score(
        examples=examples,
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
    if len(errors) < MIN_EXAMPLES or reference.mean() == 0 or not np.isfinite(errors).all():
        return float("nan"), float("nan")
    if np.array_equal(errors, reference):
        # Persistence itself, in every sample.
        return 0.0, 0.0
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    # The bootstrap's cost grows with the number of errors: neighbours are summed into at
    # most _MAX_BINS bins, which keeps the ratio of means and the dependence between bins.
    width = -(-len(errors) // _MAX_BINS)
    if width > 1:
        starts = np.arange(0, len(errors) - width + 1, width)
        errors, reference = (
            np.add.reduceat(e[: starts[-1] + width], starts) for e in (errors, reference)
        )
    best = float(optimal_block_length(errors - reference)["stationary"].iloc[0])
    # It is nan where all differences are equal.
    block = max(1.0, best) if np.isfinite(best) else 1.0
    bootstrap = StationaryBootstrap(block, errors, reference, seed=seed)
    low, high = bootstrap.conf_int(_skill, reps=_REPETITIONS, method="percentile", size=0.95)[:, 0]
    return float(low), float(high)
