"""The statistics of the claims of registry escape-1: one number a seed.

The functions in `VALUES` are those that its claims name as `value`. Each takes what was found, a
seed, and the claim's `options`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stock_rnn.study.escape import plan, theory
from stock_rnn.study.escape.record import EscapeRecord
from stock_rnn.study.judge.measures import Sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """All that claims are computed from.

    Attributes:
        records: of the runs from the saddle.
        tuned: optimizer -> tuned rate.
        staib: rows of `problem.solve`; empty if it was not run.
        staib_key: of their file.
        registries: key of a run or file -> the registry that it names.
    """

    records: Sequence[EscapeRecord]
    tuned: Mapping[str, float]
    staib: Sequence[Mapping[str, Any]]
    staib_key: str
    registries: Mapping[str, Mapping[str, Any]]

    def runs(
        self, optimizer: str, *, batches: str, scale: float, tuned: bool
    ) -> dict[int, EscapeRecord]:
        """Seed -> record."""
        rate = self.tuned.get(optimizer, math.nan) if tuned else plan.REPORT_RATE
        wanted = (optimizer, batches, scale, rate)
        return {
            r.run.seed: r
            for r in self.records
            if (r.run.optimizer, r.run.batches, r.run.scale, r.run.rate) == wanted
        }

    def staib_row(self, problem: str, optimizer: str, *, tuned: bool) -> Mapping[str, Any]:
        """The row of an optimizer; empty if there is none."""
        wanted = (problem, optimizer, tuned)
        rows = [r for r in self.staib if (r["problem"], r["optimizer"], r["tuned"]) == wanted]
        return rows[0] if rows else {}


#: Seed -> value, and the keys of what it was computed from.
Values = tuple[dict[int, float], tuple[str, ...]]


def sample(claim: Mapping[str, Any], found: Found) -> Sample:
    """The values of a claim's statistic, for every seed that has all its runs."""
    values, keys = VALUES[claim["value"]](found, **claim["options"])
    return Sample(values, keys)


def stays(
    found: Found, *, optimizer: str, batches: str, scale: float, tuned: bool, steps: int
) -> Values:
    """1 if a run has not escaped after so many steps, else 0."""
    runs = found.runs(optimizer, batches=batches, scale=scale, tuned=tuned)
    return {seed: float(r.escaped > steps) for seed, r in runs.items()}, _keys(runs)


def leaves(found: Found, **options: Any) -> Values:
    """1 if a run has escaped within so many steps, else 0."""
    values, keys = stays(found, **options)
    return {seed: 1.0 - value for seed, value in values.items()}, keys


def ratio(
    found: Found, *, of: str, to: str, batches: str, scales: Sequence[float], tuned: bool
) -> Values:
    """The least quotient of two optimizers' steps over the scales.

    A run of the first that did not escape counts with the steps that it made, one of the second
    as never: both against a large quotient.
    """

    def quotient(runs: Mapping[tuple[str, float], EscapeRecord], scale: float) -> float:
        one, other = runs[of, scale], runs[to, scale]
        return min(one.escaped, one.steps) / other.escaped

    return _over_scales(found, (of, to), batches, scales, tuned, quotient, min)


def theory_factor(
    found: Found, *, optimizer: str, batches: str, scales: Sequence[float], tuned: bool, theory: str
) -> Values:
    """The largest factor, at least 1, between the steps and the prediction, over the scales."""

    def factor(runs: Mapping[tuple[str, float], EscapeRecord], scale: float) -> float:
        record = runs[optimizer, scale]
        quotient = record.escaped / prediction(record, theory)
        return max(quotient, 1.0 / quotient)

    return _over_scales(found, (optimizer,), batches, scales, tuned, factor, max)


def prediction(record: EscapeRecord, kind: str = "predicted") -> float:
    """Steps that theory predicts for a run.

    Args:
        record: whose λ_min, rate and weights are used.
        kind: "predicted" (`theory.predicted_steps`), or "frozen": RMSProp's D of its first step.
    """
    run = record.run
    if kind == "frozen":
        d = theory.first_diagonal(record.couplings)
        return theory.frozen_steps(run.rate, record.couplings, d)
    return theory.predicted_steps(
        run.optimizer, run.rate, record.couplings, record.weights, 3 * run.limit
    )


def staib_ratio(found: Found, *, problem: str, of: str, to: str, tuned: bool) -> Values:
    """The quotient of two optimizers' median steps in the problem of Staib et al."""
    rows = [found.staib_row(problem, name, tuned=tuned) for name in (of, to)]
    if not all(rows):
        return {}, ()
    one, other = ([math.inf if v is None else v for v in row["steps"]] for row in rows)
    pairs = enumerate(zip(one, other, strict=True))
    return {seed: a / b for seed, (a, b) in pairs}, (found.staib_key,)


def _over_scales(
    found: Found,
    optimizers: Sequence[str],
    batches: str,
    scales: Sequence[float],
    tuned: bool,
    value: Callable[[Mapping[tuple[str, float], EscapeRecord], float], float],
    extreme: Callable[[Sequence[float]], float],
) -> Values:
    """The extreme over the scales of a value, for every seed that has all runs."""
    runs = {
        (name, scale): found.runs(name, batches=batches, scale=scale, tuned=tuned)
        for name in optimizers
        for scale in scales
    }
    seeds = sorted(set.intersection(*map(set, runs.values())))
    values = {}
    for seed in seeds:
        of_seed = {which: by_seed[seed] for which, by_seed in runs.items()}
        values[seed] = extreme([value(of_seed, scale) for scale in scales])
    keys = dict.fromkeys(by_seed[seed].key for by_seed in runs.values() for seed in seeds)
    return values, tuple(keys)


def _keys(runs: Mapping[int, EscapeRecord]) -> tuple[str, ...]:
    return tuple(r.key for r in runs.values())


VALUES: dict[str, Callable[..., Values]] = {
    "stays": stays,
    "leaves": leaves,
    "ratio": ratio,
    "theory_factor": theory_factor,
    "staib_ratio": staib_ratio,
}
