"""The record of a finished task, and the table of all of them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.files import write_json
from stock_rnn.study.plan import Task

#: How small a gradient counts, as a share of the norm at the drawn weights.
SMALL_GRADIENT = 1e-2

#: How small a curvature counts where kinds of points are told, as a share of the first.
SMALL_CURVATURE = 1e-3

#: A start beside a saddle has left it once its distance has grown so much: e-fold, for which
#: gradient descent of rate ε takes 1/(ε|λ_min|) steps, as long as that is many.
ESCAPED = math.e

#: The report's pictures show so many days; intersections are counted in them.
SHOWN_DAYS = 100

_PACKAGES = ("tensorflow", "keras", "numpy")


def versions() -> dict[str, str]:
    """The versions that a record's bits depend on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """All that is kept of a finished task.

    Attributes:
        key: its hash.
        task: what was run.
        data: what the prices were (`runs.describe_data`).
        versions: of the packages its bits depend on.
        seconds: it took.
        steps_per_epoch: optimizer steps.
        diverged: the epoch in which the loss diverged, or None.
        epochs: column -> values, a row before the first epoch and after each (m,).
        persistence: set -> MSE of predicting 0, which is persistence.
        predictions: dates, actual, predicted, predicted_dropout of the test set, flat;
            empty for runs that start beside a saddle or diverged.
        saddle: closed-form λ_min and radius of the start; empty unless it is one.
    """

    key: str
    task: Task
    data: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    steps_per_epoch: int
    diverged: int | None
    epochs: dict[str, NDArray[np.float64]]
    persistence: dict[str, float]
    predictions: dict[str, list[Any]]
    saddle: dict[str, float]

    @property
    def config(self) -> Config:
        """The settings of the training."""
        return self.task.config

    @property
    def protocol(self) -> str:
        """The protocol that its split belongs to."""
        return "appendix" if self.config.split == "chronological" else "text"

    def last(self, column: str) -> float:
        """The value after the last epoch; inf for the losses of a run that diverged."""
        if self.diverged is not None and "loss" in column:
            return math.inf
        values = self.epochs.get(column)
        return math.nan if values is None else float(values[-1])

    def at_saddle(self) -> NDArray[np.bool_]:
        """(m,): small gradient and certified negative eigenvalue; False if not measured."""
        if "gradient_norm" not in self.epochs:
            return np.zeros(len(self.epochs["epoch"]), dtype=bool)
        norm = self.epochs["gradient_norm"]
        small = norm <= SMALL_GRADIENT * norm[0]
        return np.asarray(small & (self.epochs["certified_negative"] == 1.0))

    def critical_point(self) -> str:
        """The kind of point the run ends at, by `classify_critical_point`; "" if not measured.

        With a gradient small as in `at_saddle`, and curvature that counts from 1e-3 of the
        first largest on: a stricter saddle than `at_saddle`'s, where any certified negative
        eigenvalue counts.
        """
        from stock_rnn.curvature import ExtremeEigenpairs, classify_critical_point

        if self.diverged is not None or not math.isfinite(self.last("gradient_norm")):
            return ""
        ends = ExtremeEigenpairs(
            eigenvalues=np.array([self.last("lambda_min"), self.last("lambda_max")]),
            vectors=np.empty((0, 2)),
            residuals=np.array([self.last("residual_min"), self.last("residual_max")]),
            matvecs=int(self.last("matvecs")),
            converged=self.last("converged") == 1.0,
            ritz_values=np.empty(0),
            rounding=self.last("rounding"),
        )
        first = max(abs(self.epochs[name][0]) for name in ("lambda_min", "lambda_max"))
        return classify_critical_point(
            self.last("gradient_norm"),
            ends,
            eps=SMALL_GRADIENT * float(self.epochs["gradient_norm"][0]),
            gamma=SMALL_CURVATURE * float(first),
        ).kind

    def intersections(self, *, dropout: bool) -> float:
        """How often predicted and actual cross in the newest days the report shows."""
        if not self.predictions:
            return math.nan
        newest = slice(-SHOWN_DAYS, None)
        predicted = self.predictions["predicted_dropout" if dropout else "predicted"][newest]
        above = np.sign(np.subtract(predicted, self.predictions["actual"][newest]))
        # A day on which they are equal is a crossing if they part on the other side.
        above = above[above != 0.0]
        return float(np.count_nonzero(above[1:] * above[:-1] < 0))

    def command(self) -> str:
        """What trains it again, on one thread as the study does; "" if train.py cannot."""
        if self.task.start != "drawn":
            return ""
        return f"TF_NUM_INTRAOP_THREADS=1 {self.config.command()}"

    def row(self) -> dict[str, Any]:
        """The record as one row of runs.csv."""
        config = self.config
        return {
            "run": self.key,
            "protocol": self.protocol,
            "start": self.task.start,
            "optimizer": config.optimizer,
            "num_layers": config.num_layers,
            "lstm_size": config.lstm_size,
            "init_learning_rate": config.init_learning_rate,
            "max_epoch": config.max_epoch,
            "seed": config.seed,
            "diverged": "" if self.diverged is None else self.diverged,
            **{f"persistence_{name}": self.persistence[name] for name in ("train", "test")},
            **{name: self.last(name) for name in _LAST},
            "at_saddle": int(self.at_saddle()[-1]),
            "critical_point": self.critical_point(),
            "intersections": self.intersections(dropout=False),
            "intersections_dropout": self.intersections(dropout=True),
            "command": self.command(),
        }


_LAST = (
    "train_loss",
    "test_loss",
    "train_loss_dropout",
    "test_loss_dropout",
    "gradient_norm",
    "lambda_min",
    "residual_min",
    "rounding",
    "certified_negative",
    "lambda_max",
    "residual_max",
    "preconditioned_max",
    "stability_line",
    "negative_index",
    "negative_index_error",
    "gradient_negative_share",
    "update_negative_share",
)


def table(records: list[Record]) -> pd.DataFrame:
    """A row a run, in an order that does not depend on which was finished first."""
    rows = pd.DataFrame([record.row() for record in records])
    order = ["protocol", "start", "num_layers", "lstm_size", "optimizer", "init_learning_rate"]
    return rows.sort_values([*order, "seed", "run"], ignore_index=True)


def to_json(record: Record) -> dict[str, Any]:
    """A record as strict JSON has it, with null for NaN."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    epochs = {
        name: [value if math.isfinite(value) else None for value in values.tolist()]
        for name, values in record.epochs.items()
    }
    return {**fields, "task": record.task.to_dict(), "epochs": epochs}


def from_json(content: dict[str, Any]) -> Record:
    """The inverse of `to_json`.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, UserError: it is not a record's.
    """
    epochs = {
        name: np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        for name, values in content["epochs"].items()
    }
    return Record(**{**content, "task": Task.from_dict(content["task"]), "epochs": epochs})


def save(path: Path, record: Record) -> None:
    """Write a record as strict JSON, whole or not at all."""
    write_json(path, to_json(record))


def load(path: Path) -> Record:
    """Read a record.

    Raises:
        UserError: the file is damaged.
    """
    try:
        record = from_json(json.loads(path.read_text(encoding="utf-8")))
        # It names folders elsewhere, so it must be what the file is called.
        if record.key != path.stem:
            raise ValueError(f"it is the record of {record.key!r}")
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        raise UserError(
            f"{path} is damaged ({error}); delete it and run the study again"
        ) from error
