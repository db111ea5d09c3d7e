"""The record of a finished task: what is kept of it, and its file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stock_rnn.config import Config
from stock_rnn.files import write_json
from stock_rnn.study.plan import Task
from stock_rnn.training.runs.reading import reading
from stock_rnn.workers.environment import versions as versions

#: A run has left its saddle once its distance has grown by this factor, e. Gradient descent
#: with learning rate ε takes about 1/(ε|λ_min|) steps for that.
ESCAPE_FACTOR = math.e

#: Days in the report's figures; intersections are counted over them.
SHOWN_DAYS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What is kept of a finished task.

    Attributes:
        key: the task's key, and the name of the file.
        task: what was run.
        data: description of the prices (`runs.describe_data`).
        versions: package -> version, of the packages that the numbers depend on.
        seconds: duration.
        steps_per_epoch: optimizer steps in an epoch.
        diverged: the epoch in which the loss diverged, or None.
        epochs: column -> values (m,): one before the first epoch and one after each; NaN
            where nothing was measured.
        persistence: "train", "test", and "validation" where examples validate -> MSE of
            persistence, which predicts 0.
        predictions: "dates", "actual", "predicted" and "predicted_dropout" of the test set,
            flat; empty for runs that diverged or start at a saddle.
        saddle: "lambda_min" in closed form and "radius" of the start; empty unless the run
            starts at a saddle.
        ends: what is measured once, at the end: "intersections_dropout", the mean over draws of
            masks.
        format: `plan.FORMAT` when it was made; 0 if that was before 3.
        registry: "version", "rules" and "statistics" of the registry of claims when the run
            began (`registry.name`); empty if there was none.
        begun: when the run began, UTC, ISO 8601; "" if that was not kept.
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
    ends: dict[str, float] = dataclasses.field(default_factory=dict)
    format: int = 0
    registry: dict[str, Any] = dataclasses.field(default_factory=dict)
    begun: str = ""

    @property
    def config(self) -> Config:
        """The settings of the training."""
        return self.task.config

    @property
    def protocol(self) -> str:
        """The protocol that has this split."""
        return "appendix" if self.config.split == "chronological" else "text"

    @property
    def network(self) -> tuple[int, int]:
        """(layers, units)."""
        return self.config.num_layers, self.config.lstm_size

    def last(self, column: str) -> float:
        """A column's value after the last epoch.

        NaN if the column was not measured; infinite for the losses of a run that diverged.
        """
        if self.diverged is not None and "loss" in column:
            return math.inf
        values = self.epochs.get(column)
        return math.nan if values is None else float(values[-1])

    def intersections(self, *, dropout: bool) -> float:
        """How often predicted and actual cross in the newest `SHOWN_DAYS` days.

        Args:
            dropout: whether to take the predictions with dropout on.

        Returns:
            The count, with dropout the mean over draws of masks; NaN for a run without
            predictions.
        """
        if not self.predictions:
            return math.nan
        if dropout and "intersections_dropout" in self.ends:
            return self.ends["intersections_dropout"]
        predicted = self.predictions["predicted_dropout" if dropout else "predicted"]
        return crossings(predicted, self.predictions["actual"])

    def command(self) -> str:
        """The command that repeats the training, on one thread as here.

        "" for a start at a saddle, which train.py does not have.
        """
        if self.task.start != "drawn":
            return ""
        return f"TF_NUM_INTRAOP_THREADS=1 {self.config.command()}"


# What the runs of the grid have in common, and single runs have not.
_USUAL = {"keep_prob": 0.8, "gradient_every": 0}


def crossings(predicted: Sequence[float], actual: Sequence[float]) -> float:
    """How often two lines cross in the last `SHOWN_DAYS` days.

    Days on which both are equal are skipped: a crossing is a change of sign across them.
    """
    newest = slice(-SHOWN_DAYS, None)
    above = np.sign(np.subtract(predicted[newest], actual[newest]))
    above = above[above != 0.0]
    return float(np.count_nonzero(above[1:] * above[:-1] < 0))


class Study:
    """Finished records, looked up by what was run.

    Args:
        records: in any order.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)

    def runs(
        self,
        protocol: str,
        network: tuple[int, int],
        optimizer: str,
        *,
        start: str = "drawn",
        schedule: str = "decay",
        rate: float = 0.001,
        **settings: Any,
    ) -> dict[int, Record]:
        """Seed -> record, by ascending seed.

        Args:
            protocol: a name from `plan.PROTOCOLS`.
            network: (layers, units).
            optimizer: its name.
            start: `Task.start`.
            schedule: `Task.schedule`.
            rate: initial learning rate.
            settings: others of `Config`; `_USUAL` where not given, unless start or schedule
                is a special one.
        """
        wanted = {**_USUAL, **settings} if (start, schedule) == ("drawn", "decay") else settings
        found = {
            r.config.seed: r
            for r in self.records
            if r.protocol == protocol
            and r.network == network
            and r.config.optimizer == optimizer
            and (r.task.start, r.task.schedule) == (start, schedule)
            and all(getattr(r.config, name) == value for name, value in wanted.items())
            and r.config.init_learning_rate == rate
        }
        return dict(sorted(found.items()))


def to_json(record: Record) -> dict[str, Any]:
    """A record as strict JSON, with null for values that are not finite."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    epochs = {
        name: [value if math.isfinite(value) else None for value in values.tolist()]
        for name, values in record.epochs.items()
    }
    return {**fields, "task": record.task.to_dict(), "epochs": epochs}


def from_json(content: dict[str, Any]) -> Record:
    """The inverse of `to_json`, with NaN for null.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, UserError: the content is no record.
    """
    epochs = {
        name: np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        for name, values in content["epochs"].items()
    }
    return Record(**{**content, "task": Task.from_dict(content["task"]), "epochs": epochs})


def save(path: Path, record: Record) -> None:
    """Write a record to a temporary file and rename it."""
    write_json(path, to_json(record))


def load(path: Path) -> Record:
    """Read a record.

    Raises:
        UserError: the file cannot be read or is damaged.
    """
    with reading(path, "delete it and run the study again"):
        record = from_json(json.loads(path.read_text(encoding="utf-8")))
        # The key is used as a folder name, so it must not be another file's or a path.
        if record.key != path.stem:
            raise ValueError(f"it is the record of {record.key!r}")
        return record
