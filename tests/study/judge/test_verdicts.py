"""Verdicts on runs whose truth is known, and what is read from a record."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.study import records
from stock_rnn.study.judge.claims import (
    CLAIMS,
    PRIMARY,
    REPORT_TABLES,
    VARIANTS,
    Study,
    Variant,
    escape_step,
    gradient_exponent,
)
from stock_rnn.study.judge.statistics import (
    Summary,
    family_level,
    least_seeds,
    summarize,
    summarize_share,
)
from stock_rnn.study.judge.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    decide,
    judge,
    judge_all,
    show,
)
from stock_rnn.study.plan import PROTOCOLS, SEEDS, Scope, Task, plan
from stock_rnn.study.records import Record

CLAIM = {claim.id: claim for claim in CLAIMS}
FAMILY = len(CLAIMS)
INF, NAN = math.inf, math.nan


def record(
    optimizer="sgd",
    seed=0,
    *,
    network=(1, 32),
    protocol="appendix",
    start="drawn",
    diverged=None,
    predictions=None,
    **columns,
):
    """A record as of a finished run, with these columns; a number is the last of its column."""
    columns = {
        name: np.array([NAN, values] if np.ndim(values) == 0 else values, dtype=float)
        for name, values in columns.items()
    }
    rows = max([2, *map(len, columns.values())])
    config = Config(
        **PROTOCOLS[protocol],
        optimizer=optimizer,
        seed=seed,
        num_layers=network[0],
        lstm_size=network[1],
    )
    return Record(
        key=f"{optimizer}-{network[0]}x{network[1]}-{start}-{protocol}-{seed}",
        task=Task(config=config, start=start, deep=(0, 50)),
        data={"symbol": "^GSPC"},
        versions={"keras": "3"},
        seconds=1.5,
        steps_per_epoch=20,
        diverged=diverged,
        epochs={"epoch": np.arange(rows) * 1.0, "step": np.arange(rows) * 20.0, **columns},
        persistence={"train": 2e-4, "test": 1e-4},
        predictions=predictions or {},
        saddle={},
    )


def losses(ratios, *, column="test_loss_dropout", **settings):
    """Runs of SGD and RMSProp whose losses are in these ratios, one a seed."""
    found = []
    for seed, ratio in enumerate(ratios):
        level = 1e-4 * (1 + seed)
        found.append(record("sgd", seed, **{column: ratio * level}, **settings))
        found.append(record("rmsprop", seed, **{column: level}, **settings))
    # Found by seed, not by place.
    return Study(found[::-1])


def noise(width, n=SEEDS):
    return np.linspace(-width, width, n)


def crossing(times, days=100):
    """Predictions that cross the actual prices so many times."""
    above = np.where(np.arange(days) <= times, (-1.0) ** np.arange(days), (-1.0) ** times)
    return {"actual": [0.0] * days, "predicted": [0.0] * days, "predicted_dropout": [*above]}


def numbers(sentence):
    """What is written after "is", in the brackets, and after "needs", as numbers."""
    value = float(re.search(r" is (\S+) ", sentence)[1])
    brackets = re.findall(r"\[(\S+), (\S+)\]", sentence)
    return value, [tuple(map(float, pair)) for pair in brackets]


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
def test_an_interval_is_inside_outside_or_neither(interval, verdict):
    assert decide(interval, (5.0, 20.0)) == verdict


def test_a_region_may_have_no_end():
    assert decide((1.0, 1e9), (1.0, INF)) == REPRODUCED
    assert decide((-1e9, -0.3), (-INF, -0.25)) == REPRODUCED
    assert decide((-0.2, 0.1), (-INF, -0.25)) == NOT_REPRODUCED


# The three scales, on runs of known truth


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
    ratios = ratio * np.exp(noise(width))
    found = judge(losses(ratios), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
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
def test_a_difference_is_judged_on_its_own_scale(crossings, verdict):
    runs = []
    for seed, more in enumerate(crossings):
        runs.append(record("sgd", seed, predictions=crossing(45)))
        runs.append(record("rmsprop", seed, predictions=crossing(45 + more)))
    found = judge(Study(runs), CLAIM["rmsprop-intersects-more"], family=FAMILY)
    assert found.verdict == verdict
    assert found.values == dict(enumerate(map(float, crossings)))
    assert found.summary == summarize(np.array(crossings), claims=FAMILY)


@pytest.mark.parametrize(
    ("at_saddle", "verdict"),
    [(10, REPRODUCED), (0, NOT_REPRODUCED), (5, UNDECIDED), (9, UNDECIDED)],
)
def test_a_share_is_judged_on_how_many_seeds_hold(at_saddle, verdict):
    runs = [
        record("sgd", s, gradient_norm=[1.0, 0.005], certified_negative=[1, s < at_saddle])
        for s in range(SEEDS)
    ]
    found = judge(Study(runs), CLAIM["sgd-ends-at-a-saddle"], family=FAMILY)
    assert found.verdict == verdict
    assert found.summary == summarize_share(np.arange(10) < at_saddle, claims=FAMILY)
    assert found.values == {s: float(s < at_saddle) for s in range(SEEDS)}
    assert "the share of seeds is" in found.sentence


@pytest.mark.parametrize(
    ("sgd_leaves", "rmsprop_leaves", "verdict"),
    [(30, 5, REPRODUCED), (5, 30, NOT_REPRODUCED), (5, 5, NOT_REPRODUCED), (None, 5, REPRODUCED)],
)
def test_who_leaves_a_constructed_saddle_first(sgd_leaves, rmsprop_leaves, verdict):
    def left(optimizer, seed, step):
        gone = np.arange(50) >= (50 if step is None else step)
        return record(optimizer, seed, start="saddle", displacement=np.where(gone, -3e-3, 1e-3))

    study = Study(
        [left("sgd", s, sgd_leaves) for s in range(10)]
        + [left("rmsprop", s, rmsprop_leaves) for s in range(10)]
    )
    assert judge(study, CLAIM["rmsprop-escapes-first"], family=FAMILY).verdict == verdict


@pytest.mark.parametrize(("loss", "holds"), [(0.5, 1.0), (1.0, 0.0), (2.0, 0.0)])
def test_passing_the_saddle_is_ending_at_a_lower_training_loss(loss, holds):
    # Each procedure by its own training loss.
    ours = record("rmsprop", train_loss_dropout=loss, train_loss=9.0)
    study = Study([ours, record("sgd", train_loss_dropout=1.0, train_loss=1.0)])
    claim = CLAIM["rmsprop-passes-the-saddle"]
    assert judge(study, claim).values == {0: holds}
    assert judge(study, claim, Variant("appendix", dropout=False)).values == {0: 0.0}


def test_where_neither_leaves_the_saddle_it_is_not_known_which_is_first():
    def staying(optimizer, seed):
        return record(optimizer, seed, start="saddle", displacement=[1.0, 1.1], step=[0, 1])

    study = Study([staying(name, seed) for name in ("sgd", "rmsprop") for seed in range(10)])
    found = judge(study, CLAIM["rmsprop-escapes-first"], family=FAMILY)
    assert found.verdict == UNDECIDED
    assert "10 of them give no number" in found.sentence


def test_what_a_diverged_run_would_have_ended_at_is_not_known():
    at = {"gradient_norm": [1.0, 0.001], "certified_negative": [1.0, 1.0]}
    runs = [record("sgd", seed, **at) for seed in range(10)]
    assert judge(Study(runs), CLAIM["sgd-ends-at-a-saddle"], family=FAMILY).verdict == REPRODUCED
    runs[3] = dataclasses.replace(runs[3], diverged=1)
    found = judge(Study(runs), CLAIM["sgd-ends-at-a-saddle"], family=FAMILY)
    assert found.verdict == UNDECIDED
    assert "1 of them give no number" in found.sentence


# Where nothing is decided


@pytest.mark.parametrize("n", [1, 5, 9])
def test_too_few_seeds_decide_nothing_and_the_sentence_says_how_many_would(n):
    found = judge(losses([10.0] * n), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    assert found.verdict == UNDECIDED
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    assert found.sentence.startswith(
        f"Undecided: over {seeds} the interquartile mean is 10.0 and 10 are needed to judge "
        f"{FAMILY} claims at 95 %;"
    )
    assert "[" not in found.sentence
    assert np.isnan(found.summary.simultaneous).all()


def test_a_claim_alone_needs_fewer_seeds_than_among_many():
    study, claim = losses([10.0] * 6), CLAIM["sgd-test-loss-tenfold"]
    assert judge(study, claim, family=1).verdict == REPRODUCED
    assert judge(study, claim, family=2).verdict == UNDECIDED


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_without_runs_nothing_is_decided(claim):
    found = judge(Study([]), claim, family=FAMILY)
    assert found.verdict == UNDECIDED
    assert found.sentence == "Undecided: the runs that would tell were not made."
    assert (found.values, found.runs, found.summary.seeds) == ({}, (), 0)


@pytest.mark.parametrize(("lost", "words"), [(1, "1 of them"), (3, "3 of them")])
def test_diverged_runs_leave_no_interval(lost, words):
    study = losses([10.0] * SEEDS)
    runs = [
        dataclasses.replace(r, diverged=4)
        if r.config.seed < lost and r.config.optimizer == "sgd"
        else r
        for r in study.records
    ]
    found = judge(Study(runs), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    assert found.verdict == UNDECIDED
    assert np.isnan([*found.summary.interval, *found.summary.simultaneous]).all()
    assert [found.values[seed] for seed in range(lost)] == [INF] * lost
    assert f"{words} give no number (a run diverged" in found.sentence
    assert "[" not in found.sentence


def test_a_diverged_run_that_is_compared_with_decides_nothing_either():
    runs = [
        dataclasses.replace(r, diverged=4) if r.key == "rmsprop-1x32-drawn-appendix-2" else r
        for r in losses([10.0] * SEEDS).records
    ]
    found = judge(Study(runs), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    assert found.values[2] == 0.0
    assert found.verdict == UNDECIDED


# Which runs are read


def test_runs_are_paired_by_seed_and_those_without_a_partner_left_out():
    study = losses(np.arange(1.0, 5.0))
    study.records.append(record("sgd", 7, test_loss_dropout=1.0))
    study.records.append(record("rmsprop", 8, test_loss_dropout=1.0))
    found = judge(study, CLAIM["sgd-test-loss-tenfold"])
    assert found.values == pytest.approx({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0})
    of_pairs = {f"{name}-1x32-drawn-appendix-{s}" for name in ("sgd", "rmsprop") for s in range(4)}
    assert set(found.runs) == of_pairs
    assert len(found.runs) == len(of_pairs)


def test_a_variant_reads_its_own_split_losses_and_optimizer():
    claim = CLAIM["sgd-test-loss-tenfold"]
    columns = {"test_loss_dropout": 1.0, "test_loss": 2.0}
    runs = [
        record("sgd", 0, **{name: 12 * v for name, v in columns.items()}),
        record("rmsprop", 0, test_loss_dropout=1.0, test_loss=4.0),
        record("rmsprop-tf1", 0, test_loss_dropout=3.0, test_loss=6.0),
        record("sgd", 0, protocol="text", test_loss_dropout=7.0, test_loss=5.0),
        record("rmsprop", 0, protocol="text", test_loss_dropout=1.0, test_loss=1.0),
    ]
    found = {str(v): judge(Study(runs), claim, v).values for v in VARIANTS}
    assert found == {
        "appendix, dropout on": {0: 12.0},
        "appendix, dropout off": {0: 6.0},
        "text, dropout on": {0: 7.0},
        "text, dropout off": {0: 5.0},
        "appendix, dropout on, rmsprop-tf1": {0: 4.0},
    }
    assert Variant("appendix", dropout=True) == PRIMARY


def test_runs_of_another_start_network_or_rate_are_other_runs():
    wanted = record("sgd", 1)
    config = dataclasses.replace(wanted.config, init_learning_rate=0.1, seed=2)
    faster = dataclasses.replace(wanted, task=Task(config=config))
    study = Study(
        [record("sgd", 3, start="saddle"), record("sgd", 4, network=(1, 128)), faster, wanted]
    )
    assert study.runs("appendix", (1, 32), "sgd") == {1: wanted}
    assert study.runs("appendix", (1, 32), "sgd", rate=0.1) == {2: faster}
    assert list(study.runs("appendix", (1, 32), "sgd", start="saddle")) == [3]


# Sentences and JSON


def test_the_sentence_has_the_summarys_numbers():
    found = judge(losses(10 * np.exp(noise(0.2))), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    value, (interval, simultaneous) = numbers(found.sentence)
    assert value == pytest.approx(found.summary.value, rel=5e-3)
    assert interval == pytest.approx(found.summary.interval, rel=5e-3)
    assert simultaneous == pytest.approx(found.summary.simultaneous, rel=5e-3)
    assert interval != simultaneous
    assert found.sentence.startswith("Reproduced: over 10 seeds the interquartile mean is ")
    assert f"(95 %), [{show(simultaneous[0])}" in found.sentence
    assert f"with all {FAMILY} claims held at once; the claim needs 5.00 to 20.0." in found.sentence


@pytest.mark.parametrize(
    ("claim", "needs"),
    [
        ("rmsprop-beats-sgd", "more than 1.00. The report's own numbers give 11.7."),
        ("wide-trains-well", "at most 1.25."),
        ("gradient-falls-at-the-rate", "at most -0.250. The report's own numbers give -0.250."),
        ("sgd-ends-at-a-saddle", "0.500 to 1.00."),
        (
            "width-tenfold",
            "5.00 to 20.0. The report's own numbers give 1.84, which is not what it says.",
        ),
    ],
)
def test_the_sentence_ends_with_the_region_and_the_reports_own_numbers(claim, needs):
    runs = []
    for optimizer in ("sgd", "rmsprop"):
        for network in ((1, 32), (1, 128), (1, 512), (1, 1024)):
            columns = {"test_loss_dropout": 1.0, "train_loss_dropout": 1.0}
            norms = {"gradient_norm": [1, 1, 1], "certified_negative": [1, 1, 1]}
            runs.append(record(optimizer, network=network, **columns, **norms))
    found = judge(Study(runs), CLAIM[claim], family=FAMILY)
    assert found.sentence.endswith(f"; the claim needs {needs}")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.00"),
        (0.00092, "9.20e-04"),
        (0.0108, "0.0108"),
        (0.5, "0.500"),
        (10.0, "10.0"),
        (97.0, "97.0"),
        (123.4, "123"),
        (-0.25, "-0.250"),
        (1e6, "1.00e+06"),
        (NAN, "–"),
        (INF, "∞"),
        (-INF, "-∞"),
    ],
)
def test_numbers_are_shown_to_three_digits(value, words):
    assert show(value) == words


def strict(value):
    return json.loads(json.dumps(value, allow_nan=False))


def test_a_verdict_is_strict_json_whatever_it_lacks():
    summary = Summary(INF, (-INF, NAN), (NAN, INF), 3)
    claim = CLAIM["rmsprop-intersects-more"]
    values = {0: NAN, 1: INF, 2: 3.5}
    content = strict(Verdict(claim, PRIMARY, UNDECIDED, summary, values, ("a",), "So.").to_dict())
    assert content["value"] is None
    assert content["interval"] == content["simultaneous_interval"] == [None, None]
    assert (content["region"], content["report"]) == ([0.0, None], None)
    assert content["values"] == {"0": None, "1": None, "2": 3.5}
    assert (content["variant"], content["runs"]) == ("appendix, dropout on", ["a"])


def test_json_has_the_same_numbers_as_the_verdict():
    found = judge(losses(10 * np.exp(noise(0.2))), CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    content = strict(found.to_dict())
    assert (content["claim"], content["verdict"]) == ("sgd-test-loss-tenfold", REPRODUCED)
    assert content["value"] == found.summary.value
    assert tuple(content["interval"]) == found.summary.interval
    assert tuple(content["simultaneous_interval"]) == found.summary.simultaneous
    assert content["values"] == {str(s): v for s, v in found.values.items()}
    assert (content["region"], content["seeds"]) == ([5.0, 20.0], 10)
    assert (content["sentence"], content["runs"]) == (found.sentence, list(found.runs))


def test_all_verdicts_of_no_runs_and_of_some_are_strict_json():
    for study in (Study([]), losses([INF, 0.0, 1.0]), losses([2.0] * 10, column="train_loss")):
        for verdict in judge_all(study):
            assert strict(verdict.to_dict())["claim"] == verdict.claim.id


# The registry


def test_claims_are_told_apart_and_well_formed():
    assert len(CLAIM) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.scale in ("log", "linear", "share")
        assert claim.region[0] < claim.region[1]
        assert claim.scale != "log" or claim.region[0] >= 0
        assert claim.scale != "share" or (claim.region[0] >= 0 and claim.region[1] <= 1)
        assert claim.section
        assert claim.says
        assert claim.statistic


def test_the_seeds_of_the_plan_can_decide_all_claims_at_once():
    assert least_seeds(family_level(len(CLAIMS))) <= SEEDS
    everyone = summarize_share(np.ones(SEEDS, dtype=bool), claims=len(CLAIMS))
    for claim in CLAIMS:
        if claim.scale == "share":
            assert decide(everyone.simultaneous, claim.region) == REPRODUCED


def test_what_the_report_gives_is_computed_from_its_tables():
    train, test = ({t: row[i] for t, row in REPORT_TABLES.items()} for i in (2, 3))
    expected = {
        "sgd-test-loss-tenfold": test["5.1"] / test["5.2"],
        "sgd-train-loss": train["5.1"] / train["5.2"],
        "rmsprop-beats-sgd": test["5.1"] / test["5.2"],
        "sgd-underfits": test["5.1"] / train["5.1"],
        "width-tenfold": test["5.2"] / test["5.3"],
        "wider-is-better": min(test["5.2"] / test["5.3"], train["5.2"] / train["5.3"]),
        "deeper-is-better": test["5.3"] / test["5.4"],
        **{f"table-{table}-test-loss": loss for table, loss in test.items()},
    }
    assert {id: CLAIM[id].report for id in expected} == pytest.approx(expected)
    for table, loss in test.items():
        assert CLAIM[f"table-{table}-test-loss"].region == pytest.approx((loss / 2, loss * 2))
    low, high = CLAIM["sgd-train-loss"].region
    assert low < train["5.1"] / train["5.2"] < high


def planned(task):
    """A record of a planned task in which all losses are one."""
    ones = dict.fromkeys(
        ("train_loss", "test_loss", "train_loss_dropout", "test_loss_dropout"), np.ones(3)
    )
    norms = {"gradient_norm": np.ones(3), "certified_negative": np.ones(3)}
    made = record(predictions=crossing(2), displacement=np.ones(3), **ones, **norms)
    return dataclasses.replace(made, key=task.key("0", {}), task=task)


def test_the_plan_trains_what_every_claim_is_about_on_every_seed():
    study = Study([planned(task) for task in plan({}, Scope())])
    by_id = {verdict.claim.id: verdict for verdict in judge_all(study)}
    assert {id: verdict.summary.seeds for id, verdict in by_id.items()} == dict.fromkeys(
        CLAIM, SEEDS
    )
    assert all(set(verdict.values) == set(range(SEEDS)) for verdict in by_id.values())
    assert f"with all {FAMILY} claims held at once" in by_id["wider-is-better"].sentence
    # All losses are alike, so that no factor of ten is seen.
    assert by_id["width-tenfold"].verdict == NOT_REPRODUCED


# What is read from a record


@pytest.mark.parametrize(
    ("rate", "steps"),
    # The first t with (1 + rate)^t ≥ e.
    [(0.01, 101), (0.1, 11), (1.0, 2), (-0.5, INF)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_escape_step_is_when_the_distance_has_grown_e_fold(rate, steps, sign):
    t = np.arange(200)
    distance = sign * 1e-3 * (1 + rate) ** np.minimum(t, 190.0)
    run = record(start="saddle", displacement=distance, step=3.0 * t)
    assert escape_step(run) == 3 * steps


def test_growth_to_the_other_side_is_an_escape_and_of_exactly_e_too():
    assert escape_step(record(displacement=[1.0, -np.e, 0.5], step=[0, 1, 2])) == 1
    assert escape_step(record(displacement=[1.0, 2.718, 2.718], step=[0, 1, 2])) == INF


def with_mean_square(step, exponent):
    """Norms whose mean square so far is exactly t^(2 exponent), after a huge start."""
    count = np.arange(1, len(step))
    sums = count * step[1:] ** (2 * exponent)
    return np.sqrt(np.concatenate([[1e9], np.diff(sums, prepend=0.0)]))


@pytest.mark.parametrize("exponent", [-0.25, -0.4, 0.0])
def test_the_exponent_of_a_power_law_is_recovered(exponent):
    step = np.arange(30) * 20.0
    run = record(step=step, gradient_norm=with_mean_square(step, exponent))
    assert gradient_exponent(run) == pytest.approx(exponent, abs=1e-6)


def test_noise_does_not_converge():
    rng = np.random.default_rng(0)
    step = np.arange(51) * 18.0
    found = [
        gradient_exponent(record(step=step, gradient_norm=np.abs(rng.normal(size=51))))
        for _ in range(200)
    ]
    # The smallest norm so far would have fallen with an exponent of -0.9.
    assert abs(np.mean(found)) < 0.15


def test_the_exponent_passes_over_epochs_that_were_not_measured():
    step = np.arange(21) * 20.0
    norm = np.full(21, NAN)
    norm[::5] = with_mean_square(step[::5], -0.3)
    assert gradient_exponent(record(step=step, gradient_norm=norm)) == pytest.approx(-0.3)


def test_one_measurement_or_none_has_no_exponent():
    assert math.isnan(gradient_exponent(record()))
    assert math.isnan(gradient_exponent(record(gradient_norm=[1.0, 1.0])))
    assert math.isnan(gradient_exponent(record(gradient_norm=[1.0, 0.5, NAN, NAN])))


def test_at_a_saddle_the_gradient_is_small_and_the_eigenvalue_certainly_negative():
    run = record(
        gradient_norm=[2.0, 0.021, 0.02, 0.001, 0.001, NAN, 0.001],
        certified_negative=[1, 1, 1, 0, 1, 1, NAN],
    )
    assert run.at_saddle().tolist() == [False, False, True, False, True, False, False]
    assert run.at_saddle().dtype == bool
    assert record(test_loss=[1, 2, 3]).at_saddle().tolist() == [False] * 3


@pytest.mark.parametrize(
    ("above", "crossings"),
    [
        ([1, 1, 1, 1], 0),
        ([1, 1, -1, -1], 1),
        ([1, -1, 1, -1], 3),
        ([-1, 2, 3, -4, -5, 6], 3),
        ([0, 0, 0], 0),
        ([1, 0, 1], 0),
    ],
)
def test_intersections_are_changes_of_sides(above, crossings):
    actual = np.linspace(0.0, 5.0, len(above))
    predictions = {
        "actual": [*actual],
        "predicted": [*(actual + 0.1 * np.array(above))],
        "predicted_dropout": [*(actual + 1.0)],
    }
    run = record(predictions=predictions)
    assert run.intersections(dropout=False) == crossings
    assert run.intersections(dropout=True) == 0


def test_intersections_are_counted_in_the_newest_hundred_days():
    above = np.where(np.arange(250) < 152, (-1.0) ** np.arange(250), 1.0)
    predictions = {"actual": [0.0] * 250, "predicted": [*above], "predicted_dropout": [*-above]}
    # Days 150 to 249: above, below, and above from then on.
    assert record(predictions=predictions).intersections(dropout=False) == 2
    assert record(predictions=predictions).intersections(dropout=True) == 2


def test_without_predictions_there_is_no_number_of_intersections():
    assert math.isnan(record().intersections(dropout=True))


def test_the_last_value_is_the_last_and_infinite_for_losses_that_diverged():
    run = record(test_loss=[3.0, 2.0], lambda_min=[-1.0, -2.0])
    assert (run.last("test_loss"), run.last("lambda_min")) == (2.0, -2.0)
    assert math.isnan(run.last("never_measured"))
    diverged = dataclasses.replace(run, diverged=2)
    assert (diverged.last("test_loss"), diverged.last("lambda_min")) == (INF, -2.0)


def test_the_table_does_not_depend_on_which_was_finished_first():
    # Keys are hashes, in another order than the seeds.
    runs = [
        dataclasses.replace(r, key=f"{9 - r.config.seed}-{r.config.optimizer}")
        for r in losses([1.0, 2.0, 3.0]).records
    ]
    table = records.table(runs)
    assert table.equals(records.table(runs[::-1]))
    assert table["run"].tolist() == [
        f"{9 - s}-{name}" for name in ("rmsprop", "sgd") for s in range(3)
    ]
    assert table["test_loss_dropout"].tolist() == pytest.approx(
        [1e-4, 2e-4, 3e-4, 1e-4, 4e-4, 9e-4]
    )


# Files


def test_a_record_survives_its_file(tmp_path):
    before = record(
        "adam",
        seed=4,
        protocol="text",
        start="saddle",
        diverged=3,
        predictions={"dates": ["2020-01-02"], "actual": [0.1], "predicted": [1 / 3]},
        gradient_norm=[NAN, 1 / 3, 5e-324, -0.0],
        lambda_max=[INF, 1.0, -INF, 1e308],
    )
    path = tmp_path / f"{before.key}.json"
    records.save(path, before)
    after = records.load(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    for field in dataclasses.fields(Record):
        if field.name != "epochs":
            assert getattr(after, field.name) == getattr(before, field.name)
    assert list(after.epochs) == list(before.epochs)
    # What is not finite is not known.
    expected = {**before.epochs, "lambda_max": np.array([NAN, 1.0, NAN, 1e308])}
    for name, values in expected.items():
        assert after.epochs[name].dtype == np.float64
        np.testing.assert_array_equal(after.epochs[name], values)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def changed(text, **changes):
    content = {**json.loads(text), **changes}
    return json.dumps({name: value for name, value in content.items() if value != "left out"})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: changed(text, epochs="left out"),
        lambda text: changed(text, seconds="left out"),
        lambda text: changed(text, unheard_of=1),
        lambda text: changed(text, task={}),
        lambda text: changed(text, epochs={"step": ["many"]}),
        lambda text: changed(text, epochs=[1.0]),
        lambda text: text.replace('"sgd"', '"steepest"'),
        lambda text: text.replace('"lstm_size"', '"units"'),
        lambda text: "\udcff",
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, damage):
    path = tmp_path / "record.json"
    records.save(path, record("sgd", test_loss=1.0))
    text = damage(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as caught:
        records.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged (")
    assert message.endswith("; delete it and run the study again")
    assert "\n" not in message


def test_a_file_that_is_not_there_is_named_too(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json is damaged \(.*No such file"):
        records.load(tmp_path / "gone.json")


def test_a_diverged_run_is_named_wherever_it_stands_in_a_ratio():
    claim = CLAIM["sgd-test-loss-tenfold"]
    for lost in ("rmsprop", "sgd", "both"):
        study = losses([10.0] * 10)
        study.records = [
            dataclasses.replace(r, diverged=4)
            if r.config.seed == 2 and lost in (r.config.optimizer, "both")
            else r
            for r in study.records
        ]
        verdict = judge(study, claim, family=len(CLAIMS))
        assert verdict.verdict == UNDECIDED
        assert "over 10 seeds" in verdict.sentence
        assert "1 of them give no number (a run diverged" in verdict.sentence


def test_a_run_that_diverges_moves_the_interquartile_mean_no_further_than_the_worst():
    study = losses(np.arange(1.0, 11) ** 2)
    study.records = [
        dataclasses.replace(r, diverged=4)
        if (r.config.seed, r.config.optimizer) == (9, "sgd")
        else r
        for r in study.records
    ]
    claim = CLAIM["sgd-test-loss-tenfold"]
    logs = np.log(np.arange(1.0, 11) ** 2)
    assert np.log(judge(study, claim).summary.value) == pytest.approx(logs[2:8].mean())


def test_a_crossing_through_equality_counts_once():
    series = (([1.0, 0.0, -1.0], 1.0), ([1.0, 0.0, 1.0], 0.0), ([1.0, 0.0, 0.0, -1.0, 1.0], 2.0))
    for above, crossings in series:
        made = losses([1.0]).records[0]
        predictions = {"dates": [], "actual": [0.0] * len(above)}
        predictions |= {"predicted": above, "predicted_dropout": above}
        run = dataclasses.replace(made, predictions=predictions)
        assert run.intersections(dropout=False) == crossings


def test_equal_is_neither_better_nor_worse_but_not_what_was_claimed():
    assert decide((1.0, 1.0), (1.0, math.inf), strict=True) == NOT_REPRODUCED
    assert decide((1.0, 1.0), (1.0, math.inf)) == REPRODUCED
    assert decide((1.0, 2.0), (1.0, math.inf), strict=True) == UNDECIDED
    assert decide((math.nextafter(1.0, 2.0), 2.0), (1.0, math.inf), strict=True) == REPRODUCED
    assert all(claim.strict for claim in CLAIMS if claim.region[1] == math.inf)


@pytest.mark.parametrize("key", ["../../elsewhere", "/etc", "0123456789abcdef"])
def test_a_record_that_names_another_key_is_refused(key, tmp_path):
    # Its key becomes the name of a folder that is replaced.
    path = tmp_path / "00000000000000aa.json"
    records.save(path, dataclasses.replace(record(), key=key))
    with pytest.raises(UserError, match="is damaged"):
        records.load(path)
