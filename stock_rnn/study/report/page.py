"""The study as one HTML page without external files."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stock_rnn.page import environment
from stock_rnn.study import registry
from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.judge.variants import PRIMARY, Variant
from stock_rnn.study.judge.verdicts import Verdict, format_number, format_region
from stock_rnn.study.records import Record
from stock_rnn.study.report.further import Part

# Prefix of a figure's or table's name -> caption. The first prefix that fits counts.
_CAPTIONS: dict[str, str] = {
    "figure_": "The newest 100 days of the test set, in the report's layout. Dropout is off. "
    "Persistence predicts zero.",
    "eigenvalues_": "Loss, gradient norm, λ_max and λ_min of the Hessian by epoch; epoch 0 is "
    "before training. Persistence is the loss of predicting zero.",
    "negative_index": "Training loss against the negative index, as Dauphin et al. plot it. The "
    "index is the share of eigenvalues below -1e-6 of the largest. Bars are two standard errors "
    "of its estimate from random probes.",
    "negative_shares": "Do the optimizers move along negative curvature?",
    "edge_of_stability": "The largest eigenvalue of the preconditioned Hessian, relative to the "
    "optimizer's stability line.",
    "escapes": "Runs that start 0.001 from a strict saddle whose λ_min is known in closed form.",
    "sizes": "Loss by the number of units: is more than 512 worse?",
    "rates": "Loss of SGD by learning rate: is it the method or the step size?",
    "table_": "Mean over seeds and its 95 % interval. The report's number is in the rows of the "
    "optimizer that it used.",
    "optimizers": "Skill against persistence, 1 - MSE / MSE of persistence: interquartile mean.",
    "improvement": "The probability that a run of x has a lower test loss than one of y.",
    "lines": "What lines from the end of a run are worth: the lowest loss on them, in units of "
    "the loss at the end, of the training's own objective (dropout on, over all masks), 1 x 32. "
    "v_min is the eigenvector of its smallest eigenvalue.",
    "curvature": "Curvature at the end of the runs.",
}

# Rows of a table that the page shows.
_TABLE_ROWS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """What the report's own experiments show.

    Attributes:
        command: that repeats them.
        data: description of their prices.
        by_variant: the verdicts on each variant, in the order of `CLAIMS`.
        tables: name -> table.
        pictures: name -> figure, as SVG.
        evidence: path of a figure or table -> keys of the records that it shows.
    """

    command: str
    data: Mapping[str, Any]
    by_variant: Mapping[Variant, Sequence[Verdict]]
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, str]
    evidence: Mapping[str, Sequence[str]]


def render_page(found: Sequence[Record], grid: Grid | None, parts: Sequence[Part]) -> str:
    """The page as HTML text.

    Args:
        found: all records, those of the parts too.
        grid: the report's own experiments; None if they were not run.
        parts: what further parts show.
    """
    templates = environment("stock_rnn.study.report")
    templates.filters["cell"] = _cell
    return templates.get_template("page.html").render(
        versions=found[0].versions,
        runs={record.key: record for record in sorted(found, key=lambda r: r.key)},
        grid=_grid(grid) if grid else None,
        parts=[_part(part) for part in parts],
        region=format_region,
    )


def _grid(grid: Grid) -> dict[str, Any]:
    content = registry.load()
    return {
        "command": grid.command,
        "data": grid.data,
        "verdicts": grid.by_variant[PRIMARY],
        "others": {
            claim.id: [(str(variant), of[k]) for variant, of in grid.by_variant.items()]
            for k, claim in enumerate(CLAIMS)
        },
        "primary": str(PRIMARY),
        "registry": registry.name(),
        "fixed": content["fixed"],
        "no_rule": content["no_rule"],
        "figures": [
            (
                name,
                f"figures/{name}.svg",
                _caption(name),
                _data_uri(svg),
                grid.evidence[f"figures/{name}.svg"],
            )
            for name, svg in grid.pictures.items()
        ],
        "tables": [
            _table(
                name,
                f"tables/{name}.csv",
                _caption(name),
                table,
                grid.evidence[f"tables/{name}.csv"],
            )
            for name, table in grid.tables.items()
        ],
    }


def _part(part: Part) -> dict[str, Any]:
    findings, evidence = part.findings, part.evidence
    place, captions = findings.name, findings.captions
    return {
        "name": place,
        "title": findings.title,
        "words": findings.words,
        "command": part.command,
        "verdicts": findings.verdicts,
        "figures": [
            (
                f"{place}-{name}",
                f"{place}/figures/{name}.svg",
                captions.get(name, ""),
                _data_uri(svg),
                [],
            )
            for name, svg in part.pictures.items()
        ],
        "tables": [
            _table(
                f"{place}-{name}",
                f"{place}/tables/{name}.csv",
                captions.get(name, ""),
                table,
                evidence[f"tables/{name}.csv"],
            )
            for name, table in findings.tables.items()
        ],
    }


def _table(
    name: str, path: str, caption: str, table: pd.DataFrame, runs: Sequence[str]
) -> tuple[Any, ...]:
    return name, path, caption, _shown(table), len(table), runs


def _caption(name: str) -> str:
    return next((text for start, text in _CAPTIONS.items() if name.startswith(start)), "")


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _shown(table: pd.DataFrame) -> dict[str, Any]:
    part = table.drop(columns="runs").head(_TABLE_ROWS)
    return {"columns": list(part.columns), "rows": part.to_numpy(dtype=object).tolist()}


def _cell(value: Any) -> str:
    """A value as text for a table; "" if it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return format_number(value) if isinstance(value, float) else str(value)
