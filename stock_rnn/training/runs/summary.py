"""A run in a few words and numbers: its state, its losses, its skill."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.training.runs.directory import Run, is_locked
from stock_rnn.training.runs.finding import all_runs
from stock_rnn.training.runs.progress import epochs_done, faults, read_history
from stock_rnn.training.runs.record import (
    NewerVersionError,
    Record,
    read_divergence,
    read_prices,
    read_record,
)

NAN = math.nan


@dataclasses.dataclass(frozen=True)
class Losses:
    """The losses of an epoch, mean squared errors in the units of the labels.

    Attributes:
        epoch: its number, from 1; 0 where none is done, and the losses are NaN.
        train: with dropout on, as while training.
        monitored: on the examples that `Summary.monitored` names, with dropout off.
    """

    epoch: int = 0
    train: float = NAN
    monitored: float = NAN

    def to_dict(self, monitored: str) -> dict[str, Any] | None:
        """For JSON; null where no epoch is done."""
        values = {"train": self.train, monitored: self.monitored}
        return {"epoch": self.epoch, **_finite(values)} if self.epoch else None


@dataclasses.dataclass(frozen=True)
class Summary:
    """What there is to say of a run without TensorFlow.

    Attributes:
        run: which one.
        state: "complete", "interrupted", "diverged", "being trained", "damaged", or "of a
            newer version".
        detail: which file is damaged and how, or how the loss diverged; else empty.
        record: its settings, prices and versions; None if they cannot be read.
        epochs: how many are done.
        last: the losses of the last epoch.
        best: of the epoch whose model `best.keras` is: that with the lowest validation loss or,
            without validation examples, with the lowest training loss.
        persistence: persistence's losses on the training and on the monitored examples.
    """

    run: Run
    state: str
    detail: str = ""
    record: Record | None = None
    epochs: int = 0
    last: Losses = Losses()
    best: Losses = Losses()
    persistence: tuple[float, float] = (NAN, NAN)

    @property
    def monitored(self) -> str:
        """The examples beside those of training whose loss the history has."""
        settings = self.record.config.to_dict() if self.record else {}
        return "validation" if settings.get("validation_ratio") else "test"

    @property
    def skill(self) -> float:
        """On the monitored examples after the last epoch: 1 - loss / persistence's; or NaN."""
        reference = self.persistence[1]
        return 1 - self.last.monitored / reference if reference else NAN

    @property
    def version(self) -> str | None:
        """The version of this package that began the run."""
        return None if self.record is None else str(self.record.made_by["versions"]["stock_rnn"])

    @property
    def in_words(self) -> str:
        """The state, with the epochs where they say more."""
        if self.state not in ("interrupted", "diverged", "being trained") or self.record is None:
            return self.state
        return f"{self.state}, {self.epochs} of {self.record.config.max_epoch} epochs"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with null for what is not known."""
        record = self.record
        return {
            "name": self.run.name,
            "folder": str(self.run.folder),
            "state": self.state,
            "detail": self.detail or None,
            "version": self.version,
            "epochs": self.epochs,
            "last": self.last.to_dict(self.monitored),
            "best": self.best.to_dict(self.monitored),
            "persistence": _finite(
                {"train": self.persistence[0], self.monitored: self.persistence[1]}
            ),
            **_finite({"skill": self.skill}),
            "settings": record and record.config.to_dict(),
            "data": record and record.data,
        }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def summaries(models_dir: Path, logs_dir: Path) -> list[Summary]:
    """Of all runs in a folder, the one begun last at the end.

    Raises:
        UserError: the folder cannot be read.
    """
    return [summarize(run) for run in all_runs(models_dir, logs_dir)]


def summarize(run: Run) -> Summary:
    """What there is to say of a run; damage is its state, and no error."""
    record = None
    try:
        record = read_record(run)
    except NewerVersionError as error:
        return Summary(run, "of a newer version", str(error))
    except UserError:
        # `faults` says it too.
        pass
    wrong = faults(run)
    summary = Summary(run, _state(run), record=record)
    try:
        summary = _with_losses(summary)
    except UserError as error:
        wrong.append(str(error))
    if wrong and summary.state != "being trained":
        return dataclasses.replace(summary, state="damaged", detail="; ".join(dict.fromkeys(wrong)))
    if summary.state == "diverged":
        return dataclasses.replace(summary, detail=read_divergence(run))
    return summary


def _state(run: Run) -> str:
    if is_locked(run):
        return "being trained"
    if run.complete:
        return "complete"
    return "diverged" if run.divergence.exists() else "interrupted"


def _with_losses(summary: Summary) -> Summary:
    """The same with epochs, losses and persistence.

    Raises:
        UserError: a file that has them is damaged.
    """
    run, record = summary.run, summary.record
    epochs = epochs_done(run)
    if epochs == 0 and run.complete and record is not None:
        # Its checkpoint was removed.
        epochs = record.config.max_epoch
    if epochs == 0:
        return summary
    summary = dataclasses.replace(summary, epochs=epochs)
    rows = read_history(run, epochs)
    losses = [Losses(i + 1, row["loss"], row["val_loss"]) for i, row in enumerate(rows)]
    # The first of the lowest, as `Checkpoint` takes it.
    by = "train" if summary.monitored == "test" else "monitored"
    best = min(losses, key=lambda each: getattr(each, by))
    known = (rows[-1].get("persistence_loss"), rows[-1].get("val_persistence_loss"))
    persistence = (NAN, NAN)
    if known[0] is not None and known[1] is not None:
        persistence = (known[0], known[1])
    elif record is not None:
        persistence = _persistence(run, record.config)
    return dataclasses.replace(summary, last=losses[-1], best=best, persistence=persistence)


def _persistence(run: Run, config: Config) -> tuple[float, float]:
    """Persistence's losses, which histories of versions before 0.2 do not have.

    Raises:
        UserError: the prices are damaged.
    """
    from stock_rnn.data import dataset_of

    data = dataset_of(config, read_prices(run))
    return data.persistence_loss(data.train), data.persistence_loss(data.test)
