"""Judge a claim: compare the interval of its statistic with its region, and say so in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stock_rnn.study import registry
from stock_rnn.study.judge.claims import CLAIMS, Claim
from stock_rnn.study.judge.measures import Sample, sample
from stock_rnn.study.judge.statistics import (
    CONFIDENCE,
    Location,
    family_level,
    least_effect,
    least_seeds,
    least_share,
    locate,
    locate_share,
)
from stock_rnn.study.judge.variants import PRIMARY, Variant
from stock_rnn.study.records import Study

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a claim.

    Attributes:
        claim: that was judged.
        variant: the procedure that it was judged on.
        verdict: REPRODUCED if the deciding interval lies inside the claim's region,
            NOT_REPRODUCED if it lies outside, else UNDECIDED.
        value: the statistic over seeds or stretches, in its own units; NaN if unknown.
        interval: (low, high), at 95 %.
        deciding: (low, high), at the confidence at which Holm's method decided, or stopped.
        confidence: of `deciding`.
        direction: whether `deciding` lies above the claim's `direction`.
        least: (low, high): values of the statistic that would have been decided four times of
            five: below the region's borders and above them; NaN where none would.
        persistence: whether the forecast of no change lies in the region; None if the
            statistic cannot be computed of it.
        seeds: number of seeds; of stretches where the verdict is about these.
        values: seed, or name of the stretch -> statistic.
        runs: keys of the records that the values were computed from.
        younger: whether the rule is younger than one of the runs.
        recoded: whether the code of the statistics has changed since one of the runs.
        family: number of claims judged together.
    """

    claim: Claim
    variant: Variant
    verdict: str
    value: float
    interval: tuple[float, float]
    deciding: tuple[float, float]
    confidence: float
    direction: bool
    least: tuple[float, float]
    persistence: bool | None
    seeds: int
    values: dict[int, float]
    runs: tuple[str, ...]
    younger: bool
    recoded: bool
    family: int

    @property
    def about(self) -> str:
        """What the verdict is about: "this stretch" of prices, or "stretches" of them."""
        return "stretches" if self.claim.rule.get("unit") == "stretches" else "this stretch"

    @property
    def sentence(self) -> str:
        """The verdict and its numbers in words."""
        return _sentence(self)

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
            "about": self.about,
            "value": _finite(self.value),
            "interval": [_finite(v) for v in self.interval],
            "deciding_interval": [_finite(v) for v in self.deciding],
            "deciding_confidence": self.confidence,
            "direction": self.direction,
            "least_effect": [_finite(v) for v in self.least],
            "persistence_would_pass": self.persistence,
            "rule_younger_than_a_run": self.younger,
            "statistics_changed_since_a_run": self.recoded,
            "seeds": self.seeds,
            "values": {str(seed): _finite(value) for seed, value in self.values.items()},
            "runs": list(self.runs),
            "sentence": self.sentence,
        }


def judge_all(
    study: Study, variant: Variant = PRIMARY, claims: Sequence[Claim] = CLAIMS
) -> list[Verdict]:
    """The verdicts on all claims, in their order, by Holm's method at 5 %.

    Intervals at the confidence of Bonferroni's method decide what they can. Then those of the
    claims that are left, for their number, until none is decided any more (Holm 1979). A
    verdict is a statement of direction; for these Holm's control of the familywise error is
    proven for independent statistics (Shaffer 1980), which those of shared runs are not.
    """
    samples = [sample(claim.rule, study, variant) for claim in claims]
    return judge_samples(claims, samples, {r.key: r.registry for r in study.records}, variant)


def judge_samples(
    claims: Sequence[Claim],
    samples: Sequence[Sample],
    named: Mapping[str, Mapping[str, Any]],
    variant: Variant = PRIMARY,
    locate: Callable[[Claim, Sample], Location] | None = None,
) -> list[Verdict]:
    """`judge_all` on values that are known already.

    Args:
        claims: a family, judged together.
        samples: the values of each claim's statistic.
        named: key of a run -> the registry that it names (`Record.registry`).
        variant: the procedure that the values are of.
        locate: the location of a claim's values, of their logarithms for the scale "log"; by
            default over seeds.
    """
    located = [
        locate(claim, of) if locate else _locate(claim, np.array(list(of.values.values())))
        for claim, of in zip(claims, samples, strict=True)
    ]
    confidence = dict.fromkeys(range(len(claims)), math.nan)
    left = set(confidence)
    while left:
        level = family_level(len(left))
        confidence |= dict.fromkeys(left, level)
        decided = {k for k in left if _decided(claims[k], located[k], level) != UNDECIDED}
        left -= decided
        if not decided:
            break
    return [
        _verdict(claims[k], variant, located[k], samples[k], confidence[k], named, len(claims))
        for k in range(len(claims))
    ]


def judge(study: Study, claim: Claim, variant: Variant = PRIMARY) -> Verdict:
    """The verdict on one claim by itself, at 95 %."""
    (verdict,) = judge_all(study, variant, [claim])
    return verdict


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


def _locate(claim: Claim, values: np.ndarray) -> Location:
    """The location of the values, of their logarithms for the scale "log"."""
    if claim.scale == "share" and not np.isnan(values).any():
        return locate_share(values > 0.5)
    if claim.scale == "log":
        with np.errstate(divide="ignore", invalid="ignore"):
            return locate(np.log(values))
    return locate(values)


