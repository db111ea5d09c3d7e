"""Many tasks: kept once finished, gone on with, and the same wherever they run."""

import concurrent.futures
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from stock_rnn.errors import UserError
from stock_rnn.study import records
from stock_rnn.study.plan import Task
from stock_rnn.study.run import sweep


class Answers:
    """Gives records that are there already, and counts what it is asked for."""

    def __init__(self, known, *, failing_after=None, error=None):
        self.known = {record.task: record for record in known}
        self.asked, self.left, self.error = [], failing_after, error

    def __call__(self, task, prices):
        self.asked.append(task)
        future = concurrent.futures.Future()
        if self.left is not None and len(self.asked) > self.left:
            future.set_exception(self.error)
        else:
            key = task.key(prices.sha256, records.versions())
            future.set_result(dataclasses.replace(self.known[task], key=key))
        return future


def content(path):
    """A record but for the time it took."""
    return {k: v for k, v in json.loads(path.read_text()).items() if k != "seconds"}


def test_what_is_finished_is_not_run_again(small_tasks, small_prices, small_folder, small_records):
    submit = Answers([])
    found = sweep.sweep(small_tasks, small_prices, small_folder, submit)
    assert submit.asked == []
    assert [record.key for record in found] == [record.key for record in small_records]


def test_a_stopped_sweep_goes_on_where_it_was(small_tasks, small_prices, small_records, tmp_path):
    stopped = Answers(small_records, failing_after=2, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(small_tasks, small_prices, tmp_path, stopped)
    kept = {path.stem for path in tmp_path.glob("*.json")}
    assert kept <= {record.key for record in small_records}
    submit = Answers(small_records)
    found = sweep.sweep(small_tasks, small_prices, tmp_path, submit)
    assert len(submit.asked) == len(small_tasks) - len(kept)
    assert [record.task for record in found] == small_tasks


def test_a_wider_grid_reuses_what_is_there(small_tasks, small_prices, small_records, tmp_path):
    sweep.sweep(small_tasks[:2], small_prices, tmp_path, Answers(small_records))
    submit = Answers(small_records)
    sweep.sweep(small_tasks, small_prices, tmp_path, submit)
    assert submit.asked == small_tasks[2:]


def test_other_prices_are_other_runs(small_tasks, small_records, small_prices, tmp_path):
    from stock_rnn.prices import Prices

    later = slice(1, None)
    other = Prices("^GSPC", "bundled", small_prices.dates[later], small_prices.close[later])
    sweep.sweep(small_tasks, small_prices, tmp_path, Answers(small_records))
    submit = Answers(small_records)
    sweep.sweep(small_tasks, other, tmp_path, submit)
    assert submit.asked == small_tasks


def test_a_killed_worker_process_is_one_line(small_tasks, small_prices, small_records, tmp_path):
    submit = Answers(small_records, failing_after=1, error=BrokenProcessPool("gone"))
    with pytest.raises(UserError, match=r"worker process was killed.*same command goes on"):
        sweep.sweep(small_tasks, small_prices, tmp_path, submit)


def test_a_damaged_record_is_named(small_tasks, small_prices, small_records, tmp_path):
    sweep.sweep(small_tasks, small_prices, tmp_path, Answers(small_records))
    path = tmp_path / f"{small_records[0].key}.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=f"{path.name} is damaged.*delete it"):
        sweep.sweep(small_tasks, small_prices, tmp_path, Answers(small_records))


def test_two_studies_do_not_write_to_one_folder(tmp_path):
    with (
        sweep.alone_in(tmp_path),
        pytest.raises(UserError, match="another study is writing"),
        sweep.alone_in(tmp_path),
    ):
        pass


def test_no_scheduler_is_one_line():
    with (
        pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        sweep.dask_cluster("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.slow
def test_the_same_task_leaves_the_same_record_in_another_process(
    small_tasks, small_prices, small_folder, tmp_path
):
    # The second of two in one process, so that what the first leaves behind would show.
    with sweep.local_processes(1) as submit:
        again = sweep.sweep([small_tasks[3], small_tasks[0]], small_prices, tmp_path, submit)
    for record in again:
        name = f"{record.key}.json"
        assert content(tmp_path / name) == content(small_folder / name)


@pytest.fixture
def cluster(tmp_path):
    """A real scheduler and two real workers, as docs/cluster.md starts them."""
    processes = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            cwd=tmp_path,
            env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "30s"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        processes.append(process)
        return process

    file = tmp_path / "scheduler.json"
    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
          "--scheduler-file", str(file))  # fmt: skip
    _wait(file.exists)
    address = json.loads(file.read_text())["address"]
    workers = [
        start("worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        for _ in range(2)
    ]
    yield address, workers
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


class Killing:
    """Submits, and kills a process once the first task is done."""

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


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_local_records(
    small_tasks, small_prices, small_folder, tmp_path, cluster
):
    import distributed

    address, workers = cluster
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        with sweep.dask_cluster(address) as submit:
            killing = Killing(submit, workers[0])
            folder = tmp_path / "runs"
            found = sweep.sweep(small_tasks, small_prices, folder, killing)
        assert workers[0].poll() is not None
        assert workers[1].poll() is None
        # A lambda, as Dask sends those by value: the scheduler cannot import the tests.
        log = client.run_on_scheduler(
            lambda dask_scheduler: [
                str(key)
                for key, _, finish, *_ in dask_scheduler.transition_log
                if finish == "memory" and str(key).startswith("run_apart")
            ]
        )
    assert len(found) == len(small_tasks)
    for record in found:
        name = f"{record.key}.json"
        assert content(folder / name) == content(small_folder / name)
    # Nothing twice without need: at most what the killed worker had finished or was at.
    assert len(set(log)) == len(small_tasks)
    assert len(log) <= len(small_tasks) + 1
    # And nothing at all the second time.
    submit = Answers([])
    sweep.sweep(small_tasks, small_prices, folder, submit)
    assert submit.asked == []


def test_a_task_survives_the_way_to_a_worker(small_tasks):
    import pickle

    for task in small_tasks:
        assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
        assert pickle.loads(pickle.dumps(task)) == task


def test_versions_are_what_the_bits_depend_on():
    assert set(records.versions()) == {"tensorflow", "keras", "numpy"}


def test_a_record_of_another_key_is_refused(small_tasks, small_prices, small_records, tmp_path):
    def joined_later(task, prices):
        future = concurrent.futures.Future()
        future.set_result(dataclasses.replace(small_records[0], key="0" * 16))
        return future

    with pytest.raises(UserError, match="a worker that joined has other versions"):
        sweep.sweep(small_tasks, small_prices, tmp_path, joined_later)
    assert not list(tmp_path.glob("*.json"))
