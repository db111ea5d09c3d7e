"""Deleting runs: whole, or not at all."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from stock_rnn.errors import UserError
from stock_rnn.training.runs.directory import Run, locked
from stock_rnn.training.runs.finding import looks_like_run, no_run

_log = logging.getLogger("stock_rnn.training.runs")

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
    if not run.folder.exists():
        raise no_run(run)
    if not looks_like_run(run):
        raise UserError(f"{run.folder} is not a run; python -m stock_rnn runs lists them")
    return run


def delete(runs: Sequence[Run]) -> None:
    """Delete runs, with their logs. Killed at any moment, it leaves a run or none of it.

    Args:
        runs: as `run_to_delete` returns them.

    Raises:
        UserError: one is being trained or cannot be moved, and none is deleted; or the runs are
            gone from the list, and some of their files cannot be removed.
    """
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(locked(run))
        moved: list[tuple[Path, Path]] = []
        for run in runs:
            try:
                moved += _set_run_aside(run)
            except OSError as error:
                _put_back(moved)
                raise UserError(
                    f"cannot delete {error.filename}: {error.strerror}; nothing was deleted"
                ) from error
        ours = [aside for _, aside in moved]
        _remove_older(runs, ours)
        _remove(ours)


def _set_run_aside(run: Run) -> list[tuple[Path, Path]]:
    """Take a run away, both of its folders or none: where each was, and where it is now."""
    moved: list[tuple[Path, Path]] = []
    try:
        # The models last: as long as they are there, the run can be deleted again.
        for folder in (run.logs, run.folder):
            if aside := _set_aside(folder):
                moved.append((folder, aside))
    except BaseException:
        _put_back(moved)
        raise
    return moved


def _put_back(moved: Sequence[tuple[Path, Path]]) -> None:
    for place, aside in reversed(moved):
        aside.rename(place)


def _set_aside(folder: Path) -> Path | None:
    """Take a folder away by one rename, under which nothing is half deleted.

    Returns:
        Where it is now; None if there was none.
    """
    if not folder.exists():
        return None
    return folder.rename(folder.with_name(f"{_DELETED_PREFIX}{secrets.token_hex(8)}"))


def _remove(folders: Sequence[Path]) -> None:
    """Remove what was set aside.

    Raises:
        UserError: it cannot be removed; the message names it.
    """
    left, reason = [], ""
    for folder in folders:
        try:
            _remove_tree(folder)
        except OSError as error:
            left.append(str(folder))
            reason = str(error.strerror)
    if left:
        raise UserError(
            "the runs are gone from the list, but some of their files cannot be removed "
            f"({reason}); remove {' and '.join(left)}"
        )


def _remove_older(runs: Sequence[Run], ours: Sequence[Path]) -> None:
    """Remove what a killed process has set aside in the folders of the runs, if that is allowed."""
    for top in {folder for run in runs for folder in (run.logs_dir, run.models_dir)}:
        for folder in sorted(set(top.glob(f"{_DELETED_PREFIX}*")) - set(ours)):
            try:
                _remove_tree(folder)
            except OSError as error:
                _log.warning(
                    "%s is left of an earlier delete and cannot be removed (%s); remove it",
                    *(folder, error.strerror),
                )


def _remove_tree(folder: Path) -> None:
    # Another process may be removing it too.
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
