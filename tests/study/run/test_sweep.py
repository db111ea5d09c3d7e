"""Many tasks: finished records are kept, missing ones are made."""

import concurrent.futures
import dataclasses
from concurrent.futures.process import BrokenProcessPool

import pytest

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.study import records
from stock_rnn.study.run.sweep import sweep
from tests.study.cases import SMALL_TASKS


class KnownRecords:
    """A `Submit` that trains nothing: it returns known records, and lists what is submitted."""

    def __init__(self, known):
        self.known = {record.task: record for record in known}
        self.submitted = []

    def __call__(self, task, prices):
        self.submitted.append(task)
        key = task.key(prices.sha256, records.versions())
        return finished(dataclasses.replace(self.known[task], key=key))


def finished(record):
    future = concurrent.futures.Future()
    future.set_result(record)
    return future


def failed(error):
    future = concurrent.futures.Future()
    future.set_exception(error)
    return future


def test_finished_tasks_are_not_run_again(small_prices, small_folder, small_records):
    submit = KnownRecords([])
    found = sweep(SMALL_TASKS, small_prices, small_folder, submit)
    assert submit.submitted == []
    assert [record.key for record in found] == [record.key for record in small_records]


def test_an_interrupted_sweep_resumes_with_the_missing_tasks(
    small_prices, small_records, tmp_path, monkeypatch
):
    written = []

    def interrupted_at_the_third(path, record, save=records.save):
        if len(written) == 2:
            raise KeyboardInterrupt
        save(path, record)
        written.append(path)

    monkeypatch.setattr(records, "save", interrupted_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        sweep(SMALL_TASKS, small_prices, tmp_path, KnownRecords(small_records))
    monkeypatch.undo()
    assert sorted(tmp_path.glob("*.json")) == sorted(written)
    kept = {path: path.stat().st_mtime_ns for path in written}
    assert len(kept) == 2

    submit = KnownRecords(small_records)
    found = sweep(SMALL_TASKS, small_prices, tmp_path, submit)
    keys = {path.stem for path in written}
    missing = [r.task for r in small_records if r.key not in keys]
    assert submit.submitted == missing
    assert len(missing) == len(SMALL_TASKS) - 2
    assert [record.task for record in found] == SMALL_TASKS
    assert {path: path.stat().st_mtime_ns for path in written} == kept


def test_a_wider_study_reuses_the_records(small_prices, small_records, tmp_path):
    sweep(SMALL_TASKS[:2], small_prices, tmp_path, KnownRecords(small_records))
    submit = KnownRecords(small_records)
    sweep(SMALL_TASKS, small_prices, tmp_path, submit)
    assert submit.submitted == SMALL_TASKS[2:]


def test_other_prices_are_other_runs(small_records, small_prices, tmp_path):
    later = slice(1, None)
    other = Prices("^GSPC", "bundled", small_prices.dates[later], small_prices.close[later])
    sweep(SMALL_TASKS, small_prices, tmp_path, KnownRecords(small_records))
    submit = KnownRecords(small_records)
    sweep(SMALL_TASKS, other, tmp_path, submit)
    assert submit.submitted == SMALL_TASKS


def test_a_killed_worker_process_is_a_user_error(small_prices, tmp_path):
    with pytest.raises(UserError, match=r"worker process was killed.*same command resumes"):
        sweep(SMALL_TASKS, small_prices, tmp_path, lambda *_: failed(BrokenProcessPool("gone")))


def test_a_damaged_record_is_named(small_prices, small_records, tmp_path):
    sweep(SMALL_TASKS, small_prices, tmp_path, KnownRecords(small_records))
    path = tmp_path / f"{small_records[0].key}.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=f"{path.name} is damaged.*delete it"):
        sweep(SMALL_TASKS, small_prices, tmp_path, KnownRecords(small_records))


def test_a_record_with_another_key_is_refused(small_prices, small_records, tmp_path):
    other = dataclasses.replace(small_records[0], key="0" * 16)
    with pytest.raises(UserError, match="a new worker has other versions"):
        sweep(SMALL_TASKS, small_prices, tmp_path, lambda *_: finished(other))
    assert not list(tmp_path.glob("*.json"))
