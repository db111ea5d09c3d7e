"""Judging claims: the statistic with its intervals against the region, and the sentence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from stock_rnn.study.judge.claims import CLAIMS, PRIMARY, Claim, Study, Variant
from stock_rnn.study.judge.statistics import (
    Summary,
    family_level,
    least_seeds,
    summarize,
    summarize_share,
)

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        claim: judged.
        variant: the procedure it was judged on.
        verdict: REPRODUCED if the simultaneous interval lies in the claim's region,
            NOT_REPRODUCED if it lies outside, else UNDECIDED.
        summary: of the statistic, in its own units.
        values: seed -> statistic.
        runs: keys of the records it was computed from.
        sentence: all of that in words.
    """

    claim: Claim
    variant: Variant
    verdict: str
    summary: Summary
    values: dict[int, float]
    runs: tuple[str, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, which knows neither NaN nor infinity."""
        return {
            "claim": self.claim.id,
            "section": self.claim.section,
            "says": self.claim.says,
            "statistic": self.claim.statistic,
            "region": [_finite(v) for v in self.claim.region],
            "report": _finite(self.claim.report),
            "variant": str(self.variant),
            "verdict": self.verdict,
            "value": _finite(self.summary.value),
            "interval": [_finite(v) for v in self.summary.interval],
            "simultaneous_interval": [_finite(v) for v in self.summary.simultaneous],
            "seeds": self.summary.seeds,
            "values": {str(seed): _finite(value) for seed, value in self.values.items()},
            "runs": list(self.runs),
            "sentence": self.sentence,
        }


def judge_all(
    study: Study, variant: Variant = PRIMARY, claims: Sequence[Claim] = CLAIMS
) -> list[Verdict]:
    """The verdicts on all claims, corrected for how many they are."""
    return [judge(study, claim, variant, family=len(claims)) for claim in claims]


def judge(study: Study, claim: Claim, variant: Variant = PRIMARY, *, family: int = 1) -> Verdict:
    """The verdict on one claim.

    Args:
        study: the records.
        claim: to judge.
        variant: the procedure.
        family: how many claims are judged together; the interval that decides holds
            for all of them at once with 95 %.
    """
    sample = claim.measure(study, variant)
    summary = _summary(claim, np.array(list(sample.values.values())), family)
    verdict = decide(summary.simultaneous, claim.region, strict=claim.strict)
    sentence = _sentence(claim, verdict, summary, sample.values, family)
    if not math.isnan(sample.persistence):
        sentence += f" Persistence has {show(sample.persistence)}."
    return Verdict(claim, variant, verdict, summary, sample.values, sample.runs, sentence)


def decide(
    interval: tuple[float, float], region: tuple[float, float], *, strict: bool = False
) -> str:
    """Inside, outside, or neither; an interval of NaN decides nothing.

    Args:
        interval, region: their ends.
        strict: whether the region's lower end is not part of it.
    """
    low, high = interval
    above = low > region[0] if strict else low >= region[0]
    below = high <= region[0] if strict else high < region[0]
    if above and high <= region[1]:
        return REPRODUCED
    if below or low > region[1]:
        return NOT_REPRODUCED
    return UNDECIDED


def _summary(claim: Claim, values: np.ndarray, family: int) -> Summary:
    if claim.scale == "share":
        if np.isnan(values).any():
            return summarize(values, claims=family)
        return summarize_share(values > 0.5, claims=family)
    if claim.scale == "log":
        with np.errstate(divide="ignore"):
            logs = summarize(np.log(values), claims=family)
        return Summary(
            math.exp(logs.value),
            (math.exp(logs.interval[0]), math.exp(logs.interval[1])),
            (math.exp(logs.simultaneous[0]), math.exp(logs.simultaneous[1])),
            logs.seeds,
        )
    return summarize(values, claims=family)


def _sentence(
    claim: Claim, verdict: str, summary: Summary, values: dict[int, float], family: int
) -> str:
    words = [f"{verdict.capitalize()}:"]
    seeds, needed = summary.seeds, least_seeds(family_level(family))
    if seeds == 0:
        return "Undecided: the runs that would tell were not made."
    what = "share of seeds" if claim.scale == "share" else "interquartile mean"
    words.append(
        f"over {seeds} {'seed' if seeds == 1 else 'seeds'} the {what} is {show(summary.value)}"
    )
    if lost := _without_number(claim, values):
        why = "a run diverged, or ended before it could tell"
        words.append(f"and {lost} of them give no number ({why}), so no interval;")
    elif seeds < needed:
        words.append(f"and {needed} are needed to judge {family} claims at 95 %;")
    else:
        words.append(
            f"{_interval(summary.interval)} (95 %), {_interval(summary.simultaneous)} with all "
            f"{family} claims held at once;"
        )
    words.append(f"the claim needs {_region(claim)}.")
    return " ".join(words) + _own_numbers(claim)


def _without_number(claim: Claim, values: dict[int, float]) -> int:
    """Of how many seeds the statistic is infinite or unknown; on a logarithm's scale, zero too."""
    lowest = 0.0 if claim.scale == "log" else -math.inf
    return sum(not (math.isfinite(value) and value > lowest) for value in values.values())


def _own_numbers(claim: Claim) -> str:
    if math.isnan(claim.report):
        return ""
    inside = claim.region[0] <= claim.report <= claim.region[1]
    own = f" The report's own numbers give {show(claim.report)}"
    return own + ("." if inside else ", which is not what it says.")


def _region(claim: Claim) -> str:
    low, high = claim.region
    if math.isinf(high):
        return f"{'more than' if claim.strict else 'at least'} {show(low)}"
    if math.isinf(low) or low == 0.0:
        return f"at most {show(high)}"
    return f"{show(low)} to {show(high)}"


def _interval(interval: tuple[float, float]) -> str:
    return f"[{show(interval[0])}, {show(interval[1])}]"


def show(value: float) -> str:
    """A number as tables and sentences have it: three significant digits."""
    if math.isnan(value):
        return "–"
    if value == 0.0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:#.3g}".rstrip(".")
    return f"{value:.2e}" if math.isfinite(value) else ("∞" if value > 0 else "-∞")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
