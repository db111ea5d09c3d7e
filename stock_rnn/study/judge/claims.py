"""The report's tables, and its claims as the registry has them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from stock_rnn.study import registry

#: Number of the report's table -> network, optimizer, training loss, test loss.
REPORT_TABLES: dict[str, tuple[tuple[int, int], str, float, float]] = {
    "5.1": ((1, 32), "sgd", 0.0097, 0.0108),
    "5.2": ((1, 32), "rmsprop", 0.00010, 0.00092),
    "5.3": ((1, 128), "rmsprop", 0.00007, 0.00050),
    "5.4": ((5, 128), "rmsprop", 0.00004, 0.00018),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the report, and the rule that decides whether it is reproduced.

    Attributes:
        id: a short name.
        section: of the report.
        says: the report's words.
        statistic: what is computed for each seed, in words.
        scale: "log" for positive quantities whose logarithms are averaged (ratios, losses),
            "linear", or "share" for a value of 1 if something holds and 0 if not.
        region: interval in which the statistic lies if the claim is true, ends included.
        strict: whether the lower end does not belong to the region: equal is not better.
        direction: above it the statistic has the claimed direction, whatever its size; NaN
            where the region says that already.
        report: the statistic from the report's own numbers; NaN if it gives none.
        rule: the registry's entry, of which all of this was read.
    """

    id: str
    section: str
    says: str
    statistic: str
    scale: str
    region: tuple[float, float]
    strict: bool
    direction: float
    report: float
    rule: Mapping[str, Any]


def claims_of(version: int | str) -> tuple[Claim, ...]:
    """The claims of a registry, in its order; `registry.load` says which there are."""
    return tuple(map(_claim, registry.load(version)["claims"]))


def _claim(rule: Mapping[str, Any]) -> Claim:
    low, high = rule["region"]
    return Claim(
        **{name: rule[name] for name in ("id", "section", "says", "statistic", "scale", "strict")},
        region=(-math.inf if low is None else low, math.inf if high is None else high),
        direction=math.nan if rule["direction"] is None else rule["direction"],
        report=math.nan if rule["report"] is None else rule["report"],
        rule=rule,
    )


#: The claims of the present registry, in its order.
CLAIMS: tuple[Claim, ...] = claims_of(registry.VERSION)
