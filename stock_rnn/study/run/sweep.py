"""Running many tasks in parallel, keeping every finished one, going on where it stopped."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import filelock
import tqdm

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.study import records
from stock_rnn.study.plan import Task
from stock_rnn.study.records import Record
from stock_rnn.study.run.isolated import ONE_THREAD, run_apart
from stock_rnn.study.run.task import run_task

_log = logging.getLogger("stock_rnn.study")

Submit = Callable[[Task, Prices], "concurrent.futures.Future[Record]"]


@contextlib.contextmanager
def local_processes(jobs: int) -> Iterator[Submit]:
    """Processes on this machine, each of which computes on one thread."""
    # They take effect when a child loads NumPy and TensorFlow, so they are set here.
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    others = set(multiprocessing.active_children())
    # Without max_tasks_per_child: with it, Pythons from 3.11 on wait for ever once the processes
    # have done their tasks (seen after 50 runs; CPython's issue 115634).
    executor: Any = concurrent.futures.ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_obey_the_parent
    )
    try:
        yield functools.partial(executor.submit, run_task)
    except BaseException:
        # What still runs would be waited for, minutes at worst. The rest is not cancelled
        # first: an executor that loses its processes stumbles over cancelled futures.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _obey_the_parent() -> None:
    """Make a worker leave Ctrl-C to its parent, and end when that ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a worker only"

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def dask_cluster(address: str) -> Iterator[Submit]:
    """A Dask scheduler, which runs the tasks of lost workers again on others.

    Raises:
        UserError: Dask is not installed, the scheduler does not answer, or a worker
            has other versions than this process, so that its bits could differ.
    """
    try:
        import distributed
    except ImportError:
        raise UserError("--scheduler needs Dask: pip install -e '.[cluster]'") from None
    try:
        client = distributed.Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        here = records.versions()
        if not client.scheduler_info()["workers"]:
            _log.warning("%s has no workers yet; waiting for them", address)
        for worker, there in client.run(records.versions).items():
            if there != here:
                raise UserError(f"worker {worker} has {there}, this process {here}: install alike")
        # Not `with`: leaving an executor waits for all that it was given.
        executor: Any = client.get_executor()
        try:
            yield functools.partial(executor.submit, run_apart)
        finally:
            executor.shutdown(wait=False)


def sweep(tasks: Sequence[Task], prices: Prices, folder: Path, submit: Submit) -> list[Record]:
    """The records of all tasks: those kept in the folder, and those missing, run now.

    A record is written when its task is finished, under its key: `folder/KEY.json`.

    Args:
        tasks: in the order in which they are begun.
        prices: which all of them train on.
        folder: made if it is not there.
        submit: begins one of those that are missing, see `local_processes`.

    Returns:
        In the order of the tasks.

    Raises:
        UserError: a kept record is damaged, or a worker process was killed.
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
                        f"a worker that joined has other versions: {record.versions}; install alike"
                    )
                records.save(paths[task], record)
                progress.finished(task)
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps for want of memory; the same command "
            "goes on with what is missing, --jobs 1 needs least"
        ) from error


class _Progress:
    """A bar in estimated seconds of work, so that the time left is told right."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._total, self._done = len(tasks), 0
        self._bar = tqdm.tqdm(
            total=sum(task.cost() for task in tasks),
            disable=not tasks,
            file=sys.stderr,
            # On a terminal often, in a log file now and then.
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


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other studies out of a folder, which is made if it is not there.

    Raises:
        UserError: another one is in it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another study is writing to {folder}: wait for it") from None
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        yield
