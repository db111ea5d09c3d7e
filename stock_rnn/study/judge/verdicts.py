"""Judge a claim: compare the interval of its statistic with its region, and say so in words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from stock_rnn.study.judge.claims import CLAIMS, Claim
from stock_rnn.study.judge.statistics import (
    Summary,
    family_level,
    least_seeds,
    summarize,
    summarize_share,
)
from stock_rnn.study.judge.variants import PRIMARY, Variant
from stock_rnn.study.records import Study

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict on a claim.

    Attributes:
        claim: that was judged.
        variant: the procedure that it was judged on.
        verdict: REPRODUCED if the simultaneous interval lies inside the claim's region,
            NOT_REPRODUCED if it lies outside, else UNDECIDED.
        summary: of the statistic, in its own units.
        values: seed -> statistic.
        runs: keys of the records that the values were computed from.
        sentence: the verdict and its numbers in words.
    """

    claim: Claim
    variant: Variant
    verdict: str
    summary: Summary
    values: dict[int, float]
    runs: tuple[str, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """The verdict for strict JSON, with null for values that are not finite."""
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


def judge_all(study: Study, variant: Variant) -> list[Verdict]:
    """The verdicts on all of `CLAIMS`, in their order, corrected for their number."""
    return [judge(study, claim, variant, family=len(CLAIMS)) for claim in CLAIMS]


def judge(study: Study, claim: Claim, variant: Variant = PRIMARY, *, family: int) -> Verdict:
    """The verdict on one claim.

    Args:
        study: the records.
        claim: to judge.
        variant: the procedure.
        family: number of claims that are judged together; the deciding intervals hold for
            all of them simultaneously with 95 % confidence.
    """
    sample = claim.measure(study, variant)
    summary = _summary(claim, np.array(list(sample.values.values())), family)
    verdict = decide(summary.simultaneous, claim.region, strict=claim.strict)
    sentence = _sentence(claim, verdict, summary, sample.values, family)
    if not math.isnan(sample.persistence):
        sentence += f" Persistence has {format_number(sample.persistence)}."
    return Verdict(claim, variant, verdict, summary, sample.values, sample.runs, sentence)


def decide(
    interval: tuple[float, float], region: tuple[float, float], *, strict: bool = False
) -> str:
    """REPRODUCED if the interval is inside the region, NOT_REPRODUCED if outside, else UNDECIDED.

    Args:
        interval: (low, high); NaN is undecided.
        region: (low, high), both included.
        strict: whether the region's lower end is excluded.
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
    seeds, needed = summary.seeds, least_seeds(family_level(family))
    if seeds == 0:
        return "Undecided: there are no runs for this claim."
    words = [f"{verdict.capitalize()}:"]
    what = "share of seeds" if claim.scale == "share" else "interquartile mean"
    plural = "" if seeds == 1 else "s"
    words.append(f"over {seeds} seed{plural} the {what} is {format_number(summary.value)}")
    if lost := _not_finite(claim, values):
        why = "a run diverged, or ended before the statistic was known"
        words.append(f"and {lost} of them give no number ({why}), so there is no interval;")
    elif seeds < needed:
        words.append(f"and {needed} are needed to judge {family} claims at 95 %;")
    else:
        words.append(
            f"{_interval(summary.interval)} (95 %), {_interval(summary.simultaneous)} "
            f"simultaneously for all {family} claims;"
        )
    words.append(f"the claim needs {_region(claim)}.")
    return " ".join(words) + _own_numbers(claim)


def _not_finite(claim: Claim, values: dict[int, float]) -> int:
    """Number of seeds whose statistic is not finite; on a logarithmic scale, zero counts too."""
    lowest = 0.0 if claim.scale == "log" else -math.inf
    return sum(not (math.isfinite(value) and value > lowest) for value in values.values())


def _own_numbers(claim: Claim) -> str:
    if math.isnan(claim.report):
        return ""
    inside = claim.region[0] <= claim.report <= claim.region[1]
    own = f" The report's own numbers give {format_number(claim.report)}"
    return own + ("." if inside else ", which is outside this region.")


def _region(claim: Claim) -> str:
    low, high = claim.region
    if math.isinf(high):
        return f"{'more than' if claim.strict else 'at least'} {format_number(low)}"
    if math.isinf(low) or low == 0.0:
        return f"at most {format_number(high)}"
    return f"{format_number(low)} to {format_number(high)}"


def _interval(interval: tuple[float, float]) -> str:
    return f"[{format_number(interval[0])}, {format_number(interval[1])}]"


def format_number(value: float) -> str:
    """A number as text, to three significant digits; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if value == 0.0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:#.3g}".rstrip(".")
    return f"{value:.2e}" if math.isfinite(value) else ("∞" if value > 0 else "-∞")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
