"""What is computed of a run by itself: losses by epoch and second, time to a target, profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stock_rnn.study.records import Record

Array = NDArray[np.float64]


def seconds(record: Record) -> Array:
    """(m,): the processor's seconds of training until each row; 0 before the first epoch.

    The first epoch builds TensorFlow's graph, which takes longer than all others together. The
    median of the others stands in its place.
    """
    each = record.epochs["train_seconds"].copy()
    each[0] = 0.0
    if len(each) > 2:
        each[1] = np.median(each[2:])
    return np.cumsum(each)


def epochs_to(record: Record, target: float) -> float:
    """Epochs until the validation loss is at most the target; infinite if it never is.

    Losses before the first epoch do not count, nor does a run that diverged.
    """
    at = _reached(record, target)
    return math.inf if at is None else float(record.epochs["epoch"][at])


def seconds_to(record: Record, target: float) -> float:
    """As `epochs_to`, in the processor's seconds of training."""
    at = _reached(record, target)
    return math.inf if at is None else float(seconds(record)[at])


def median(values: Sequence[float] | Array) -> float:
    """The median of values that may be infinite: then it is infinite if half of them are.

    >>> median([1.0, math.inf, 3.0]), median([1.0, math.inf])
    (3.0, inf)
    """
    ordered = np.sort(np.asarray(values, np.float64))
    return float(0.5 * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]))


def _reached(record: Record, target: float) -> int | None:
    """The row in which the target is first reached."""
    if record.diverged is not None:
        return None
    inside = np.flatnonzero(record.epochs["validation_loss"][1:] <= target)
    return int(inside[0]) + 1 if len(inside) else None


def performance_ratios(costs: Array) -> Array:
    """(problems, solvers): each cost over the lowest of its problem.

    Infinite costs stay infinite: the solver failed. So does a problem that no solver solves.

    Args:
        costs: (problems, solvers), positive.

    Source: Dolan, Moré, "Benchmarking Optimization Software with Performance Profiles",
    Mathematical Programming 91, 2002, equation 2.1.
    """
    best = costs.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(costs), costs / best, np.inf)


def profile(ratios: Sequence[float] | Array) -> tuple[Array, Array]:
    """A solver's performance profile ρ(τ): the share of problems whose ratio is at most τ.

    Args:
        ratios: (problems,), of one solver; infinite where it failed.

    Returns:
        (k,) τ at which ρ rises, ascending from 1, and (k,) ρ there.
    """
    ratios = np.sort(np.asarray(ratios, np.float64))
    finite = ratios[np.isfinite(ratios)]
    tau = np.unique(np.concatenate([[1.0], finite]))
    return tau, np.searchsorted(finite, tau, side="right") / max(len(ratios), 1)
