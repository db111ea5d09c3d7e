"""Verdicts on runs whose truth is known."""

import dataclasses
import math

import numpy as np
import pytest

from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.judge.statistics import summarize, summarize_share
from stock_rnn.study.judge.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    decide,
    judge,
)
from stock_rnn.study.plan import SEEDS
from stock_rnn.study.records import Study
from tests.study.cases import (
    INF,
    NAN,
    crossing_predictions,
    diverge,
    made_record,
    spread,
    study_of_ratios,
)

CLAIM = {claim.id: claim for claim in CLAIMS}
FAMILY = len(CLAIMS)


# The rule


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((5.0, 20.0), REPRODUCED),  # The ends belong to the region.
        ((6.0, 7.0), REPRODUCED),
        ((4.9, 7.0), UNDECIDED),
        ((6.0, 20.1), UNDECIDED),
        ((1.0, 100.0), UNDECIDED),
        ((1.0, 5.0), UNDECIDED),
        ((1.0, 4.9), NOT_REPRODUCED),
        ((20.1, 30.0), NOT_REPRODUCED),
        ((NAN, NAN), UNDECIDED),
    ],
)
def test_an_interval_is_inside_or_outside_the_region_or_neither(interval, verdict):
    assert decide(interval, (5.0, 20.0)) == verdict


def test_a_region_may_have_no_end():
    assert decide((1.0, 1e9), (1.0, INF)) == REPRODUCED
    assert decide((-1e9, -0.3), (-INF, -0.25)) == REPRODUCED
    assert decide((-0.2, 0.1), (-INF, -0.25)) == NOT_REPRODUCED


def test_equal_is_not_better():
    assert decide((1.0, 1.0), (1.0, math.inf), strict=True) == NOT_REPRODUCED
    assert decide((1.0, 1.0), (1.0, math.inf)) == REPRODUCED
    assert decide((1.0, 2.0), (1.0, math.inf), strict=True) == UNDECIDED
    assert decide((math.nextafter(1.0, 2.0), 2.0), (1.0, math.inf), strict=True) == REPRODUCED
    assert all(claim.strict for claim in CLAIMS if claim.region[1] == math.inf)


# The three scales


