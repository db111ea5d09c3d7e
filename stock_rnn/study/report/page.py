"""The study as one HTML page without external files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stock_rnn.page import environment
from stock_rnn.page.svg import embedded_svg
from stock_rnn.study import registry
from stock_rnn.study.judge.variants import PRIMARY, Variant
from stock_rnn.study.judge.verdicts import REPRODUCED, Verdict, format_number, format_region
from stock_rnn.study.records import Record
from stock_rnn.study.report.captions import caption
from stock_rnn.study.report.further import Part
from stock_rnn.study.report.questions import FIRST_FIGURE, Answer, Question

# Rows of a table that the page shows.
_TABLE_ROWS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """What the report's own experiments show.

    Attributes:
        command: that repeats them.
        found: their records.
        by_variant: the verdicts on each variant, in the order of `CLAIMS`.
        sentences: the answer in three sentences.
        answers: the questions and what they are answered.
        tables: name -> table.
        pictures: name -> figure, as SVG.
        evidence: path of a figure or table -> keys of the records that it shows.
    """

    command: str
    found: Sequence[Record]
    by_variant: Mapping[Variant, Sequence[Verdict]]
    sentences: Sequence[str]
    answers: Sequence[tuple[Question, Answer]]
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, str]
    evidence: Mapping[str, Sequence[str]]

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """Those on the primary variant."""
        return self.by_variant[PRIMARY]


def render_page(
    found: Sequence[Record], grid: Grid | None, parts: Sequence[Part], makespan: pd.DataFrame
) -> str:
    """The page as HTML text.

    Args:
        found: all records, those of the parts too.
        grid: the report's own experiments; None if they were not run.
        parts: what further parts show.
        makespan: of `makespan.makespans`.
    """
    templates = environment("stock_rnn.study.report")
    templates.filters["cell"] = _cell
    every = sorted(record.key for record in found)
    return templates.get_template("page.html").render(
        versions=found[0].versions if found else {},
        runs={record.key: record for record in sorted(found, key=lambda r: r.key)},
        grid=_grid(grid) if grid else None,
        parts=[_part(part) for part in parts],
        makespan=_table("makespan", "tables/makespan.csv", makespan, every) if found else None,
        region=format_region,
    )


def _grid(grid: Grid) -> dict[str, Any]:
    content = registry.load()
    figures = {name: _figure_of_grid(grid, name) for name in grid.pictures}
    return {
        "command": grid.command,
        "data": grid.found[0].data,
        "count": len(grid.found),
        "sentences": grid.sentences,
        "first": figures.get(FIRST_FIGURE),
        "questions": [_question(grid, *one, figures) for one in grid.answers],
        "primary": str(PRIMARY),
        "registry": registry.name(),
        "fixed": content["fixed"],
        "no_rule": content["no_rule"],
        "judged": len(grid.verdicts),
        "young": sum(verdict.younger for verdict in grid.verdicts),
        "recoded": sum(verdict.recoded for verdict in grid.verdicts),
    }


def _question(
    grid: Grid, question: Question, answer: Answer, figures: Mapping[str, Any]
) -> dict[str, Any]:
    at = {verdict.claim.id: place for place, verdict in enumerate(grid.verdicts)}
    return {
        "id": question.id,
        "asks": question.asks,
        "answer": answer,
        "claims": [
            _claim(name, grid.verdicts[at[name]], words, _procedures(grid, at[name]))
            for name, words in question.claims.items()
        ],
        "figures": [figures[name] for name in question.figures if name in figures],
        "tables": [
            _table(name, path, grid.tables[name], grid.evidence[path])
            for name in question.tables
            if name in grid.tables
            for path in [f"tables/{name}.csv"]
        ],
    }


def _procedures(grid: Grid, place: int) -> list[tuple[str, Verdict]]:
    """The verdicts on a claim by procedure, of those that have runs for it."""
    of = [(str(variant), verdicts[place]) for variant, verdicts in grid.by_variant.items()]
    return [(name, verdict) for name, verdict in of if verdict.seeds]


def _claim(
    name: str, verdict: Verdict, words: str, procedures: Sequence[tuple[str, Verdict]] = ()
) -> dict[str, Any]:
    return {
        "id": name,
        "verdict": verdict,
        # Only the first letter: names such as SGD stay as they are.
        "words": words[:1].upper() + words[1:],
        "procedures": procedures,
        "holds": sum(one.verdict == REPRODUCED for _, one in procedures),
    }


def _part(part: Part) -> dict[str, Any]:
    findings = part.findings
    place, captions = findings.name, findings.captions
    return {
        "name": place,
        "title": findings.title,
        "words": findings.words,
        "command": part.command,
        "claims": [
            _claim(f"{place}-{v.claim.id}", v, v.claim.statistic) for v in findings.verdicts
        ],
        "figures": [
            _figure(f"{place}-{name}", f"{place}/figures/{name}.svg", svg, captions.get(name, name))
            for name, svg in part.pictures.items()
        ],
        "tables": [
            _table(
                f"{place}-{name}",
                f"{place}/tables/{name}.csv",
                table,
                part.evidence[f"tables/{name}.csv"],
                captions.get(name, ""),
            )
            for name, table in findings.tables.items()
        ],
    }


def _figure_of_grid(grid: Grid, name: str) -> dict[str, Any]:
    path = f"figures/{name}.svg"
    return _figure(name, path, grid.pictures[name], caption(name), grid.evidence[path])


def _figure(name: str, path: str, svg: str, words: str, runs: Sequence[str] = ()) -> dict[str, Any]:
    letters = name.replace("_", "-").replace(".", "-")
    shown = embedded_svg(svg, words, name=f"svg-{letters}")
    return {"name": name, "path": path, "svg": shown, "caption": words, "runs": runs}


def _table(
    name: str, path: str, table: pd.DataFrame, runs: Sequence[str], words: str | None = None
) -> dict[str, Any]:
    part = table.drop(columns="runs").head(_TABLE_ROWS)
    return {
        "name": name,
        "path": path,
        "caption": caption(name) if words is None else words,
        "columns": list(part.columns),
        "rows": part.to_numpy(dtype=object).tolist(),
        "count": len(table),
        "runs": runs,
    }


def _cell(value: Any) -> str:
    """A value as text for a table; "" if it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return format_number(value) if isinstance(value, float) else str(value)
