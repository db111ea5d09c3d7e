"""Run many tasks in parallel; keep every finished record; resume after an interruption."""

from __future__ import annotations

import concurrent.futures
import logging
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import tqdm

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.study import records
from stock_rnn.study.plan import Task
from stock_rnn.study.records import Record
from stock_rnn.study.run.workers import Submit

_log = logging.getLogger("stock_rnn.study")


def sweep(tasks: Sequence[Task], prices: Prices, folder: Path, submit: Submit) -> list[Record]:
    """Run the tasks whose records are missing; return the records of all tasks.

    Each record is written when its task finishes, to `folder/KEY.json`.

    Args:
        tasks: in the order in which to start them.
        prices: that all of them train on.
        folder: of the records; created if it does not exist.
        submit: starts a task, see `stock_rnn.study.run.workers`.

    Returns:
        In the order of the tasks.

    Raises:
        UserError: an existing record is damaged, a worker process was killed, or a worker
            has other package versions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = records.versions()
    paths = {task: folder / f"{task.key(prices.sha256, here)}.json" for task in tasks}
    missing = [task for task, path in paths.items() if not path.exists()]
    kept = len(paths) - len(missing)
    _log.info("%d runs: %d kept in %s, %d to make", len(paths), kept, folder, len(missing))
    _run_missing(missing, paths, prices, submit)
    return [records.load(path) for path in paths.values()]


def _run_missing(
    missing: Sequence[Task],
    paths: dict[Task, Path],
    prices: Prices,
    submit: Submit,
) -> None:
    futures = {submit(task, prices): task for task in missing}
    try:
        with _Progress(missing) as progress:
            for future in concurrent.futures.as_completed(futures):
                task = futures[future]
                record = future.result()
                if record.key != paths[task].stem:
                    raise UserError(
                        f"a new worker has other versions: {record.versions}; "
                        "install the same versions everywhere"
                    )
                records.save(paths[task], record)
                progress.finished(task)
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps because memory ran out; the same command "
            "resumes the study, and --jobs 1 needs the least memory"
        ) from error


class _Progress:
    """A progress bar in estimated seconds of work, so that the remaining time is right."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._total, self._done = len(tasks), 0
        self._bar = tqdm.tqdm(
            total=sum(task.cost() for task in tasks),
            disable=not tasks,
            file=sys.stderr,
            # A terminal is updated often, a log file rarely.
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            bar_format="{desc} {percentage:3.0f}%|{bar:30}| {elapsed} gone, {remaining} left",
        )

    def __enter__(self) -> _Progress:
        self._describe()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def finished(self, task: Task) -> None:
        self._done += 1
        self._describe()
        self._bar.update(task.cost())

    def _describe(self) -> None:
        self._bar.set_description_str(f"run {self._done} of {self._total}", refresh=False)
