"""What one run leaves: real training on real prices, in worker processes."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from stock_rnn.prices import Prices
from stock_rnn.study import plan, records
from stock_rnn.study.judge.claims import CLAIMS, Study
from stock_rnn.study.judge.episodes import episodes, escape
from stock_rnn.study.judge.verdicts import REPRODUCED, judge
from stock_rnn.study.run.sweep import local_processes, sweep


def test_the_study_trains_what_train_py_trains_bit_for_bit(small_records, run_script, tmp_path):
    # The study measures more, and training is not to notice. Curvature is a function of
    # the weights that no two trainings share by chance.
    record = small_records[0]
    words = record.config.command().split()[2:]
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    answer = run_script("train.py", *words, "--run-name", "r", cwd=tmp_path, env=threads)
    assert answer.returncode == 0, answer.stderr
    history = pd.read_csv(tmp_path / "models" / "r" / "history.csv")
    for name in ("gradient_norm", "lambda_min", "lambda_max", "residual_max", "matvecs"):
        assert record.epochs[name][1:].tolist() == history[f"hessian_{name}"].tolist(), name
    assert record.epochs["test_loss"][1:] == pytest.approx(history["val_loss"].to_numpy(), rel=1e-5)


def test_all_optimizers_start_from_the_same_weights(small_records):
    sgd, _, adam, _, _ = small_records
    for name in ("train_loss", "train_loss_dropout", "lambda_max", "negative_index"):
        assert sgd.epochs[name][0] == adam.epochs[name][0]
    assert sgd.epochs["train_loss"][-1] != adam.epochs["train_loss"][-1]


def test_losses_are_those_of_the_predictions(small_records):
    for record in small_records[:4]:
        actual = np.array(record.predictions["actual"])
        for column, name in (
            ("predicted", "test_loss"),
            ("predicted_dropout", "test_loss_dropout"),
        ):
            predicted = np.array(record.predictions[column])
            assert record.last(name) == pytest.approx(np.mean((predicted - actual) ** 2))
        assert record.persistence["test"] == pytest.approx(np.mean(actual**2))
        # Dropout on is another function.
        assert record.last("test_loss") != record.last("test_loss_dropout")


def test_deep_measurements_are_where_they_were_asked_for(small_records):
    sgd, adam = small_records[0], small_records[2]
    for name in ("negative_index", "gradient_negative_share", "preconditioned_max"):
        assert np.isfinite(sgd.epochs[name]).tolist() == [True, False, False, True], name
    # There is no step before the first, and no second moment of Adam.
    assert np.isfinite(sgd.epochs["update_negative_share"]).tolist() == [False, False, False, True]
    assert np.isfinite(adam.epochs["preconditioned_max"]).tolist() == [False, False, False, True]


def test_sgd_sees_the_hessian_as_it_is(small_records):
    sgd = small_records[0].epochs
    assert sgd["preconditioned_max"][3] == pytest.approx(sgd["lambda_max"][3], rel=1e-3)
    assert sgd["stability_line"][3] == pytest.approx(2.0 / sgd["learning_rate"][3])


def test_a_run_that_diverges_is_kept_as_one(small_records):
    diverged = small_records[-1]
    assert diverged.diverged is not None
    assert diverged.last("test_loss") == math.inf
    assert diverged.predictions == {}
    assert records.table([diverged]).loc[0, "test_loss"] == math.inf


@pytest.fixture(scope="module")
def beside_a_saddle(tmp_path_factory):
    """Prices that jump up and down in turn: tomorrow is told by today, so the saddle is steep."""
    rng = np.random.default_rng(0)
    changes = np.where(np.arange(199) % 2, 1.25, 0.8) * rng.uniform(0.97, 1.03, 199)
    close = 100 * np.cumprod(np.concatenate([[1.0], changes]))
    dates = np.datetime64("2020-01-01", "s") + np.arange(200) * np.timedelta64(86400, "s")
    prices = Prices("UPDOWN", "csv", dates, close)
    shorter = {"max_epoch": 300, "hessian_every": 300}
    tasks = [
        dataclasses.replace(task, config=dataclasses.replace(task.config, **shorter))
        for seed in range(plan.SEEDS)
        for task in plan._beside_saddle({"seed": seed}, ("sgd", "rmsprop"))
    ]
    with local_processes(2) as executor:
        return sweep(tasks, prices, tmp_path_factory.mktemp("saddle"), executor)


@pytest.mark.slow
def test_where_sgd_provably_stays_and_rmsprop_leaves_the_claim_is_reproduced(beside_a_saddle):
    # 1/(ε|λ_min|) from the closed form: SGD cannot have left. The pipeline must be able to
    # say "reproduced", or its "not reproduced" would mean nothing.
    for record in beside_a_saddle:
        found = escape(record)
        if record.config.optimizer == "sgd":
            assert found.predicted_steps > 10 * found.run_steps
            assert found.observed_steps == math.inf
            # It grows as predicted all the same: by ε|λ_min| a step.
            distance = record.epochs["displacement"]
            growth = math.log(distance[-1] / distance[0])
            assert growth == pytest.approx(found.run_steps / found.predicted_steps, rel=0.1)
        else:
            assert found.observed_steps < found.run_steps + 1
            # As the optimizer sees the Hessian, the prediction is of the right size.
            assert 0.1 < found.observed_steps / found.preconditioned_steps < 10
    (claim,) = (claim for claim in CLAIMS if claim.id == "rmsprop-escapes-first")
    verdict = judge(Study(beside_a_saddle), claim, family=len(CLAIMS))
    assert verdict.verdict == REPRODUCED
    assert verdict.summary.value == 1.0


@pytest.mark.slow
def test_measured_curvature_beside_the_saddle_is_the_closed_form(beside_a_saddle):
    for record in beside_a_saddle:
        assert record.epochs["lambda_min"][0] == pytest.approx(
            record.saddle["lambda_min"], rel=0.02
        )
        assert record.epochs["certified_negative"][0] == 1.0


def test_episodes_on_a_made_up_course(small_records):
    norm = np.array([1.0, 0.5, 0.005, 0.004, 0.2, 0.003])
    course = dataclasses.replace(
        small_records[0],
        epochs={
            "epoch": np.arange(6.0),
            "step": 10 * np.arange(6.0),
            "learning_rate": np.full(6, 0.1),
            "gradient_norm": norm,
            "lambda_min": np.array([-1.0, -1.0, -0.5, -0.4, -0.3, -0.2]),
            "certified_negative": np.ones(6),
        },
    )
    first, second = episodes(course)
    assert (first.entry, first.exit, first.steps) == (2, 4, 20.0)
    assert first.predicted_steps == pytest.approx(1 / (0.1 * 0.5))
    # Entered at the last measurement: how long it stays is not known.
    assert (second.entry, second.exit) == (5, None)
    assert math.isnan(second.steps)
