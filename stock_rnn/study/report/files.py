"""What is written to the folder of a study or of one of its parts: tables, figures, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from stock_rnn.files import atomic_write, write_json
from stock_rnn.plots import write_svg_and_png
from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.variants import Variant
from stock_rnn.study.judge.verdicts import (
    REPRODUCED,
    UNDECIDED,
    Verdict,
    format_interval,
    format_number,
    format_region,
)
from stock_rnn.study.report.questions import Answer, Question

#: Path of a table or figure, or a claim -> keys of the runs behind it.
Evidence = dict[str, list[str]]


def write_tables(folder: Folder, tables: Mapping[str, pd.DataFrame]) -> Evidence:
    """Write the tables; those of an earlier study are removed.

    Args:
        folder: of the study or part; it exists.
        tables: name -> table with a column "runs".

    Returns:
        The runs behind each.
    """
    folder.tables.mkdir(exist_ok=True)
    for name, table in tables.items():
        write_csv(folder.tables / f"{name}.csv", table)
    _remove_others(folder.tables, {f"{name}.csv" for name in tables})
    return {
        f"tables/{name}.csv": sorted({k for cell in table["runs"] for k in str(cell).split()})
        for name, table in tables.items()
    }


def write_figures(folder: Folder, figures: Mapping[str, Figure]) -> dict[str, str]:
    """Write the figures as SVG and PNG; those of an earlier study are removed.

    Returns:
        Name -> the text of its SVG.
    """
    folder.figures.mkdir(exist_ok=True)
    for name, figure in figures.items():
        # One layout for both files: it takes longer than the drawing.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        write_svg_and_png(folder.figures / name, figure)
    _remove_others(folder.figures, {f"{name}{end}" for name in figures for end in (".svg", ".png")})
    return {name: (folder.figures / f"{name}.svg").read_text(encoding="utf-8") for name in figures}


def write_verdicts(
    folder: Folder,
    about: Mapping[str, Any],
    by_variant: Mapping[Variant, Sequence[Verdict]],
    shown: Sequence[Verdict],
    preface: str = "",
) -> Evidence:
    """Write `verdicts.json`, and some of the verdicts as a table in `verdicts.md`.

    Args:
        folder: of the study or part; it exists.
        about: "command", "registry" and what else is told of the verdicts.
        by_variant: variant -> verdicts.
        shown: those of the table.
        preface: what `verdicts.md` begins with.

    Returns:
        The runs behind each claim of the table.
    """
    listed = {str(v): [one.to_dict() for one in of] for v, of in by_variant.items()}
    write_json(folder.verdicts, {**about, "variants": listed})
    write_text(folder.markdown, preface + verdict_table(shown))
    behind: dict[str, set[str]] = {}
    for verdict in shown:
        behind.setdefault(f"claim {verdict.claim.id}", set()).update(verdict.runs)
    return {claim: sorted(runs) for claim, runs in behind.items()}


def answers_text(sentences: Sequence[str], answers: Sequence[tuple[Question, Answer]]) -> str:
    """The three sentences and the table of the questions, as Markdown that the pages include."""
    rows = [(one.asks, f"**{of.word}**: {of.counts}", of.words) for one, of in answers]
    table = markdown_table(("question", "answer", "in words"), rows)
    return "\n".join(sentences) + f"\n\n{table}\n"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a Markdown table.

    Beside an undecided one stands the least effect that would have been told.
    """
    head = (
        "the report says",
        "statistic",
        "the report's",
        "region",
        "ours",
        "deciding interval",
        "persistence would pass",
        "seeds",
        "verdict",
    )
    return markdown_table(head, [_cells(verdict) for verdict in verdicts])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, a line a row."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines
    )


def _cells(verdict: Verdict) -> tuple[str, ...]:
    claim = verdict.claim
    words = f"**{verdict.verdict}**"
    if verdict.direction and verdict.verdict != REPRODUCED:
        words += ", only in its direction"
    if verdict.verdict == UNDECIDED and not math.isnan(sum(verdict.least)):
        words += " (told: ≤ {} or ≥ {})".format(*map(format_number, verdict.least))
    if verdict.younger:
        words += "; the rule is younger than a run"
    known = not math.isnan(verdict.deciding[0])
    return (
        f"“{claim.says}” ({claim.section})",
        claim.statistic,
        format_number(claim.report),
        format_region(claim),
        format_number(verdict.value),
        format_interval(verdict.deciding) if known else "–",
        {None: "", True: "yes", False: "no"}[verdict.persistence],
        str(verdict.seeds),
        words,
    )


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove the tables and figures of an earlier study, which this one does not have."""
    for path in folder.iterdir():
        if path.suffix in {".csv", ".svg", ".png"} and path.name not in names:
            path.unlink()


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
