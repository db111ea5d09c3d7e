"""The tables of the part; each row has the keys of the records behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from stock_rnn.study.judge.statistics import CONFIDENCE, locate
from stock_rnn.study.judge.verdicts import Verdict
from stock_rnn.study.records import Record
from stock_rnn.study.report.tables import network_name
from stock_rnn.study.tuned.choice import geometric_mean
from stock_rnn.study.tuned.measures import epochs_to, median, seconds, seconds_to
from stock_rnn.study.tuned.plan import grid, subjects
from stock_rnn.study.tuned.results import Results

Rows = list[dict[str, Any]]


def all_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Name -> table; tables without rows are left out."""
    tables = {
        "rates": rates(results),
        "choices": choices(results),
        "losses": losses(results),
        "targets": targets(results),
    }
    return {name: table for name, table in tables.items() if len(table)}


def rates(results: Results) -> pd.DataFrame:
    """Validation loss by rate: geometric mean, least and greatest of the search's seeds."""
    rows: Rows = []
    for subject, of in grid().items():
        choice = results.choices.get(subject)
        for rate in of.rates:
            if not (runs := results.search.runs(subject, rate)):
                continue
            final = [run.last("validation_loss") for run in runs]
            rows.append(
                {
                    "network": network_name(subject.network),
                    "optimizer": subject.optimizer,
                    "rate": rate,
                    "seeds": len(runs),
                    "diverged": sum(run.diverged is not None for run in runs),
                    "validation_loss": geometric_mean(final),
                    "least": min(final),
                    "greatest": max(final),
                    "persistence": runs[0].persistence["validation"],
                    "chosen": "yes" if choice and choice.rate == rate else "",
                    "runs": _keys(runs),
                }
            )
    return pd.DataFrame(rows)


def choices(results: Results) -> pd.DataFrame:
    """The chosen rates; "edge" says which end of the grid it is, if it is one.

    "near" counts the rates of those that were tried whose loss is at most a tenth above.
    """
    return pd.DataFrame(
        [
            {
                "network": network_name(subject.network),
                "optimizer": subject.optimizer,
                "rate": choice.rate,
                "edge": choice.edge,
                "validation_loss": choice.loss,
                "near": len(choice.near),
                "tried": len(grid()[subject].rates),
                "lowest_near": choice.near[0],
                "highest_near": choice.near[-1],
                "runs": " ".join(choice.runs),
            }
            for subject, choice in results.choices.items()
        ]
    )


# Set -> whether dropout is on -> column of a record.
_COLUMNS = {
    (of, dropout): f"{of}_loss{end}"
    for of in ("train", "validation", "test")
    for dropout, end in (("off", ""), ("on", "_dropout"))
}


def losses(results: Results) -> pd.DataFrame:
    """Final losses of the runs with fresh seeds: geometric interquartile mean, 95 % interval."""
    rows: Rows = []
    for procedure, study in results.reruns.items():
        for subject in subjects():
            if not (runs := list(study.of(subject).values())):
                continue
            for (of, dropout), column in _COLUMNS.items():
                level = runs[0].persistence[of]
                mean, low, high = _located([run.last(column) for run in runs])
                rows.append(
                    {
                        "procedure": procedure.name,
                        "network": network_name(subject.network),
                        "optimizer": subject.optimizer,
                        "rate": study.rates[subject],
                        "set": of,
                        "dropout": dropout,
                        "loss": mean,
                        "low": low,
                        "high": high,
                        "persistence": level,
                        "skill": 1.0 - mean / level,
                        "seeds": len(runs),
                        "diverged": sum(run.diverged is not None for run in runs),
                        "runs": _keys(runs),
                    }
                )
    return pd.DataFrame(rows)


def targets(results: Results) -> pd.DataFrame:
    """Time to the target: how many runs reach it, and medians; infinite if half do not."""
    rows: Rows = []
    for procedure, study in results.reruns.items():
        for subject in subjects():
            target = results.targets[subject.network]
            runs = list(study.of(subject).values())
            if not runs or math.isnan(target):
                continue
            epochs = [epochs_to(run, target) for run in runs]
            rows.append(
                {
                    "procedure": procedure.name,
                    "network": network_name(subject.network),
                    "optimizer": subject.optimizer,
                    "rate": study.rates[subject],
                    "target": target,
                    "seeds": len(runs),
                    "reached": int(np.isfinite(epochs).sum()),
                    "epochs": median(epochs),
                    "first": min(epochs),
                    "last": max(epochs),
                    "seconds": median([seconds_to(run, target) for run in runs]),
                    "seconds_an_epoch": median(
                        [seconds(run)[-1] / (len(seconds(run)) - 1) for run in runs]
                    ),
                    "runs": _keys(runs),
                }
            )
    return pd.DataFrame(rows)


def verdicts(found: Iterable[Verdict]) -> pd.DataFrame:
    """Every claim's verdict on each procedure, a row a claim."""
    rows: dict[str, dict[str, Any]] = {}
    keys: dict[str, set[str]] = {}
    for verdict in found:
        name = verdict.variant.name  # type: ignore[attr-defined]
        row = rows.setdefault(verdict.claim.id, {"claim": verdict.claim.id})
        row |= {
            f"{name}": verdict.verdict,
            f"{name}_value": verdict.value,
            f"{name}_low": verdict.deciding[0],
            f"{name}_high": verdict.deciding[1],
            f"{name}_seeds": verdict.seeds,
        }
        keys.setdefault(verdict.claim.id, set()).update(verdict.runs)
    return pd.DataFrame([{**row, "runs": " ".join(sorted(keys[of]))} for of, row in rows.items()])


def _located(values: list[float]) -> tuple[float, float, float]:
    """The interquartile mean of the logarithms and its 95 % interval, in the values' units."""
    with np.errstate(divide="ignore"):
        found = locate(np.log(values))
    low, high = found.at(CONFIDENCE)
    return tuple(float(np.exp(each)) for each in (found.value, low, high))  # type: ignore[return-value]


def _keys(runs: Iterable[Record]) -> str:
    return " ".join(run.key for run in runs)
