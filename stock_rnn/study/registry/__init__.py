"""The registry of claims: versions of it as files, and which version judges and was known to a run.

A file is never changed once runs name it: another rule is another version. Each claim has the
report's words and section, the statistic in words, `value` (a function of
`stock_rnn.study.judge.measures`) with its `options`, the runs that it is computed from, the
scale, and the region: [low, high], null where there is no end. `strict`: the low end does not
belong to it. `direction`: above it the statistic has the direction that the report claims,
whatever its size. `losses`: in whose place persistence is put to see whether it would pass:
of "all" networks, of the "first", or "" where the statistic is none of losses or forecasts.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

#: The version whose rules judge the report's experiments.
VERSION = 2

#: The registries of the study's further parts, each a family of its own: "tuned-1" and the like.
PARTS: tuple[str, ...] = ("tuned-1", "stretches-1", "escape-1")

# What computes statistics and decides, besides the rules.
_CODE = ("measures.py", "statistics.py")


@functools.cache
def load(version: int | str = VERSION) -> dict[str, Any]:
    """A registry's file: "version", "fixed", "family", "claims" and "no_rule".

    Args:
        version: a number for the report's experiments, or one of `PARTS`.
    """
    file = importlib.resources.files(__name__) / f"{version}.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def name() -> dict[str, Any]:
    """What a record and a verdict name: the version, and hashes of the rules and of their code.

    "rules" is of the file's content, not of its layout. "parts" has the same of the registries
    of further parts. "statistics" is of the code that computes statistics and intervals,
    without comments and docstrings.
    """
    return {
        "version": VERSION,
        "rules": _hash_of_rules(VERSION),
        "parts": {part: _hash_of_rules(part) for part in PARTS},
        "statistics": _hash_of_code(),
    }


def is_younger(claim: dict[str, Any], named: Mapping[str, Any]) -> bool:
    """Whether a rule is younger than a run: the registry that the run names does not have it.

    Args:
        claim: an entry of the present registry.
        named: `Record.registry`.
    """
    rules = {named.get("version", 0): named.get("rules"), **named.get("parts", {})}
    return not any(_has(version, of, claim) for version, of in rules.items())


def _has(version: int | str, rules: str | None, claim: dict[str, Any]) -> bool:
    """Whether a registry that a run names is known here, unchanged, and has a claim's rule."""
    if f"{version}.json" not in _files() or _hash_of_rules(version) != rules:
        return False
    return claim in load(version)["claims"]


@functools.cache
def _files() -> frozenset[str]:
    return frozenset(file.name for file in importlib.resources.files(__name__).iterdir())


@functools.cache
def _hash_of_rules(version: int | str) -> str:
    return hash_of(load(version))


def hash_of(content: Any) -> str:
    """16 hexadecimal digits of the sha256 of some content as canonical JSON."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _hash_of_code() -> str:
    folder = importlib.resources.files("stock_rnn.study.judge")
    return hash_of([_without_words(folder.joinpath(file).read_text("utf-8")) for file in _CODE])


def _without_words(source: str) -> str:
    """A module's syntax tree without docstrings, as text."""
    tree = _WithoutTexts().visit(ast.parse(source))
    # Normalized source rather than a dump, whose fields differ between versions of Python.
    return ast.unparse(ast.fix_missing_locations(tree))


class _WithoutTexts(ast.NodeTransformer):
    """Leaves out statements that are a constant alone, as docstrings are."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node