@pytest.mark.parametrize(
    ("ratio", "width", "verdict"),
    [
        (10.0, 0.1, REPRODUCED),
        (3.0, 0.1, NOT_REPRODUCED),
        (40.0, 0.1, NOT_REPRODUCED),
        (10.0, 3.0, UNDECIDED),
        (5.0, 0.1, UNDECIDED),
    ],
)
def test_a_ratio_is_judged_on_its_logarithms(ratio, width, verdict):
    ratios = ratio * np.exp(spread(width))
    found = judge(study_of_ratios(ratios), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    assert found.verdict == verdict
    # The middle of values that are symmetric about it on a logarithmic scale.
    assert found.summary.value == pytest.approx(ratio)
    logs = summarize(np.log(ratios), claims=FAMILY)
    np.testing.assert_allclose(found.summary.interval, np.exp(logs.interval))
    np.testing.assert_allclose(found.summary.simultaneous, np.exp(logs.simultaneous))
    np.testing.assert_allclose([found.values[seed] for seed in range(SEEDS)], ratios)


@pytest.mark.parametrize(
    ("crossings", "verdict"),
    [
        ([8, 9, 10, 11, 12] * 2, REPRODUCED),
        ([-3] * 5 + [-4] * 5, NOT_REPRODUCED),
        ([-40, -20, 0, 20, 40] * 2, UNDECIDED),
    ],
)
def test_a_difference_is_judged_on_a_linear_scale(crossings, verdict):
    runs = []
    for seed, more in enumerate(crossings):
        runs.append(made_record("sgd", seed, predictions=crossing_predictions(45)))
        runs.append(made_record("rmsprop", seed, predictions=crossing_predictions(45 + more)))
    found = judge(Study(runs), CLAIM["rmsprop-intersects-more"], family=FAMILY)
    assert found.verdict == verdict
    assert found.values == dict(enumerate(map(float, crossings)))
    assert found.summary == summarize(np.array(crossings), claims=FAMILY)


@pytest.mark.parametrize(
    ("at_saddle", "verdict"),
    [(10, REPRODUCED), (0, NOT_REPRODUCED), (5, UNDECIDED), (9, UNDECIDED)],
)
def test_a_share_is_judged_by_its_exact_interval(at_saddle, verdict):
    runs = [
        made_record("sgd", s, gradient_norm=[1.0, 0.005], certified_negative=[1, s < at_saddle])
        for s in range(SEEDS)
    ]
    found = judge(Study(runs), CLAIM["sgd-ends-at-a-saddle"], family=FAMILY)
    assert found.verdict == verdict
    assert found.summary == summarize_share(np.arange(10) < at_saddle, claims=FAMILY)
    assert found.values == {s: float(s < at_saddle) for s in range(SEEDS)}
    assert "the share of seeds is" in found.sentence


# Undecided


@pytest.mark.parametrize("n", [1, 5, 9])
def test_too_few_seeds_are_undecided_and_the_sentence_says_how_many_are_needed(n):
    found = judge(study_of_ratios([10.0] * n), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    assert found.verdict == UNDECIDED
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    assert found.sentence.startswith(
        f"Undecided: over {seeds} the interquartile mean is 10.0 and 10 are needed to judge "
        f"{FAMILY} claims at 95 %;"
    )
    assert "[" not in found.sentence
    assert np.isnan(found.summary.simultaneous).all()


def test_one_claim_needs_fewer_seeds_than_a_family():
    study, claim = study_of_ratios([10.0] * 6), CLAIM["sgd-test-loss-tenfold"]
    assert judge(study, claim, family=1).verdict == REPRODUCED
    assert judge(study, claim, family=2).verdict == UNDECIDED


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_without_runs_is_undecided(claim):
    found = judge(Study([]), claim, family=FAMILY)
    assert found.verdict == UNDECIDED
    assert found.sentence == "Undecided: there are no runs for this claim."
    assert (found.values, found.runs, found.summary.seeds) == ({}, (), 0)


def test_which_run_escapes_first_is_unknown_if_neither_does():
    def staying(optimizer, seed):
        return made_record(optimizer, seed, start="saddle", displacement=[1.0, 1.1], step=[0, 1])

    study = Study([staying(name, seed) for name in ("sgd", "rmsprop") for seed in range(10)])
    found = judge(study, CLAIM["rmsprop-escapes-first"], family=FAMILY)
    assert found.verdict == UNDECIDED
    assert "10 of them give no number" in found.sentence


# Diverged runs


def test_a_diverged_run_leaves_a_share_undecided():
    at = {"gradient_norm": [1.0, 0.001], "certified_negative": [1.0, 1.0]}
    runs = [made_record("sgd", seed, **at) for seed in range(10)]
    assert judge(Study(runs), CLAIM["sgd-ends-at-a-saddle"], family=FAMILY).verdict == REPRODUCED
    runs[3] = dataclasses.replace(runs[3], diverged=1)
    found = judge(Study(runs), CLAIM["sgd-ends-at-a-saddle"], family=FAMILY)
    assert found.verdict == UNDECIDED
    assert "1 of them give no number" in found.sentence


@pytest.mark.parametrize(
    ("optimizers", "value"),
    [(["sgd"], INF), (["rmsprop"], 0.0), (["sgd", "rmsprop"], NAN)],
    ids=str,
)
@pytest.mark.parametrize("lost", [1, 3])
def test_a_diverged_run_leaves_a_ratio_undecided(optimizers, value, lost):
    study = diverge(study_of_ratios([10.0] * SEEDS), seeds=range(lost), optimizers=optimizers)
    found = judge(study, CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    assert found.verdict == UNDECIDED
    assert np.isnan([*found.summary.interval, *found.summary.simultaneous]).all()
    expected = [value] * lost + [10.0] * (SEEDS - lost)
    assert list(found.values.values()) == pytest.approx(expected, nan_ok=True)
    assert "over 10 seeds" in found.sentence
    assert f"{lost} of them give no number (a run diverged" in found.sentence
    assert "[" not in found.sentence


def test_a_diverged_run_moves_the_interquartile_mean_no_further_than_the_worst_run():
    study = diverge(study_of_ratios(np.arange(1.0, 11) ** 2), seeds=[9], optimizers=["sgd"])
    logs = np.log(np.arange(1.0, 11) ** 2)
    value = judge(study, CLAIM["sgd-test-loss-tenfold"], family=FAMILY).summary.value
    assert np.log(value) == pytest.approx(logs[2:8].mean())
