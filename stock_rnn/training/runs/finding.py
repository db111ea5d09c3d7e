"""Finding existing runs."""

from __future__ import annotations

import difflib
from pathlib import Path

from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.prices.sources import default_symbol
from stock_rnn.training.runs.directory import Run, is_run_name
from stock_rnn.training.runs.names import is_made_of_settings
from stock_rnn.training.runs.record import read_record


def open_run(name: str | Path | None, models_dir: Path, logs_dir: Path) -> Run:
    """An existing run.

    Args:
        name: a run's name in `models_dir`, or the path of its folder; None for the newest
            complete one.
        models_dir, logs_dir: the folders of all runs.

    Raises:
        UserError: there is no such run.
    """
    if name is None:
        return _newest_run(models_dir, logs_dir)
    path = Path(name)
    if len(path.parts) > 1 or (path / "config.json").is_file():
        path = path.absolute()
        run = Run(path.name, path.parent, logs_dir)
    else:
        run = Run(str(name), models_dir, logs_dir)
    if run.config.is_file():
        return run
    if looks_like_run(run):
        fault = "is a folder" if run.config.is_dir() else "is missing"
        raise UserError(
            f"{run.config} {fault}, and nobody knows the run's settings without it; put it back, "
            f"or remove the run with python -m stock_rnn delete {run.name}"
        )
    raise no_run(run, otherwise="train it with python train.py, or name another; ")


def no_run(run: Run, *, otherwise: str = "") -> UserError:
    """What is said where a run is named that does not exist.

    Args:
        run: the one that is named.
        otherwise: what is advised if no run has a name that is close to it.
    """
    names = [other.name for other in all_runs(run.models_dir, run.logs_dir)]
    close = difflib.get_close_matches(run.name, names, n=1)
    advice = f"did you mean {close[0]}? " if close else otherwise
    return UserError(f"no run at {run.folder}: {advice}python -m stock_rnn runs lists the runs")


def looks_like_run(run: Run) -> bool:
    """Whether a folder is a run, even a damaged one: it has two files with a run's file names."""
    return run.folder.is_dir() and sum(path.exists() for path in run.own_files) > 1


def all_runs(models_dir: Path, logs_dir: Path) -> list[Run]:
    """The runs in a folder, damaged ones too, by age: the one begun last comes last."""
    try:
        names = sorted(path.name for path in models_dir.iterdir() if is_run_name(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        fault = "it is a file" if models_dir.is_file() else error.strerror
        raise UserError(
            f"cannot read {models_dir}: {fault}; choose another --models-dir"
        ) from error
    found = [Run(name, models_dir, logs_dir) for name in names]
    return sorted(filter(looks_like_run, found), key=_begun)


def _begun(run: Run) -> float:
    """When a run was begun, in seconds; of a damaged one, when its folder was last changed."""
    path = run.config if run.config.exists() else run.folder
    return path.stat().st_mtime


def _newest_run(models_dir: Path, logs_dir: Path) -> Run:
    """The complete run that was begun last.

    Raises:
        UserError: there is none.
    """
    found = [run for run in all_runs(models_dir, logs_dir) if run.config.is_file()]
    if not found:
        raise UserError(
            f"no runs in {models_dir}: make one with python train.py, or give --models-dir"
        )
    complete = [run for run in found if run.complete]
    if not complete:
        raise UserError(
            f"no complete run in {models_dir}: the newest, {found[-1].name}, {found[-1].state}"
        )
    return complete[-1]


def begun_run(config: Config, models_dir: Path, logs_dir: Path) -> Run | None:
    """The run that a training with these settings goes on with, if another name is theirs.

    Its name is that of fewer epochs, or that of an earlier version of the package. A run that
    was given its name is found by that name alone.

    Returns:
        Of the runs that were begun with the configuration's settings and at most its epochs,
        one with the most epochs; None if there is none.
    """
    found = []
    for record in models_dir.glob("*/config.json"):
        if not is_made_of_settings(record.parent.name):
            continue
        run = Run(record.parent.name, models_dir, logs_dir)
        try:
            recorded = read_record(run).config
        except UserError:
            # Damaged, or of a newer version: nothing that can be gone on with.
            continue
        if recorded.max_epoch <= config.max_epoch and _same_training(recorded, config):
            found.append((recorded.max_epoch, run.name, run))
    return max(found)[-1] if found else None


def _same_training(recorded: Config, config: Config) -> bool:
    """Whether two configurations are the same, but for epochs.

    Versions before 0.2 called every CSV ^GSPC if no symbol was given.
    """
    differing = recorded.differences(config).keys() - {"max_epoch"}
    if recorded.csv is not None and recorded.symbol == Config().symbol:
        return differing <= ({"symbol"} if config.symbol == default_symbol(config.csv) else set())
    return not differing
