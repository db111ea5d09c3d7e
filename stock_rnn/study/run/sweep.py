"""Run many tasks in parallel; keep every finished record; resume after an interruption."""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.study import records
from stock_rnn.study.plan import Task
from stock_rnn.study.records import Record
from stock_rnn.study.run.workers import Submit
from stock_rnn.workers.progress import TaskProgress

_log = logging.getLogger("stock_rnn.study")


def sweep(tasks: Sequence[Task], prices: Prices, folder: Path, submit: Submit) -> list[Record]:
    """`sweep_all` of tasks that all train on the same prices."""
    return sweep_all([(task, prices) for task in tasks], folder, submit)


def sweep_all(wanted: Sequence[tuple[Task, Prices]], folder: Path, submit: Submit) -> list[Record]:
    """Run the tasks whose records are missing; return the records of all tasks.

    Each record is written when its task finishes, to `folder/KEY.json`.

    Args:
        wanted: tasks with the prices that they train on, in the order in which to start them.
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
    paths = [folder / f"{task.key(prices.sha256, here)}.json" for task, prices in wanted]
    pairs = zip(paths, wanted, strict=True)
    missing = {path: one for path, one in pairs if not path.exists()}
    kept = len(set(paths)) - len(missing)
    _log.info("%d runs: %d kept in %s, %d to make", len(set(paths)), kept, folder, len(missing))
    _run_missing(missing, submit)
    return [records.load(path) for path in paths]


def _run_missing(missing: dict[Path, tuple[Task, Prices]], submit: Submit) -> None:
    futures = {submit(*one): path for path, one in missing.items()}
    try:
        with TaskProgress([task.cost() for task, _ in missing.values()]) as progress:
            for future in concurrent.futures.as_completed(futures):
                path = futures[future]
                record = future.result()
                if record.key != path.stem:
                    raise UserError(
                        f"a new worker has other versions: {record.versions}; "
                        "install the same versions everywhere"
                    )
                records.save(path, record)
                progress.finished(record.task.cost())
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps because memory ran out; the same command "
            "resumes the study, and --jobs 1 needs the least memory"
        ) from error
