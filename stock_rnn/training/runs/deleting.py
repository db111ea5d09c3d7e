"""Deleting runs: whole, or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from stock_rnn.errors import UserError
from stock_rnn.training.runs.directory import Run, locked
from stock_rnn.training.runs.finding import looks_like_run

# How a folder is called while it is deleted. A killed process may leave one.
_DELETED_PREFIX = ".deleted-"


def run_to_delete(name: str | Path, models_dir: Path, logs_dir: Path) -> Run:
    """A run that may be deleted, even a damaged one.

    Args:
        name: its name, or the path of its folder in `models_dir`.
        models_dir, logs_dir: the folders of all runs.

    Raises:
        UserError: it is outside of `models_dir`, a link, or no run.
    """
    path = Path(name)
    if len(path.parts) > 1 and path.parent.resolve() != models_dir.resolve():
        raise UserError(
            f"{path} is not in {models_dir}: delete takes runs from there; --models-dir names "
            "another folder"
        )
    run = Run(path.name, models_dir, logs_dir)
    for folder in (run.folder, run.logs):
        if folder.is_symlink():
            raise UserError(f"{folder} is a link: delete removes what is in the folder itself")
    if not looks_like_run(run):
        raise UserError(f"{run.folder} is not a run; python -m stock_rnn runs lists them")
    return run


def delete(runs: Sequence[Run]) -> None:
    """Delete runs, with their logs. Killed at any moment, it leaves a run or none of it.

    Args:
        runs: as `run_to_delete` returns them.

    Raises:
        UserError: one is being trained, and none is deleted; or a folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(locked(run))
        try:
            for run in runs:
                _set_run_aside(run)
            for top in {folder for run in runs for folder in (run.logs_dir, run.models_dir)}:
                _remove_set_aside(top)
        except OSError as error:
            raise UserError(f"cannot delete {error.filename}: {error.strerror}") from error


def _set_run_aside(run: Run) -> None:
    """Take a run away, both of its folders or none."""
    # The models last: as long as they are there, the run can be deleted again.
    logs = _set_aside(run.logs)
    try:
        _set_aside(run.folder)
    except BaseException:
        if logs is not None:
            logs.rename(run.logs)
        raise


def _set_aside(folder: Path) -> Path | None:
    """Take a folder away by one rename, under which nothing is half deleted.

    Returns:
        Where it is now; None if there was none.
    """
    if not folder.exists():
        return None
    return folder.rename(folder.with_name(f"{_DELETED_PREFIX}{secrets.token_hex(8)}"))


def _remove_set_aside(top: Path) -> None:
    """Remove what is set aside in a folder, also by a process that was killed."""
    for folder in top.glob(f"{_DELETED_PREFIX}*"):
        # Another process may be removing it too.
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
