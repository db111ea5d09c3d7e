"""How far a run came, by its files, and whether these are whole."""

from __future__ import annotations

import contextlib
import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stock_rnn.errors import UserError
from stock_rnn.training.runs.directory import Run
from stock_rnn.training.runs.reading import TRAIN_AGAIN, reading
from stock_rnn.training.runs.record import read_divergence, read_prices, read_record


def epochs_done(run: Run) -> int:
    """The epochs that a run's checkpoint has seen; 0 if there is none.

    Raises:
        UserError: it cannot be read or is damaged.
    """
    if not run.checkpoint.exists():
        return 0
    with reading(run.checkpoint, TRAIN_AGAIN):
        _check_archive(run.checkpoint, "epoch.npy", "best_loss.npy", "best/0.npy", "state/0.npy")
        with np.load(run.checkpoint, allow_pickle=False) as arrays:
            return int(arrays["epoch"])


def read_history(run: Run, epochs: int) -> list[dict[str, float]]:
    """The first rows of a run's history: column -> value, NaN where nothing was measured.

    Args:
        run: whose `history.csv` is read.
        epochs: how many rows. A killed training may leave a row more, or half of one.

    Raises:
        UserError: it cannot be read or is damaged.
    """
    advice = "remove it, and --resume goes on without the rows so far"
    with reading(run.history, advice):
        lines = run.history.read_text(encoding="utf-8").splitlines()
        rows = [
            {name: float(value or "nan") for name, value in row.items()}
            for row in csv.DictReader(lines[: epochs + 1], strict=True)
        ]
        if len(rows) < epochs:
            raise ValueError(f"{len(rows)} of {epochs} epochs are in it")
        for row in rows:
            if missing := {"epoch", "loss", "val_loss"} - row.keys():
                raise ValueError(f"no column {', '.join(sorted(missing))}")
    return rows


def check_resumable(run: Run) -> None:
    """Check the files that a training goes on with, and that its logs have a folder.

    Raises:
        UserError: a file cannot be read or is damaged, or the folder cannot be made.
    """
    try:
        run.logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write the run's logs to {run.logs}: {error.strerror}; "
            "choose another folder with --logs-dir"
        ) from error
    epochs = epochs_done(run)
    if run.history.exists():
        read_history(run, epochs)
    if run.spectrum.exists():
        _check_spectrum(run)
    if run.complete and not run.checkpoint.exists():
        raise UserError(
            f"{run.checkpoint} is missing, and only with it a complete run is trained on; "
            "train a new one with another --run-name"
        )


def faults(run: Run) -> list[str]:
    """What is wrong with a run's files, a line each; a file that may be missing may be."""
    found: list[str] = []
    if not run.config.is_file():
        fault = "is a folder" if run.config.is_dir() else "is missing"
        found.append(f"{run.config} {fault}")
    else:
        with _collected(found):
            read_record(run)
            # They are compared with the record.
            read_prices(run)
    with _collected(found):
        epochs_done(run)
    if run.spectrum.exists():
        with _collected(found):
            _check_spectrum(run)
    if run.divergence.exists() and not run.complete:
        with _collected(found):
            read_divergence(run)
    for model in (run.model, run.best_model) if run.complete else ():
        with _collected(found), reading(model, TRAIN_AGAIN):
            _check_archive(model, "config.json", "model.weights.h5")
    return found


@contextlib.contextmanager
def _collected(found: list[str]) -> Iterator[None]:
    """Add a user's error to a list in place of raising it."""
    try:
        yield
    except UserError as error:
        found.append(str(error))


def _check_spectrum(run: Run) -> None:
    advice = "remove it, and --resume goes on without the eigenvalues so far"
    with reading(run.spectrum, advice):
        _check_archive(run.spectrum, "epochs.npy", "eigenvalues.npy")


def _check_archive(path: Path, *members: str) -> None:
    """Check the sums of all files in a zip archive: an .npz, or a .keras.

    Args:
        path: the archive.
        members: some of the files that it must have.

    Raises:
        OSError, zipfile.BadZipFile: it cannot be read, is damaged, or lacks one.
    """
    with zipfile.ZipFile(path) as archive:
        if missing := set(members) - set(archive.namelist()):
            raise zipfile.BadZipFile(f"no {', '.join(sorted(missing))} in it")
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged} in it has another checksum")
