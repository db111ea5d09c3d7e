"""When a run was at a saddle and for how long; how a run left a constructed saddle."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from stock_rnn.study.judge.measures import escape_step
from stock_rnn.study.records import Record


@dataclasses.dataclass(frozen=True)
class Episode:
    """Consecutive measured epochs at a saddle, by `Record.at_saddle`.

    Attributes:
        entry: the first measured epoch at the saddle.
        exit: the first measured epoch after it; None if the run ended there.
        steps: optimizer steps from entry to exit, or to the end of the run; NaN if the entry
            is the last measured epoch.
        eigenvalue: λ_min at entry.
        predicted_steps: 1/(ε|λ_min|) at entry, the steps in which gradient descent gets e
            times as far away.
    """

    entry: int
    exit: int | None
    steps: float
    eigenvalue: float
    predicted_steps: float


def episodes(record: Record) -> list[Episode]:
    """The episodes of a run, in order."""
    columns = record.epochs
    if "gradient_norm" not in columns:
        return []
    measured = np.flatnonzero(np.isfinite(columns["gradient_norm"]))
    at = record.at_saddle()[measured]
    # An episode begins where the indicator rises and ends where it falls.
    edges = np.diff(np.concatenate([[0], at.astype(int), [0]]))
    found = []
    for begin, end in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True):
        left = end < len(measured)
        first, after = measured[begin], measured[end if left else -1]
        eigenvalue = float(columns["lambda_min"][first])
        rate = float(columns["learning_rate"][first])
        found.append(
            Episode(
                entry=int(columns["epoch"][first]),
                exit=int(columns["epoch"][after]) if left else None,
                steps=float(columns["step"][after] - columns["step"][first]) or math.nan,
                eigenvalue=eigenvalue,
                predicted_steps=1.0 / (rate * abs(eigenvalue)),
            )
        )
    return found


@dataclasses.dataclass(frozen=True)
class Escape:
    """How a run that starts at a constructed saddle left it.

    Attributes:
        eigenvalue: λ_min of the saddle, in closed form.
        predicted_steps: 1/(ε|λ_min|), the prediction for plain gradient descent.
        preconditioned_steps: 1/(ε|λ_min(D^-½HD^-½)|) with the optimizer's D at the start;
            NaN for Adam, which has no D before its first step.
        observed_steps: steps until the distance along the eigenvector had grown by
            `ESCAPE_FACTOR`; infinite if it had not when the run ended.
        run_steps: steps of the whole run.
    """

    eigenvalue: float
    predicted_steps: float
    preconditioned_steps: float
    observed_steps: float
    run_steps: float


def escape(record: Record) -> Escape:
    """The escape of a run that starts at a constructed saddle."""

    def predicted(eigenvalue: float) -> float:
        return float(1.0 / (record.config.init_learning_rate * abs(eigenvalue)))

    preconditioned = record.epochs.get("preconditioned_min", np.array([math.nan]))[0]
    return Escape(
        eigenvalue=record.saddle["lambda_min"],
        predicted_steps=predicted(record.saddle["lambda_min"]),
        preconditioned_steps=predicted(preconditioned) if preconditioned < 0 else math.nan,
        observed_steps=escape_step(record),
        run_steps=float(record.epochs["step"][-1]),
    )
