"""The claims over stretches: values of every stretch, and the verdicts on their means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stock_rnn.study.judge import measures
from stock_rnn.study.judge.claims import Claim, claims_of
from stock_rnn.study.judge.measures import Sample, quotient
from stock_rnn.study.judge.statistics import CONFIDENCE
from stock_rnn.study.judge.variants import PRIMARY
from stock_rnn.study.judge.verdicts import REPRODUCED, Verdict, decide, judge_samples
from stock_rnn.study.records import Record, Study
from stock_rnn.study.stretches.bootstrap import Pooled, of_seeds, pool, shared_days
from stock_rnn.study.stretches.plan import REGISTRY

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ran:
    """A stretch with its finished runs.

    Attributes:
        name: of the stretch.
        own: whether it has the study's own prices.
        data: description of its prices (`runs.describe_data`).
        records: in any order.
    """

    name: str
    own: bool
    data: Mapping[str, Any]
    records: Sequence[Record]

    @property
    def first(self) -> np.datetime64:
        """The first day."""
        return np.datetime64(self.data["first"], "D")

    @property
    def last(self) -> np.datetime64:
        """The last day."""
        return np.datetime64(self.data["last"], "D")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """A claim's statistic on one stretch.

    Attributes:
        stretch: that it is of.
        values: (seeds,), on the claim's scale: logarithms for "log".
        value: their mean, in the statistic's own units.
        interval: Student's over the seeds, at 95 %, in the same units; NaN for fewer than two.
        holds: whether `value` is in the claim's region.
        sample: the values and the runs behind them.
    """

    stretch: Ran
    values: Array
    value: float
    interval: tuple[float, float]
    holds: bool
    sample: Sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim over stretches.

    Attributes:
        verdict: on the mean over the stretches.
        pooled: that mean, on the claim's scale.
        effects: of the stretches that have all runs of a seed, in their order.
    """

    verdict: Verdict
    pooled: Pooled
    effects: Sequence[Effect]


def judge(stretches: Sequence[Ran], claims: Sequence[Claim] | None = None) -> list[Judged]:
    """The verdicts over stretches, by Holm's method at 5 %.

    Args:
        stretches: those with runs.
        claims: a family; by default those of the registry `REGISTRY`.

    Returns:
        One a claim, in their order.
    """
    claims = claims_of(REGISTRY) if claims is None else claims
    effects = [effects_of(claim, stretches) for claim in claims]
    pooled = {claim.id: _pool(of) for claim, of in zip(claims, effects, strict=True)}
    verdicts = judge_samples(
        claims,
        list(map(_together, effects)),
        {record.key: record.registry for of in stretches for record in of.records},
        PRIMARY,
        lambda claim, _: pooled[claim.id].location,
    )
    return [
        Judged(verdict=verdict, pooled=pooled[verdict.claim.id], effects=of)
        for verdict, of in zip(verdicts, effects, strict=True)
    ]


def effects_of(claim: Claim, stretches: Sequence[Ran]) -> list[Effect]:
    """A claim's statistic on each stretch that has all of its runs, of one seed at least."""
    samples = [(stretch, _sample(claim, Study(stretch.records))) for stretch in stretches]
    return [_effect(claim, stretch, of) for stretch, of in samples if of.values]


def over_network(records: Sequence[Record], dropout: bool, *, set: str) -> float:
    """Persistence's loss / the final one of a network, on the set "train" or "test"."""
    return quotient(records[0].persistence[set], measures.loss(records, dropout, set=set))


def _sample(claim: Claim, study: Study) -> Sample:
    """The values on one stretch; `over_network` is the only one that is not the report's part's."""
    rule = dict(claim.rule)
    if rule["value"] != over_network.__name__:
        return measures.sample(rule, study, PRIMARY)
    (kind,) = rule["runs"]
    runs = study.runs(PRIMARY.protocol, tuple(kind["network"]), kind["optimizer"])
    values = {
        seed: over_network([record], PRIMARY.dropout, **rule["options"])
        for seed, record in runs.items()
    }
    keys = tuple(record.key for record in runs.values())
    # Persistence in the network's place has the ratio 1.
    return Sample(values, keys, (1.0,) * len(values))


def _effect(claim: Claim, stretch: Ran, of: Sample) -> Effect:
    values = np.array(list(of.values.values()))
    if claim.scale == "log":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(values)
    low, high = of_seeds(values, CONFIDENCE)
    with np.errstate(invalid="ignore"):
        value = own_units(claim, float(np.mean(values)))
    return Effect(
        stretch=stretch,
        values=values,
        value=value,
        interval=(own_units(claim, low), own_units(claim, high)),
        holds=decide((value, value), claim.region, strict=claim.strict) == REPRODUCED,
        sample=of,
    )


def own_units(claim: Claim, value: float) -> float:
    """A number on the claim's scale in the statistic's own units."""
    with np.errstate(over="ignore"):
        return float(np.exp(value)) if claim.scale == "log" else value


def _pool(effects: Sequence[Effect]) -> Pooled:
    first, last = (
        np.array([getattr(of.stretch, day) for of in effects], dtype="datetime64[D]")
        for day in ("first", "last")
    )
    years = first.astype("datetime64[Y]").astype(np.int64)
    return pool([of.values for of in effects], years, shared_days(first, last))


def _together(effects: Sequence[Effect]) -> Sample:
    """The stretches as the units of a sample: name -> value."""
    values = {of.stretch.name: of.value for of in effects}
    return Sample(
        cast(Any, values),
        tuple(key for of in effects for key in of.sample.runs),
        tuple(value for of in effects for value in of.sample.persistence),
    )
