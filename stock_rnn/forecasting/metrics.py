"""The error of a forecast: beside that of persistence, with an interval, and as a price."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stock_rnn.forecasting.bootstrap import skill_intervals

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

    The interval is the percentile interval of a stationary bootstrap of the pairs of squared
    errors (`skill_intervals`).

    Args:
        actual, predicted, persistence: (k, N), in one unit, in order of time.
        seed: of the bootstrap.
    """
    return scores(actual, {"": predicted}, persistence, seed=seed)[""]


def scores(
    actual: NDArray[np.floating],
    predictions: Mapping[str, NDArray[np.floating]],
    persistence: NDArray[np.floating],
    *,
    seed: int = 0,
) -> dict[str, Score]:
    """Score several forecasts of the same k examples, each as `score` does, in less time.

    Args:
        actual, persistence: (k, N), in one unit, in order of time.
        predictions: forecast -> (k, N), in the same unit.
        seed: of the bootstrap.
    """
    reference = np.mean((np.asarray(persistence, np.float64) - actual) ** 2, axis=1)
    errors = {
        name: np.mean((np.asarray(predicted, np.float64) - actual) ** 2, axis=1)
        for name, predicted in predictions.items()
    }
    return scores_of_losses(errors, reference, examples=len(reference), seed=seed)


def scores_of_losses(
    errors: Mapping[str, NDArray[np.float64]],
    reference: NDArray[np.float64],
    *,
    examples: int,
    seed: int = 0,
) -> dict[str, Score]:
    """Score forecasts by their squared errors and those of persistence.

    Args:
        errors: forecast -> (k,), of examples, or means over some of one day, in order of time.
        reference: (k,), of persistence.
        examples: how many there are.
        seed: of the bootstrap, which is that of `score`.
    """
    intervals = _intervals(errors, reference, seed)
    return {
        name: Score(
            examples=examples,
            mse=float(each.mean()),
            persistence_mse=float(reference.mean()),
            skill=_skill(each, reference),
            interval=intervals[name],
        )
        for name, each in errors.items()
    }


def _skill(errors: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    base = reference.mean()
    return float(1.0 - errors.mean() / base) if base > 0 else float("nan")


def _intervals(
    errors: Mapping[str, NDArray[np.float64]], reference: NDArray[np.float64], seed: int
) -> dict[str, tuple[float, float]]:
    found = {name: (float("nan"), float("nan")) for name in errors}
    if len(reference) < MIN_EXAMPLES or reference.mean() == 0:
        return found
    # Persistence itself, in every sample.
    found |= {name: (0.0, 0.0) for name, each in errors.items() if np.array_equal(each, reference)}
    sampled = {
        name: _binned(each)
        for name, each in errors.items()
        if np.isnan(found[name][0]) and np.isfinite(each).all()
    }
    return found | skill_intervals(sampled, _binned(reference), repetitions=_REPETITIONS, seed=seed)


def _binned(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Neighbours summed into at most _MAX_BINS bins.

    The bootstrap's cost grows with the number of errors; bins keep the ratio of means and the
    dependence from bin to bin.
    """
    width = -(-len(errors) // _MAX_BINS)
    whole = len(errors) // width * width
    return errors[:whole].reshape(-1, width).sum(axis=1) if width > 1 else errors
