"""What this part has to show, computed from its files."""

from __future__ import annotations

import dataclasses
import logging
import math
import statistics
from collections.abc import Sequence
from typing import Any

from stock_rnn.study.escape import figures, measures, plan, record, tables
from stock_rnn.study.escape.measures import Found
from stock_rnn.study.escape.record import EscapeRecord
from stock_rnn.study.escape.run import NAME, Paths, load_rows
from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.claims import claims_of
from stock_rnn.study.judge.variants import Variant
from stock_rnn.study.judge.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    judge_samples,
)
from stock_rnn.study.parts import Findings

_log = logging.getLogger("stock_rnn.study.escape")

#: The registry of this part.
REGISTRY = "escape-1"

#: The report's split, without dropout.
PROCEDURE = Variant("appendix", dropout=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Files:
    """All that the part's files hold.

    Attributes:
        found: what claims are computed from.
        tuning: records of the runs that chose the rates.
        sharpness: rows of the measurements at the end of trainings.
        sharpness_keys: of their files.
    """

    found: Found
    tuning: Sequence[EscapeRecord]
    sharpness: Sequence[dict[str, Any]]
    sharpness_keys: Sequence[str]


def findings(folder: Folder) -> Findings | None:
    """The verdicts, tables and figures of the runs from the saddle; None if there are none.

    Raises:
        UserError: a file is damaged.
    """
    paths = Paths(folder)
    if not paths.study.exists():
        return None
    files = _load(paths)
    if not files.found.records:
        return None
    found = files.found
    claims = claims_of(REGISTRY)
    samples = [measures.sample(claim.rule, found) for claim in claims]
    verdicts = judge_samples(claims, samples, found.registries, PROCEDURE)
    shown = {"escapes": tables.escapes(found), "tuned": tables.tuned_rates(found, files.tuning)}
    pictures = {"escapes": figures.escape_figure(found)}
    if found.staib:
        shown["staib"] = tables.staib(found)
        pictures["staib"] = figures.staib_figure(found)
    if files.sharpness:
        shown["sharpness"] = tables.sharpness(files.sharpness, files.sharpness_keys)
    return Findings(
        name=NAME,
        title="Escapes from a saddle",
        words=_words(found, verdicts),
        verdicts=verdicts,
        tables=shown,
        figures=pictures,
        captions={name: CAPTIONS[name] for name in {**shown, **pictures}},
    )


CAPTIONS = {
    "escapes": "Steps from 0.001 beside the saddle of the frozen bias to 100 times that distance "
    "along v_min, against 1/(rate · |λ_min|); labels and bias are multiplied by 0.1 to 1,000. "
    "Dropout is off. Lines: theory; dots: runs; open triangles: runs that had not escaped at their "
    "last step; crosses: runs that left another way, their loss a twentieth of the saddle's. "
    "Saddle-free Newton has no rate and is drawn at 0.001.",
    "tuned": "Steps until the loss stays below a tenth of the saddle's, full batches, at the "
    "report's scale, by rate; the fewest decide the tuned rate.",
    "staib": "Staib et al.'s problem: median steps of 20 starts, a dot a seed. A tuned rate has "
    "the fewest steps among those whose noise across is at most 0.1.",
    "sharpness": "At the end of the report's trainings, 1 x 32: the largest eigenvalue as the "
    "optimizer sees it, of all examples and of mini-batches with dropout, and batch sharpness, "
    "against the optimizer's stability line. Means over seeds.",
}


def _load(paths: Paths) -> Files:
    study = load_rows(paths.study)
    files = [paths.runs / f"{int(key, 16):016x}.json" for key in study["runs"]]
    records = [record.load(file) for file in files if file.exists()]
    if len(records) < len(files):
        _log.warning("%d of %d runs are not finished", len(files) - len(records), len(files))
    tuning = [record.load(paths.runs / f"{int(key, 16):016x}.json") for key in study["tuning"]]
    registries = {r.key: r.registry for r in records}
    staib: dict[str, Any] = {"rows": [], "key": ""}
    if paths.staib.exists():
        staib = load_rows(paths.staib)
        registries[staib["key"]] = staib["registry"]
    keys = [f"{int(key, 16):016x}" for key in study["sharpness"]]
    keys = [key for key in keys if (paths.sharpness / f"{key}.json").exists()]
    rows = [load_rows(paths.sharpness / f"{key}.json")["rows"][0] for key in keys]
    found = Found(
        records=records,
        tuned=study["tuned"],
        staib=staib["rows"],
        staib_key=staib["key"],
        registries=registries,
    )
    return Files(found=found, tuning=tuning, sharpness=rows, sharpness_keys=keys)


def _words(found: Found, verdicts: Sequence[Verdict]) -> list[str]:
    """What was done, and what came out for the report and against it."""
    words = [
        f"The head's bias is frozen at {plan.FROZEN_BIAS}, and the network is placed at the saddle "
        "that lies there: the prediction is the bias, and the loss is the report's plateau, about "
        "0.01. Its negative eigenvalue has a closed form, so that the steps to an escape can be "
        "predicted. In the report's network the bias is free, and it slides down from there."
    ]
    steps = {name: _median_steps(found, name) for name in ("sgd", "rmsprop", "rmsprop-tf1")}
    if all(map(math.isfinite, steps.values())):
        words.append(
            f"At the report's rate SGD needs {steps['sgd']:,.0f} steps for 100 times its distance, "
            f"RMSProp {steps['rmsprop']:,.0f}, TensorFlow 1's RMSProp {steps['rmsprop-tf1']:,.0f}. "
            f"The report trains for {plan.REPORT_STEPS}."
        )
    for verdict, what in (
        (REPRODUCED, "hold"),
        (NOT_REPRODUCED, "do not hold"),
        (UNDECIDED, "are undecided"),
    ):
        ids = [v.claim.id for v in verdicts if v.verdict == verdict]
        if ids:
            words.append(f"{len(ids)} of {len(verdicts)} claims {what}: {', '.join(ids)}.")
    return words


def _median_steps(found: Found, optimizer: str) -> float:
    """Of mini-batches, the report's rate and scale 1; NaN without runs."""
    runs = found.runs(optimizer, batches=plan.MINI, scale=1.0, tuned=False)
    return statistics.median(r.escaped for r in runs.values()) if runs else math.nan
