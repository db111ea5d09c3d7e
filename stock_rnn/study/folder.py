"""The folder of a study: where its files are, which runs it has, and its lock."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock

from stock_rnn.errors import UserError
from stock_rnn.files import write_json
from stock_rnn.study import records
from stock_rnn.study.records import Record
from stock_rnn.training.runs.reading import reading

_log = logging.getLogger("stock_rnn.study")


class Folder:
    """The paths of a study's files; reads and writes nothing.

    Args:
        path: the folder, `results` by default.
        runs: the folder of the records; `path / "runs"` if it is not given.
    """

    def __init__(self, path: Path, runs: Path | None = None) -> None:
        self.path = path
        self.runs = runs or path / "runs"
        self.study = path / "study.json"
        self.table = path / "runs.csv"
        self.verdicts = path / "verdicts.json"
        self.markdown = path / "verdicts.md"
        self.evidence = path / "evidence.json"
        self.tables = path / "tables"
        self.figures = path / "figures"
        self.logs = path / "logs"
        self.page = path / "report.html"

    def part(self, name: str) -> Folder:
        """The folder of a further part of the study, whose records stand among this one's."""
        return Folder(self.path / name, self.runs)


@contextlib.contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Lock a study's folder against other processes; it is created if it does not exist.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written to.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.path / ".lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another study is writing to {folder.path}: wait for it") from None
    except OSError as error:
        fault = "it is a file" if folder.path.is_file() else error.strerror
        raise UserError(
            f"cannot write to {folder.path}: {fault}; choose another folder with --results"
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_study(folder: Folder, command: str, data: dict[str, Any], keys: Iterable[str]) -> None:
    """Write the list of a study's runs, before they are run.

    Args:
        folder: of the study; it exists.
        command: that repeats the study.
        data: description of the prices (`runs.describe_data`).
        keys: of its tasks.
    """
    write_json(folder.study, {"command": command, "data": data, "runs": list(keys)})


def read_study(folder: Folder) -> tuple[str, list[Record]]:
    """The command and the finished records of the study that last ran in a folder.

    Raises:
        UserError: there is no study or no finished run, or a file is damaged.
    """
    if not folder.study.exists():
        raise UserError(
            f"{folder.path} holds no study: run python reproduce.py --results {folder.path}"
        )
    with reading(folder.study, "run the study again"):
        content = json.loads(folder.study.read_text(encoding="utf-8"))
        command = str(content["command"])
        # A key becomes a path, so it must be the hexadecimal number that `Task.key` makes.
        paths = [folder.runs / f"{int(key, 16):016x}.json" for key in content["runs"]]
    found = [records.load(path) for path in paths if path.exists()]
    if not found:
        raise UserError(f"{folder.runs} holds no finished run of the study; run it again")
    if len(found) < len(paths):
        missing = len(paths) - len(found)
        _log.warning("%d of %d runs are not finished and left out", missing, len(paths))
    return command, found
