"""The statistics of the claims: one number a seed, computed from records."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from stock_rnn.study.judge.variants import Variant
from stock_rnn.study.records import ESCAPE_FACTOR, Record, Study


@dataclasses.dataclass(frozen=True)
class Sample:
    """The values of a statistic.

    Attributes:
        values: seed -> value.
        runs: keys of the records that the values were computed from.
        persistence: mean loss of persistence, if the statistic is a loss; else NaN.
    """

    values: dict[int, float]
    runs: tuple[str, ...]
    persistence: float = math.nan


#: Computes a statistic on one procedure.
Measure = Callable[[Study, Variant], Sample]

Kind = tuple[str, tuple[int, int]]  # Optimizer and network.


def per_run(
    optimizer: str,
    network: tuple[int, int],
    compute: Callable[[Record, Variant], float],
    *,
    loss_of: str | None = None,
) -> Measure:
    """A statistic of single runs.

    Args:
        optimizer: name; "rmsprop" is the variant's RMSProp.
        network: (layers, units).
        compute: the value of a run.
        loss_of: "train" or "test" if the statistic is the loss on that set.
    """

    def measure(study: Study, variant: Variant) -> Sample:
        runs = _runs(study, variant, (optimizer, network))
        values = {seed: compute(record, variant) for seed, record in runs.items()}
        persistence = [record.persistence[loss_of] for record in runs.values() if loss_of]
        return Sample(
            values,
            tuple(record.key for record in runs.values()),
            float(np.mean(persistence)) if persistence else math.nan,
        )

    return measure


def per_pair(
    one: Kind,
    other: Kind,
    compare: Callable[[Record, Record, Variant], float],
    *,
    start: str = "drawn",
) -> Measure:
    """A statistic of two runs with the same seed.

    Args:
        one, other: (optimizer, network) of the two runs; "rmsprop" is the variant's RMSProp.
        compare: the value of a pair.
        start: `Task.start` of both.
    """

    def measure(study: Study, variant: Variant) -> Sample:
        ones, others = (_runs(study, variant, kind, start=start) for kind in (one, other))
        pairs = {seed: (ones[seed], others[seed]) for seed in ones if seed in others}
        values = {seed: compare(a, b, variant) for seed, (a, b) in pairs.items()}
        keys = dict.fromkeys(record.key for pair in pairs.values() for record in pair)
        return Sample(values, tuple(keys))

    return measure


def _runs(study: Study, variant: Variant, kind: Kind, **which: Any) -> dict[int, Record]:
    optimizer, network = kind
    name = variant.rmsprop if optimizer == "rmsprop" else optimizer
    return study.runs(variant.protocol, network, name, **which)


# Values of a run or a pair


def loss(which: str) -> Callable[[Record, Variant], float]:
    """The final loss on the set "train" or "test", with dropout as the variant has it."""

    def compute(record: Record, variant: Variant) -> float:
        return record.last(f"{which}_loss_dropout" if variant.dropout else f"{which}_loss")

    return compute


def loss_ratio(which: str) -> Callable[[Record, Record, Variant], float]:
    """The ratio of two runs' final losses on the set "train" or "test"."""
    of = loss(which)
    return lambda one, other, variant: quotient(of(one, variant), of(other, variant))


def least_loss_ratio(one: Record, other: Record, variant: Variant) -> float:
    """The smaller of the ratios of the training and of the test losses."""
    return min(loss_ratio(which)(one, other, variant) for which in ("train", "test"))


def generalization_ratio(record: Record, variant: Variant) -> float:
    """The ratio of a run's test loss to its training loss."""
    return quotient(loss("test")(record, variant), loss("train")(record, variant))


def ends_at_saddle(record: Record, variant: Variant) -> float:
    """1 if the run ends at a saddle (`Record.at_saddle`), else 0; NaN if it diverged."""
    return _indicator(bool(record.at_saddle()[-1]), record)


def ends_lower(one: Record, other: Record, variant: Variant) -> float:
    """1 if the first run ends at the lower training loss, else 0; NaN if one diverged."""
    lower = loss("train")(one, variant) < loss("train")(other, variant)
    return _indicator(lower, one, other)


def escapes_first(one: Record, other: Record, variant: Variant) -> float:
    """1 if the first run leaves its saddle in fewer steps, else 0.

    NaN if neither left it before the end, or one diverged.
    """
    steps, other_steps = escape_step(one), escape_step(other)
    if math.isinf(steps) and math.isinf(other_steps):
        return math.nan
    return _indicator(steps < other_steps, one, other)


def _indicator(holds: bool, *records: Record) -> float:
    """1 or 0; NaN if a run diverged, because its end is unknown."""
    return math.nan if any(r.diverged is not None for r in records) else float(holds)


def intersections(record: Record, variant: Variant) -> float:
    """`Record.intersections`, with dropout as the variant has it."""
    return record.intersections(dropout=variant.dropout)


def more_intersections(one: Record, other: Record, variant: Variant) -> float:
    """The intersections of the first run minus those of the other."""
    return intersections(one, variant) - intersections(other, variant)


def escape_step(record: Record) -> float:
    """The step at which a run's distance from its saddle had grown by `ESCAPE_FACTOR`.

    Infinite if it never had.
    """
    distance = np.abs(record.epochs["displacement"])
    outside = np.flatnonzero(distance >= ESCAPE_FACTOR * distance[0])
    return float(record.epochs["step"][outside[0]]) if len(outside) else math.inf


def gradient_exponent(record: Record, variant: Variant | None = None) -> float:
    """The slope of log √(mean_{s≤t} ‖∇f(x_s)‖²) against log t, with t in optimizer steps.

    The report's proof (4.3.5) sums ‖∇f‖² over the iterates. Its guarantee, T = O(1/ε⁴) for a
    gradient of ε, is a mean square of O(t^-½), so an exponent of -¼. The smallest norm so
    far would not do: over 50 epochs that of pure noise falls with an exponent of -0.9. The
    start is left out, because its large gradient alone would make the mean fall like 1/t.

    Returns:
        NaN if fewer than two epochs were measured.
    """
    norms = record.epochs.get("gradient_norm", np.empty(0))[1:]
    steps = record.epochs["step"][1:]
    known = np.isfinite(norms) & (norms > 0.0)
    if np.count_nonzero(known) < 2:
        return math.nan
    mean_square = np.cumsum(norms[known] ** 2) / np.arange(1, np.count_nonzero(known) + 1)
    return float(np.polyfit(np.log(steps[known]), 0.5 * np.log(mean_square), 1)[0])


def quotient(numerator: float, denominator: float) -> float:
    """The quotient; infinite or NaN if the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(numerator) / denominator)
