"""Saddles as they were met: when a run was at one, and for how long; and escapes from one."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from stock_rnn.study.judge.claims import escape_step
from stock_rnn.study.records import Record


@dataclasses.dataclass(frozen=True)
class Episode:
    """A stay at a saddle: consecutive measured epochs with a small gradient and λ_min < 0.

    Attributes:
        entry: the first measured epoch of the stay.
        exit: the first measured epoch after it; None if the run ended there.
        steps: optimizer steps from entry to exit, or to the end; NaN if it was entered last.
        eigenvalue: λ_min at entry.
        predicted_steps: 1/(ε|λ_min|) at entry: in which gradient descent leaves e-fold.
    """

    entry: int
    exit: int | None
    steps: float
    eigenvalue: float
    predicted_steps: float


def episodes(record: Record) -> list[Episode]:
    """The stays of a run, in order."""
    columns = record.epochs
    if "gradient_norm" not in columns:
        return []
    measured = np.flatnonzero(np.isfinite(columns["gradient_norm"]))
    at = record.at_saddle()[measured]
    # A stay begins where the sign rises and ends where it falls.
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
    """A run that starts beside a constructed saddle.

    Attributes:
        eigenvalue: λ_min of the saddle, in closed form.
        predicted_steps: 1/(ε|λ_min|), of plain gradient descent.
        preconditioned_steps: 1/(ε|λ_min(D^-½HD^-½)|) with the optimizer's D at the
            start; NaN for Adam, which has none before its first step.
        observed_steps: until the distance along the eigenvector had grown e-fold; inf if
            it had not when the run ended.
        run_steps: how long that was.
    """

    eigenvalue: float
    predicted_steps: float
    preconditioned_steps: float
    observed_steps: float
    run_steps: float


def escape(record: Record) -> Escape:
    """What came of a start beside a saddle."""
    eigenvalue, rate = record.saddle["lambda_min"], record.config.init_learning_rate
    seen = record.epochs.get("preconditioned_min", np.array([math.nan]))[0]
    return Escape(
        eigenvalue=eigenvalue,
        predicted_steps=1.0 / (rate * abs(eigenvalue)),
        preconditioned_steps=float(1.0 / (rate * abs(seen))) if seen < 0 else math.nan,
        observed_steps=escape_step(record),
        run_steps=float(record.epochs["step"][-1]),
    )
