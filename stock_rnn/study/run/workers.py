"""Where a study's tasks are run: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from contextlib import AbstractContextManager

from stock_rnn.prices import Prices
from stock_rnn.study.plan import Task
from stock_rnn.study.records import Record
from stock_rnn.study.run.isolated import run_in_new_process
from stock_rnn.study.run.task import run_task
from stock_rnn.workers import pool

#: Starts a task on some prices; the future holds its record.
Submit = Callable[[Task, Prices], "concurrent.futures.Future[Record]"]


def local_processes(jobs: int) -> AbstractContextManager[Submit]:
    """As `pool.local_processes`, for a study's tasks."""
    return pool.local_processes(jobs, run_task)


def dask_cluster(address: str) -> AbstractContextManager[Submit]:
    """As `pool.dask_cluster`, for a study's tasks."""
    return pool.dask_cluster(address, run_in_new_process)
