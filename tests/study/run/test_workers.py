"""Where tasks are run: a Dask cluster gives the records of local processes."""

import collections
import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from stock_rnn.errors import UserError
from stock_rnn.study.run import workers
from stock_rnn.study.run.sweep import sweep
from stock_rnn.workers import pool
from tests.conftest import ROOT
from tests.study.cases import SMALL_TASKS


def content(path):
    """A record but for the time it took."""
    found = json.loads(path.read_text())
    return {key: value for key, value in found.items() if key not in ("seconds", "begun")}


def wait_until(holds):
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_no_scheduler_is_one_line(monkeypatch):
    monkeypatch.setattr(pool, "CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        workers.dask_cluster("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.parametrize("address", ["foo", "tcp://foo", "http://foo:8786", "tcp://foo:bar"])
def test_an_address_that_cannot_be_read_is_one_line_and_no_traceback(address, capfd):
    with (
        pytest.raises(UserError, match="--scheduler must be an address such as tcp://HOST:8786"),
        workers.dask_cluster(address),
    ):
        pass
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_a_task_can_be_sent_to_a_worker():
    for task in SMALL_TASKS:
        assert pickle.loads(pickle.dumps(task)) == task


@pytest.fixture
def cluster(tmp_path):
    """A real scheduler and two real workers, as docs/cluster.md starts them."""
    processes = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "300s",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        processes.append(process)
        return process

    file = tmp_path / "scheduler.json"
    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
          "--scheduler-file", str(file))  # fmt: skip
    wait_until(file.exists)
    address = json.loads(file.read_text())["address"]
    both = [
        start("worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        for _ in range(2)
    ]
    yield address, both
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class KillAfterFirst:
    """Submits tasks, and kills a process once the first task is done."""

    def __init__(self, submit, process):
        self.submit, self.process = submit, process

    def __call__(self, task, prices):
        future = self.submit(task, prices)
        future.add_done_callback(self._kill)
        return future

    def _kill(self, _):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.mark.zoo
def test_a_cluster_that_loses_a_worker_gives_the_local_records(
    small_prices, small_folder, tmp_path, cluster
):
    import distributed

    tasks = SMALL_TASKS[:2]
    address, (first, second) = cluster
    with distributed.Client(address, timeout=300, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=300)
        with workers.dask_cluster(address) as submit:
            folder = tmp_path / "runs"
            found = sweep(tasks, small_prices, folder, KillAfterFirst(submit, first))
        assert first.poll() is not None
        assert second.poll() is None
        # A lambda, which Dask sends by value: the scheduler cannot import the tests.
        finished = client.run_on_scheduler(
            lambda dask_scheduler: [
                str(key)
                for key, _, finish, *_ in dask_scheduler.transition_log
                if finish == "memory" and str(key).startswith("run_in_new_process")
            ]
        )
    assert [record.task for record in found] == tasks
    for record in found:
        name = f"{record.key}.json"
        assert content(folder / name) == content(small_folder / name)
    # A task is repeated only if its worker was lost, and only one was.
    times = collections.Counter(finished)
    assert len(times) == len(tasks)
    assert max(times.values()) <= 2
