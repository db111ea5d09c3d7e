"""Which stretches there are, what is trained on them, and which runs are shared."""

import dataclasses
import json

import pytest

from stock_rnn.config import Config
from stock_rnn.data import one_stock
from stock_rnn.prices import Prices
from stock_rnn.study import records
from stock_rnn.study.folder import Folder
from stock_rnn.study.plan import Scope, plan
from stock_rnn.study.stretches import findings, run
from stock_rnn.study.stretches import plan as stretches_plan
from stock_rnn.study.stretches.plan import alternatives, stretches, tasks
from tests.study.cases import made_record
from tests.study.run.test_sweep import finished

OWN = {"symbol": "^GSPC", "source": "bundled", "start": "2016-07-01", "end": "2018-06-29"}


@pytest.fixture(scope="module")
def prices():
    return one_stock(Config(**OWN))


def test_a_stretch_of_each_index_starts_each_year_and_the_own_prices_come_last(prices):
    found = stretches(OWN, prices)
    assert len(found) == 2 * 16 + 1
    assert [at.name for at in found[:3]] == [
        "^GSPC 1999 to 2003",
        "^IXIC 1999 to 2003",
        "^GSPC 2000 to 2004",
    ]
    assert found[-2].name == "^IXIC 2014 to 2018"
    assert found[-1].name == "^GSPC 2016-07 to 2018-06"
    assert [at.own for at in found] == [False] * 32 + [True]
    for at in (found[0], found[17], found[-1]):
        # The settings load the very prices that the stretch has.
        assert one_stock(Config(**at.data)).sha256 == at.prices.sha256
    years = [sorted(set(at.prices.dates.astype("M8[Y]").astype(int) + 1970)) for at in found[:-1]]
    assert all(len(of) == 5 for of in years)


def test_own_prices_that_are_a_bundled_stretch_count_once():
    data = {"symbol": "^IXIC", "source": "bundled", "start": "2003-01-01", "end": "2007-12-31"}
    found = stretches(data, one_stock(Config(**data)), range(2002, 2005))
    assert [at.name for at in found if at.prices.symbol == "^IXIC"] == [
        "^IXIC 2002 to 2006",
        "^IXIC 2004 to 2008",
        "^IXIC 2003-01 to 2007-12",
    ]


def test_every_stretch_is_trained_by_each_seed_without_measuring_curvature(prices):
    own = stretches(OWN, prices, [])[0]
    planned = tasks(own, 2)
    assert [(t.config.seed, t.config.lstm_size, t.config.optimizer) for t in planned] == [
        (seed, *which)
        for seed in (0, 1)
        for which in ((32, "sgd"), (32, "rmsprop"), (128, "rmsprop"))
    ]
    assert all(t.config.hessian_every == 0 and t.config.num_layers == 1 for t in planned)


def test_runs_of_the_reports_part_have_the_same_training(prices):
    own = stretches(OWN, prices, [])[0]
    report = plan(OWN, Scope(seeds=3))
    found = alternatives(own, 3)
    assert list(found) == tasks(own, 3)
    for task, others in found.items():
        assert (task in report) or any(other in report for other in others)
        for other in others:
            changed = task.config.differences(other.config)
            assert set(changed) == {"hessian_every"}
            assert (other.start, other.schedule) == ("drawn", "decay")
    # Those of other stretches are in no other part.
    (bundled, _, _) = stretches(OWN, prices, [2001])
    assert not any(alternatives(bundled, 3).values())


class MadeRuns:
    """A `Submit` that trains nothing: it returns one known record with the asked-for settings."""

    def __init__(self, record):
        self.record, self.submitted = record, []

    def __call__(self, task, prices: Prices):
        self.submitted.append(task)
        key = task.key(prices.sha256, records.versions())
        return finished(dataclasses.replace(self.record, task=task, key=key))


def test_a_run_writes_what_it_has_and_trains_the_first_seed_of_all_stretches_first(
    prices, tmp_path, monkeypatch
):
    monkeypatch.setattr(stretches_plan, "FIRST_YEARS", [2001, 2002])
    folder = Folder(tmp_path)
    assert findings(folder) is None
    submit = MadeRuns(made_record())
    run(OWN, prices, folder, submit, 20)
    assert len(submit.submitted) == 5 * 3 * 3
    assert [task.config.seed for task in submit.submitted] == [0] * 15 + [1] * 15 + [2] * 15
    content = json.loads((tmp_path / "stretches" / "study.json").read_text())
    assert len(content["stretches"]) == 5
    assert all((folder.runs / f"{key}.json").exists() for key in content["stretches"][0]["runs"])
    assert content["command"].startswith("python reproduce.py --parts stretches --symbol '^GSPC'")
    again = MadeRuns(made_record())
    run(OWN, prices, folder, again, 20)
    assert again.submitted == []
    found = findings(folder)
    assert found is not None
    assert len(found.tables["losses"]) == 5


def test_a_run_of_the_reports_part_is_not_made_again(prices, tmp_path, monkeypatch):
    monkeypatch.setattr(stretches_plan, "FIRST_YEARS", [])
    folder = Folder(tmp_path)
    folder.runs.mkdir()
    (shared, *_) = [
        other
        for others in alternatives(stretches(OWN, prices, [])[0], 1).values()
        for other in others
    ]
    key = shared.key(prices.sha256, records.versions())
    made = dataclasses.replace(made_record(), task=shared, key=key)
    records.save(folder.runs / f"{key}.json", made)
    submit = MadeRuns(made_record())
    run(OWN, prices, folder, submit, 1)
    assert len(submit.submitted) == 2
    content = json.loads((tmp_path / "stretches" / "study.json").read_text())
    assert key in content["stretches"][0]["runs"]
