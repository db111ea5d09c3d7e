"""Where tasks are run: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from stock_rnn.errors import UserError
from stock_rnn.workers.environment import ONE_THREAD, versions

_log = logging.getLogger("stock_rnn.workers")

#: How long to wait for an answer of a Dask scheduler.
CONNECT_SECONDS = 5.0

#: Starts a task with some arguments; the future holds its result.
Submit = Callable[..., "concurrent.futures.Future[Any]"]


@contextlib.contextmanager
def local_processes(jobs: int, function: Callable[..., Any]) -> Iterator[Submit]:
    """Worker processes on this machine, each computing on one thread.

    Args:
        jobs: number of processes.
        function: does a task; a module's own, which a new process can import.
    """
    # A worker inherits these variables; NumPy and TensorFlow read them when imported.
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    others = set(multiprocessing.active_children())
    # No max_tasks_per_child: with it, Python 3.11 and later can hang once workers have done
    # their tasks (seen after 50 runs; CPython issue 115634).
    executor: Any = concurrent.futures.ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_follow_parent
    )
    try:
        yield functools.partial(executor.submit, function)
    except BaseException:
        # Terminate running tasks, which would take minutes to finish. Do not cancel waiting
        # ones first: an executor that loses its workers fails on cancelled futures.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _follow_parent() -> None:
    """In a worker: ignore SIGINT; exit when the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a worker only"

    def wait_and_exit() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()


@contextlib.contextmanager
def dask_cluster(address: str, function: Callable[..., Any]) -> Iterator[Submit]:
    """The workers of a Dask scheduler. Dask repeats the tasks of a lost worker on another.

    Args:
        address: of the scheduler, such as tcp://HOST:8786.
        function: does a task, in a process of its own (`stock_rnn.workers.isolated`).

    Raises:
        UserError: Dask is not installed, the scheduler does not answer, or a worker has
            other package versions than this process, so its numbers could differ.
    """
    try:
        import distributed
    except ImportError:
        raise UserError("--scheduler needs Dask: pip install -e '.[cluster]'") from None
    try:
        # First: a client of an address that cannot be read prints a traceback where it ends.
        distributed.comm.get_address_host_port(address)
    except ValueError as error:
        wanted = "--scheduler must be an address such as tcp://HOST:8786"
        raise UserError(f"{wanted}: {error}. Received: {address!r}") from error
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        here = versions()
        if not client.scheduler_info()["workers"]:
            _log.warning("%s has no workers yet; waiting for them", address)
        for worker, there in client.run(versions).items():
            if there != here:
                raise UserError(
                    f"worker {worker} has {there}, this process {here}: install the same versions"
                )
        # Not a with statement: leaving an executor's waits for all of its tasks.
        executor: Any = client.get_executor()
        try:
            yield functools.partial(executor.submit, function)
        finally:
            executor.shutdown(wait=False)
