"""The claims' statistics on made records, and the registry."""

import dataclasses
import math

import pytest

from stock_rnn.study import registry
from stock_rnn.study.escape import measures, plan, theory
from stock_rnn.study.escape.measures import VALUES, Found, sample
from stock_rnn.study.escape.plan import Run
from stock_rnn.study.escape.record import EscapeRecord, load, save

CLAIMS = registry.load("escape-1")["claims"]


def made(optimizer, steps, seed=1, scale=1.0, rate=plan.REPORT_RATE, limit=60_000):
    run = Run(
        optimizer=optimizer, rate=rate, tuned=rate != plan.REPORT_RATE, batches="mini",
        scale=scale, seed=seed, limit=limit,
    )  # fmt: skip
    return EscapeRecord(
        key=f"{optimizer}-{seed}-{scale}-{rate}",
        run=run,
        registry=registry.name(),
        versions={},
        couplings=(0.0, 0.1 * scale),
        eigenvalue=-0.1 * scale,
        weights=4384,
        escaped=steps,
        settled=math.inf,
        diverged=False,
        loss=0.9,
        steps=int(min(steps, limit)),
        seconds=1.0,
    )


def found(*records, staib=()):
    return Found(
        records=records,
        tuned={"sgd": 1.0, "rmsprop": 0.001},
        staib=staib,
        staib_key="problem",
        registries={},
    )


def test_every_claim_has_a_known_statistic_and_the_registry_is_listed():
    assert "escape-1" in registry.PARTS
    assert {claim["value"] for claim in CLAIMS} == set(VALUES)
    assert len({claim["id"] for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim["says"]
        assert claim["section"]
        # The options are those of the statistic: without runs there is no value, and no error.
        assert sample(claim, found()).values == {}


def test_a_run_stays_or_leaves_by_its_steps():
    options = {"optimizer": "sgd", "batches": "mini", "scale": 1.0, "tuned": False, "steps": 900}
    of = found(made("sgd", 901.0), made("sgd", 900.0, seed=2), made("sgd", math.inf, seed=3))
    values, keys = measures.stays(of, **options)
    assert values == {1: 1.0, 2: 0.0, 3: 1.0}
    assert len(keys) == 3
    assert measures.leaves(of, **options)[0] == {1: 0.0, 2: 1.0, 3: 0.0}


def test_a_ratio_is_the_least_over_scales_and_counts_no_more_steps_than_were_made():
    of = found(
        made("sgd", math.inf, limit=500),
        made("rmsprop", 50.0),
        made("sgd", 40.0, scale=10.0),
        made("rmsprop", 20.0, scale=10.0),
        made("sgd", 7.0, rate=1.0),
        # A seed without RMSProp's run has no ratio.
        made("sgd", 7.0, seed=2),
    )
    options = {"of": "sgd", "to": "rmsprop", "batches": "mini"}
    assert measures.ratio(of, scales=[1.0], tuned=False, **options)[0] == {1: 10.0}
    values, keys = measures.ratio(of, scales=[1.0, 10.0], tuned=False, **options)
    assert values == {1: 2.0}
    assert len(keys) == 4
    # RMSProp's tuned rate is the report's here, SGD's is 1.
    assert measures.ratio(of, scales=[1.0], tuned=True, **options)[0] == {1: 0.14}


def test_a_run_that_never_escapes_makes_the_ratio_zero():
    of = found(made("sgd", 40.0), made("rmsprop", math.inf))
    options = {"of": "sgd", "to": "rmsprop", "batches": "mini", "scales": [1.0], "tuned": False}
    assert measures.ratio(of, **options)[0] == {1: 0.0}


def test_the_factor_to_theory_is_the_largest_either_way():
    options = {"batches": "mini", "tuned": False, "theory": "predicted"}
    right = theory.gradient_descent_steps(1e-4), theory.gradient_descent_steps(1e-3)
    of = found(made("sgd", right[0] * 1.1), made("sgd", right[1] / 1.5, scale=10.0))
    values, _ = measures.theory_factor(of, optimizer="sgd", scales=[1.0, 10.0], **options)
    assert values[1] == pytest.approx(1.5)
    values, _ = measures.theory_factor(of, optimizer="sgd", scales=[1.0], **options)
    assert values[1] == pytest.approx(1.1)


def test_the_frozen_prediction_is_another_than_the_live_one():
    record = made("rmsprop", 50.0)
    d = theory.first_diagonal((0.0, 0.1))
    assert measures.prediction(record, "frozen") == theory.frozen_steps(0.001, (0.0, 0.1), d)
    live = theory.live_steps("rmsprop", 0.001, (0.0, 0.1), 1_000)
    assert measures.prediction(record) == live


def test_the_ratio_in_the_problem_of_staib_is_by_seed():
    rows = [
        {"problem": "swapped", "optimizer": name, "tuned": True, "rate": 0.1, "steps": steps}
        for name, steps in (("sgd", [30.0, None]), ("rmsprop", [10.0, 5.0]))
    ]
    options = {"problem": "swapped", "of": "sgd", "to": "rmsprop"}
    values, keys = measures.staib_ratio(found(staib=rows), tuned=True, **options)
    assert values == {0: 3.0, 1: math.inf}
    assert keys == ("problem",)
    assert measures.staib_ratio(found(staib=rows), tuned=False, **options) == ({}, ())


def test_a_record_is_read_as_it_was_written(tmp_path):
    for record in (made("sgd", 12.0), made("sgd", math.inf)):
        save(tmp_path, record)
        assert load(tmp_path / f"{record.key}.json") == record


def test_a_run_with_a_low_loss_has_left_another_way():
    still = made("adam", math.inf)
    assert not still.left_another_way
    assert dataclasses.replace(still, loss=0.04).left_another_way
    # On a low plateau an escape along v_min lowers the loss as much.
    assert not dataclasses.replace(still, loss=0.1).left_another_way
