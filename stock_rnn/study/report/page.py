"""The study as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import pandas as pd

from stock_rnn.study.judge.claims import CLAIMS, PRIMARY, Variant
from stock_rnn.study.judge.statistics import family_level, least_seeds
from stock_rnn.study.judge.verdicts import Verdict, show
from stock_rnn.study.records import Record

#: Figure's or table's name, or how it begins -> what it shows, in the order of the page.
CAPTIONS: dict[str, str] = {
    "figure_": "In the report's layout: the newest 100 days of the test set. Predicting zero is "
    "persistence. Dropout is off.",
    "eigenvalues_": "Loss, gradient and both ends of the Hessian by epoch, before the first "
    "included. Persistence is the loss of predicting zero.",
    "negative_index": "Dauphin's plot. The index counts eigenvalues below -1e-6 of the largest; "
    "bars are the estimate's standard errors, from random probes.",
    "negative_shares": "Whether optimizers move along negative curvature.",
    "edge_of_stability": "The top eigenvalue of the Hessian as the optimizer sees it.",
    "escapes": "Runs that start 0.001 from a strict saddle whose λ_min is known in closed form.",
    "sizes": "More than 512 units.",
    "rates": "Is it the method or its step?",
    "table_": "Mean over seeds and its 95 % interval; the report's number stands at the optimizer "
    "it used.",
    "optimizers": "Skill against persistence, 1 - MSE / persistence's, by interquartile mean.",
    "improvement": "The probability that a run of x has a lower test loss than one of y.",
    "saddle_share": "Runs that end with a certified negative eigenvalue, and how many of them "
    "have a gradient small enough, by three thresholds.",
    "saddle_episodes": "Stays at a saddle, and the steps in which gradient descent would leave.",
    "curvature": "Where runs end.",
}

_TABLE_ROWS = 60


def render_page(
    command: str,
    found: Sequence[Record],
    by_variant: Mapping[Variant, Sequence[Verdict]],
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, bytes],
    evidence: Mapping[str, Sequence[str]],
) -> str:
    """The page as HTML text.

    Args:
        command: that makes the study again.
        found: its records.
        by_variant: the verdicts on every variant, in the claims' order.
        tables: name -> table.
        pictures: name -> figure, as SVG.
        evidence: file or claim -> keys of the records behind it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stock_rnn.study.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = _cell
    return environment.get_template("page.html").render(
        command=command,
        data=found[0].data,
        versions=found[0].versions,
        runs={record.key: record for record in sorted(found, key=lambda r: r.key)},
        verdicts=by_variant[PRIMARY],
        others={
            claim.id: [(str(variant), of[k]) for variant, of in by_variant.items()]
            for k, claim in enumerate(CLAIMS)
        },
        primary=str(PRIMARY),
        needed=least_seeds(family_level(len(CLAIMS))),
        figures=[
            (name, _caption(name), _data_uri(svg), evidence[f"figures/{name}.svg"])
            for name, svg in pictures.items()
        ],
        tables=[
            (name, _caption(name), _shown(table), len(table), evidence[f"tables/{name}.csv"])
            for name, table in tables.items()
        ],
    )


def _caption(name: str) -> str:
    return next((text for start, text in CAPTIONS.items() if name.startswith(start)), "")


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _shown(table: pd.DataFrame) -> dict[str, Any]:
    part = table.drop(columns="runs").head(_TABLE_ROWS)
    return {"columns": list(part.columns), "rows": part.to_numpy(dtype=object).tolist()}


def _cell(value: Any) -> str:
    """A value as a cell of a table; missing ones are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return show(value) if isinstance(value, float) else str(value)
