"""Hold a study's verdicts against those of another, such as the one in docs/study/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stock_rnn.study.judge.variants import PRIMARY
from stock_rnn.study.judge.verdicts import format_number
from stock_rnn.training.runs.reading import reading


def compare(ours: Path, theirs: Path) -> list[str]:
    """Lines that say where two studies agree.

    A claim agrees if both verdicts are the same and each statistic lies in the other's deciding
    interval.

    Args:
        ours, theirs: `verdicts.json` of each.

    Returns:
        A line for each claim that does not agree, a line for rules of different registries, and
        a count.

    Raises:
        UserError: a file is missing or is no `verdicts.json`.
    """
    (one, rules), (other, other_rules) = (_read(path) for path in (ours, theirs))
    lines = [
        f"{name:32} {_words(one[name])}; there {_words(other[name])}"
        for name in one
        if name in other and not _agree(one[name], other[name])
    ]
    if rules != other_rules:
        lines.append("the two studies are judged by different rules")
    common = len(one.keys() & other.keys())
    agreeing = sum(_agree(one[name], other[name]) for name in one.keys() & other.keys())
    return [*lines, f"{agreeing} of {common} claims agree with {theirs}"]


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], Any]:
    """Claim -> verdict; and the hash of the rules.

    Of the report's own experiments the verdicts are those on the primary variant, of a further
    part those on each of its variants.
    """
    with reading(path, "give the folder of a study that was drawn, or docs/study"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not (variants := content["variants"]):
            raise KeyError("variants")
        if str(PRIMARY) in variants:
            verdicts = {of["claim"]: of for of in variants[str(PRIMARY)]}
        else:
            every = [(name, of) for name, found in variants.items() for of in found]
            verdicts = {f"{of['claim']}, {name.partition(':')[0]}": of for name, of in every}
        return verdicts, content["registry"]["rules"]


def _agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["verdict"] == other["verdict"] and _within(one, other) and _within(other, one)


def _within(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one's value lies in the other's interval, as far as both are known."""
    low, high = other["deciding_interval"]
    value = one["value"]
    return None in (low, high, value) or low <= value <= high


def _words(verdict: dict[str, Any]) -> str:
    value = verdict["value"]
    return f"{verdict['verdict']} ({'–' if value is None else format_number(value)})"
