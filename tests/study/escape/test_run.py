"""The part run small: the real network on short prices, and all of its files."""

import concurrent.futures
import contextlib
import importlib
import json
import math

import pytest

from stock_rnn.curvature.tracking.steps import step_scalars
from stock_rnn.errors import UserError
from stock_rnn.study import registry
from stock_rnn.study.escape import findings, plan, problem, run, runner, sharpness, theory
from stock_rnn.study.folder import Folder
from tests.study import cases

# `stock_rnn.study.escape.run` is the function.
module = importlib.import_module("stock_rnn.study.escape.run")

DATA = {"symbol": "^GSPC", "source": "bundled", "period": "6mo", "max_epoch": 1}


@contextlib.contextmanager
def in_this_process(jobs, function):
    """As `local_processes`, without the seconds that a process takes to start."""

    def start(*arguments):
        future = concurrent.futures.Future()
        future.set_result(function(*arguments))
        return future

    yield start


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a small study of this part; how often each kind of work was done."""
    folder = Folder(tmp_path_factory.mktemp("results"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "local_processes", in_this_process)
        # Other tests may have started TensorFlow with several threads.
        for of in (module, runner):
            patch.setattr(of, "use_one_thread", lambda: None)
        patch.setattr(runner, "UNITS", 3)
        patch.setattr(runner, "_COMPILED", False)
        patch.setattr(plan, "FIRST_ORDER", ("sgd",))
        patch.setattr(plan, "SCALES", (1.0, 1000.0))
        patch.setattr(plan, "RATES", (1.0, 10.0))
        patch.setattr(plan, "TUNING_SEEDS", (100,))
        patch.setattr(plan, "TUNING_LIMIT", 60)
        patch.setattr(plan, "LIMITS", {plan.FULL: 60, plan.MINI: 60})
        patch.setattr(plan, "LONG_LIMIT", 70)
        patch.setattr(plan, "NEWTON_SEEDS", 1)
        patch.setattr(sharpness, "OPTIMIZERS", ("sgd",))
        kept = dict.fromkeys(sharpness.KEPT, 1000.0)
        patch.setattr(
            sharpness, "measure", lambda name, seed, *_: {"optimizer": name, "seed": seed, **kept}
        )
        row = {"problem": "swapped", "optimizer": "sgd", "tuned": True, "rate": 0.1, "steps": [9.0]}
        patch.setattr(problem, "solve", lambda: [row])
        run(DATA, cases.small_prices(), folder, None, seeds=1)
        yield folder


def records(folder):
    return [json.loads(path.read_text()) for path in (folder.path / "escape/runs").iterdir()]


def test_runs_that_escape_take_the_predicted_steps(small):
    reached = [
        of
        for of in records(small)
        if of["run"]["scale"] == 1000.0 and of["run"]["rate"] in (0.001, 1.0)
    ]
    names = {(of["run"]["optimizer"], of["run"]["batches"], of["run"]["rate"]) for of in reached}
    assert {("sgd", "full", 0.001), ("sgd", "mini", 0.001)} <= names
    assert ("saddle-free-newton", "full", 1.0) in names
    compared = 0
    for of in reached:
        at = of["run"]
        couplings = tuple(of["couplings"])
        predicted = theory.predicted_steps(
            at["optimizer"], at["rate"], couplings, of["weights"], at["limit"]
        )
        if predicted > 5:
            assert of["escaped"] == pytest.approx(predicted, rel=0.2), at
            compared += 1
    assert compared >= 3
    assert all(of["eigenvalue"] == pytest.approx(-math.hypot(*of["couplings"])) for of in reached)


def test_a_run_that_does_not_escape_ends_at_its_limit(small):
    (still,) = [
        of
        for of in records(small)
        if (of["run"]["optimizer"], of["run"]["batches"]) == ("sgd", "mini")
        and (of["run"]["scale"], of["run"]["rate"]) == (1.0, 0.001)
    ]
    assert still["escaped"] is None
    assert still["steps"] == 70
    assert still["loss"] == pytest.approx(1.0, rel=0.2)
    assert not still["diverged"]
    assert still["registry"] == registry.name()


def test_what_is_finished_is_not_run_again(small, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in small.path.rglob("*.json")}

    def fail(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(runner, "_record", fail)
    monkeypatch.setattr(sharpness, "measure", fail)
    run(DATA, cases.small_prices(), small, None, seeds=1)
    after = {path: path.stat().st_mtime_ns for path in small.path.rglob("*.json")}
    same = [path for path in before if path.name != "study.json"]
    assert before.keys() == after.keys()
    assert all(before[path] == after[path] for path in same)
    assert len(same) > 10


def test_the_findings_have_all_claims_tables_and_figures(small):
    found = findings(small)
    ids = [claim["id"] for claim in registry.load("escape-1")["claims"]]
    assert [verdict.claim.id for verdict in found.verdicts] == ids
    # One seed decides nothing.
    assert {verdict.verdict for verdict in found.verdicts} == {"undecided"}
    assert set(found.tables) == {"escapes", "tuned", "staib", "sharpness"}
    assert set(found.figures) == {"escapes", "staib"}
    assert set(found.captions) == {*found.tables, *found.figures}
    table = found.tables["escapes"]
    row = table[(table.optimizer == "sgd") & (table.scale == 1000.0) & (table.batches == "full")]
    steps = row[~row.tuned].steps.item()
    assert steps == pytest.approx(row[~row.tuned].predicted_steps.item(), rel=0.1)
    assert found.tables["sharpness"].batch_sharpness_over_line.item() == 1.0
    dots = [line for line in found.figures["escapes"].axes[0].lines if line.get_marker() == "o"]
    assert len(dots) >= 1


def test_what_is_kept_of_a_measurement_is_measured():
    assert set(sharpness.KEPT.values()) <= set(step_scalars(1, batches=True))


def test_a_damaged_record_is_named(small, tmp_path):
    path = next((small.path / "escape/runs").iterdir())
    text = path.read_text()
    try:
        path.write_text(text[:-20])
        with pytest.raises(UserError, match=path.name):
            findings(small)
    finally:
        path.write_text(text)


def test_a_folder_without_this_part_has_no_findings(tmp_path):
    assert findings(Folder(tmp_path)) is None