def _own(claim: Claim, value: float) -> float:
    """A location's number in the statistic's own units."""
    return _exp(value) if claim.scale == "log" else value


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _at(claim: Claim, located: Location, confidence: float) -> tuple[float, float]:
    low, high = located.at(confidence)
    return _own(claim, low), _own(claim, high)


def _decided(claim: Claim, located: Location, confidence: float) -> str:
    return decide(_at(claim, located, confidence), claim.region, strict=claim.strict)


def _verdict(
    claim: Claim,
    variant: Variant,
    located: Location,
    of: Sample,
    confidence: float,
    named: Mapping[str, Mapping[str, Any]],
    family: int,
) -> Verdict:
    registries = [named[key] for key in of.runs]
    code = registry.name()["statistics"]
    deciding = _at(claim, located, confidence)
    return Verdict(
        claim=claim,
        variant=variant,
        verdict=_decided(claim, located, confidence),
        value=_own(claim, located.value),
        interval=_at(claim, located, CONFIDENCE),
        deciding=deciding,
        confidence=confidence,
        direction=deciding[0] > claim.direction,
        least=_least(claim, located, confidence),
        persistence=_passes(claim, of.persistence),
        seeds=located.seeds,
        values=of.values,
        runs=of.runs,
        younger=any(registry.is_younger(dict(claim.rule), one) for one in registries),
        recoded=any(one.get("statistics") != code for one in registries),
        family=family,
    )


def _least(claim: Claim, located: Location, confidence: float) -> tuple[float, float]:
    if claim.scale == "share":
        share = least_share(located.seeds, confidence)
        return 1.0 - share, share
    with np.errstate(divide="ignore"):
        borders = np.log(claim.region) if claim.scale == "log" else np.array(claim.region)
    borders = borders[np.isfinite(borders)]
    effect = least_effect(located, confidence)
    return _own(claim, float(borders.min() - effect)), _own(claim, float(borders.max() + effect))


def _passes(claim: Claim, persistence: tuple[float, ...]) -> bool | None:
    """Whether persistence's statistic, the same for every seed or their mean, is in the region."""
    if not persistence or not np.isfinite(persistence).all():
        return None
    value = float(np.mean(persistence))
    return decide((value, value), claim.region, strict=claim.strict) == REPRODUCED


def _sentence(verdict: Verdict) -> str:
    claim = verdict.claim
    if verdict.seeds == 0:
        return "Undecided: there are no runs for this claim."
    words = _beginning(verdict)
    needed = least_seeds(verdict.confidence)
    if lost := sum(math.isnan(value) for value in verdict.values.values()):
        why = "a run diverged, or ended before the statistic was known"
        words.append(f"and {lost} of them give no number ({why}), so there is no interval;")
    elif verdict.about == "stretches" and math.isnan(verdict.interval[0]):
        words.append("and there is no interval: they start in one year, or a run diverged;")
    elif verdict.about == "this stretch" and claim.scale != "share" and verdict.seeds < needed:
        words.append(f"and {needed} are needed to judge {verdict.family} claims at 95 %;")
    else:
        words.append(
            f"{format_interval(verdict.interval)} (95 %), {format_interval(verdict.deciding)} "
            f"(deciding, {100 * verdict.confidence:.2f} %);"
        )
    words.append(f"the claim needs {format_region(claim)}.")
    return " ".join(words) + _remarks(verdict)


def _beginning(verdict: Verdict) -> list[str]:
    """The verdict and its value; of the prices of the study unless it says otherwise."""
    decision, value = verdict.verdict.capitalize(), format_number(verdict.value)
    plural = "" if verdict.seeds == 1 else "s"
    if verdict.about == "stretches":
        what = "geometric mean" if verdict.claim.scale == "log" else "mean"
        begin = f"over {verdict.seeds} stretch{plural and 'es'} the {what} is {value}"
        return [f"{decision}, about stretches of prices:", begin]
    what = "share of seeds" if verdict.claim.scale == "share" else "interquartile mean"
    return [f"{decision}:", f"over {verdict.seeds} seed{plural} the {what} is {value}"]


def _remarks(verdict: Verdict) -> str:
    claim, words = verdict.claim, ""
    if verdict.direction and verdict.verdict != REPRODUCED:
        words += f" Only its direction is reproduced: more than {format_number(claim.direction)}."
    if verdict.verdict == UNDECIDED and not math.isnan(sum(verdict.least)):
        below, above = map(format_number, verdict.least)
        words += f" Told would have been, four times of five, {below} and less or {above} and more."
    if verdict.persistence:
        words += " Persistence would pass."
    if not math.isnan(claim.report):
        inside = claim.region[0] <= claim.report <= claim.region[1]
        own = f" The report's own numbers give {format_number(claim.report)}"
        words += own + ("." if inside else ", which is outside this region.")
    return words


def format_region(claim: Claim) -> str:
    """The claim's region in words."""
    low, high = claim.region
    if math.isinf(high):
        return f"{'more than' if claim.strict else 'at least'} {format_number(low)}"
    if math.isinf(low) or low == 0.0:
        return f"at most {format_number(high)}"
    return f"{format_number(low)} to {format_number(high)}"


def format_interval(interval: tuple[float, float]) -> str:
    """An interval as text."""
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
