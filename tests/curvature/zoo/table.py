"""The zoo as tables: of the registry, for the page, and of a run, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from tests.conftest import ROOT
from tests.curvature.zoo import layers, losses
from tests.curvature.zoo.refused import CONSTANT, REFUSED
from tests.curvature.zoo.registry import subjects

PAGE = ROOT / "docs" / "own-model.md"
BEGIN, END = "<!-- zoo: begin, written by python -m tests.curvature.zoo -->", "<!-- zoo: end -->"


def versions() -> str:
    """The libraries that decide what has a second derivative."""
    return f"TensorFlow {tf.__version__}, Keras {keras.__version__}"


def of_registry() -> str:
    """What works, what is refused and why, in Markdown; nothing is run."""
    everything = subjects()
    lines = ["| | right, against central differences of the gradient |", "|---|---|"]
    for kind in ("layers", "activations", "losses", "models"):
        right = [s.name for s in everything if s.kind == kind and s.id not in REFUSED]
        lines.append(f"| {kind} | {_joined(right, kind)} |")
    lines += ["", "| refused | why |", "|---|---|"]
    lines += _grouped({id: refusal.reason for id, refusal in REFUSED.items()})
    lines += ["", "| not built | why |", "|---|---|"]
    absent = {"layers": layers.NOT_LAYERS, "losses": losses.NOT_LOSSES}
    lines += _grouped(
        {f"{k}/{name}": why for k, them in absent.items() for name, why in them.items()}
    )
    lines += ["", "| right, but no gradient goes through | why |", "|---|---|"]
    lines += _grouped(CONSTANT)
    return "\n".join(lines) + "\n"


def of_run(rows: Iterable[dict[str, str]]) -> list[str]:
    """A line a subject, as the run found it."""
    lines = [versions()]
    for row in sorted(rows, key=lambda row: row["id"]):
        lines.append(f"{row['id']:<54} {row['outcome']}")
        if row["reason"]:
            lines.append(f"{'':<54} refused: {row['reason']}")
    return lines


def on_page() -> str:
    """What the page shows now, with the line of versions.

    Raises:
        ValueError: The page has lost its markers.
    """
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise ValueError(f"{PAGE} needs the lines {BEGIN!r} and {END!r} around the zoo's table.")
    return page.split(BEGIN)[1].split(END)[0]


def write_page() -> None:
    """Put the registry's table between the page's markers."""
    page = PAGE.read_text(encoding="utf-8")
    new = f"\nWith {versions()}:\n\n{of_registry()}\n"
    written = PAGE.with_suffix(".tmp")
    written.write_text(page.replace(BEGIN + on_page() + END, BEGIN + new + END), encoding="utf-8")
    written.replace(PAGE)


def _joined(names: list[str], kind: str) -> str:
    """Names of one kind; further ways of using a thing in brackets behind it."""
    if kind == "models":
        return "; ".join(names)
    ways: dict[str, list[str]] = {}
    for name in names:
        thing, _, way = name.partition(", ")
        ways.setdefault(thing, []).extend([way] if way else [])
    return ", ".join(f"`{t}`" + (f" ({'; '.join(w)})" if w else "") for t, w in ways.items())


def _grouped(reasons: dict[str, str]) -> list[str]:
    """A row a reason, with all that it is the reason for."""
    names: dict[str, list[str]] = {}
    for id, why in reasons.items():
        kind, _, name = id.partition("/")
        names.setdefault(why, []).append(_joined([name], kind))
    return [f"| {', '.join(of_that)} | {why} |" for why, of_that in names.items()]
