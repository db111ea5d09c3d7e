"""Statistics of the claims on made-up records."""

import dataclasses
import math

import numpy as np
import pytest

from stock_rnn.study.judge import measures
from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.judge.measures import escape_step, growth, sample
from stock_rnn.study.judge.variants import PRIMARY, VARIANTS, Variant
from stock_rnn.study.judge.verdicts import judge
from stock_rnn.study.records import Study
from tests.study.cases import INF, NAN, crossing_predictions, made_record, study_of_ratios

CLAIM = {claim.id: claim for claim in CLAIMS}


def diverged(record):
    return dataclasses.replace(record, diverged=4)


# Which runs are read


def test_runs_are_paired_by_seed_and_a_run_without_partner_is_left_out():
    study = study_of_ratios(np.arange(1.0, 5.0))
    study.records.append(made_record("sgd", 7, test_loss_dropout=1.0))
    study.records.append(made_record("rmsprop", 8, test_loss_dropout=1.0))
    found = judge(study, CLAIM["sgd-test-loss"])
    assert found.values == pytest.approx({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0})
    of_pairs = {f"{name}-1x32-drawn-appendix-{s}" for name in ("sgd", "rmsprop") for s in range(4)}
    assert set(found.runs) == of_pairs
    assert len(found.runs) == len(of_pairs)


def test_a_variant_reads_its_own_split_losses_and_optimizer():
    claim = CLAIM["sgd-test-loss"]
    columns = {"test_loss_dropout": 1.0, "test_loss": 2.0}
    runs = [
        made_record("sgd", 0, **{name: 12 * v for name, v in columns.items()}),
        made_record("rmsprop", 0, test_loss_dropout=1.0, test_loss=4.0),
        made_record("rmsprop-tf1", 0, test_loss_dropout=3.0, test_loss=6.0),
        made_record("sgd", 0, protocol="text", test_loss_dropout=7.0, test_loss=5.0),
        made_record("rmsprop", 0, protocol="text", test_loss_dropout=1.0, test_loss=1.0),
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


# Persistence in the networks' place


def test_persistence_stands_in_every_networks_place():
    losses = {"train_loss_dropout": 5.0, "test_loss_dropout": 7.0}
    still = made_record("sgd", predictions=crossing_predictions(9), **losses)
    study = Study([still, made_record("rmsprop", **losses)])
    found = {id: sample(CLAIM[id].rule, study, PRIMARY) for id in CLAIM}
    # The records of `made_record` have persistence 2e-4 in training and 1e-4 in the test.
    assert found["table-5.1-test-loss"].persistence == (1e-4,)
    assert found["table-5.1-train-loss"].persistence == (2e-4,)
    assert found["sgd-test-loss"].persistence == (1.0,)
    assert found["sgd-underfits"].persistence == (1.0,)
    # Its forecast is zero, as the actual changes are here: no crossing.
    assert found["sgd-never-intersects"].persistence == (0.0,)
    assert found["sgd-never-intersects"].values == {0: 9.0}
    assert found["sgd-ends-at-a-saddle"].persistence == ()


def test_of_the_lowest_only_the_first_network_is_replaced():
    names, losses = ("rmsprop", "sgd", "adam", "rmsprop-tf1"), (3e-4, 4e-4, 5e-5, 1e-4)
    runs = [made_record(n, train_loss_dropout=v) for n, v in zip(names, losses, strict=True)]
    found = sample(CLAIM["rmsprop-nears-the-optimum"].rule, Study(runs), PRIMARY)
    assert found.values == pytest.approx({0: 6.0})
    assert found.persistence == pytest.approx((4.0,))


# Losses


def with_losses(train, test, **settings):
    return made_record(train_loss_dropout=train, test_loss_dropout=test, **settings)


def test_generalization_is_in_units_of_persistence():
    # Persistence's ratio is a half: a ratio of 2 is four times that.
    assert measures.generalization([with_losses(3.0, 6.0)], True) == pytest.approx(4.0)


def test_accuracy_is_the_geometric_mean_over_networks():
    runs = [with_losses(1.0, v) for v in (8.0, 1.0, 1.0, 2.0, 6.0, 3.0)]
    assert measures.mean_ratio(runs, True, set="test") == pytest.approx((8 * 0.5 * 2) ** (1 / 3))


@pytest.mark.parametrize(
    ("losses", "ratio"),
    # Both sizes below and above double once a factor: 32 to 512 are four doublings.
    [((1.0, 16.0, 32.0), 1.0), ((1.0, 1.0, 3.0), 3.0), ((16.0, 1.0, 1.0), 2.0), ((1, 16, 16), 0.5)],
)
def test_the_turn_compares_a_doubling_above_512_with_one_below(losses, ratio):
    sizes = (32, 512, 1024)
    runs = [with_losses(1.0, v, network=(1, n)) for v, n in zip(losses, sizes, strict=True)]
    assert measures.turn(runs, True, set="test") == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("sgd", "rmsprop", "ratio"),
    [
        ([9, 4, 3, 2, 2], [9, 1, 1, 1, 1], 3.0),
        ([9, 1, 1, 1, 1], [9, 4, 3, 2, 2], 1 / 3),
        ([9, 8, 7, 6, 5], [9, 8, 7, 6, 5], 1.0),
        # The epoch before training does not count.
        ([1, 2, 2, 2, 2], [1, 2, 2, 2, 2], 1.0),
    ],
)
def test_speed_is_the_epochs_to_the_higher_of_both_final_losses(sgd, rmsprop, ratio):
    runs = [made_record(train_loss_dropout=losses) for losses in (sgd, rmsprop)]
    assert measures.epochs_ratio(runs, True, set="train") == pytest.approx(ratio)


def test_a_run_that_diverged_never_gets_there():
    one = made_record(train_loss_dropout=[3, 2, 1])

    def ratio(*runs):
        return measures.epochs_ratio(runs, True, set="train")

    assert ratio(diverged(one), one) == INF
    assert ratio(one, diverged(one)) == 0.0
    assert math.isnan(ratio(diverged(one), diverged(one)))
    assert measures.ratio([diverged(one), one], True, set="train") == INF
    assert measures.ratio([one, diverged(one)], True, set="train") == 0.0


def test_dropout_is_judged_with_dropout_off():
    runs = [made_record(test_loss=v, test_loss_dropout=9.0) for v in (3.0, 2.0)]
    assert measures.ratio_off(runs, True, set="test") == 1.5


# Lines and saddles


LINES = {
    "objective_loss": 1.0,
    "loss_along_v_min": 0.6,
    "loss_along_gradient": 0.8,
    "loss_along_random": 0.9,
    "loss_between_permuted": 3.0,
}


def test_lines_are_compared_by_how_low_they_lead():
    run = [made_record(**LINES)]
    ratio = measures.descent_ratio
    assert ratio(run, True, along="v_min", than="gradient") == pytest.approx(2.0)
    assert ratio(run, True, along="random", than="gradient") == pytest.approx(0.5)
    assert measures.worth(run, True) == pytest.approx(0.6)
    assert measures.midway(run, True) == pytest.approx(3.0)


def test_a_line_that_leads_nowhere_is_worth_nothing():
    run = [made_record(**{**LINES, "loss_along_v_min": 1.0})]
    assert measures.descent_ratio(run, True, along="v_min", than="gradient") == 0.0
    unmeasured = [made_record(test_loss=1.0)]
    assert math.isnan(measures.worth(unmeasured, True))


def test_a_diverged_run_is_not_held_by_a_saddle():
    run = [diverged(made_record(**LINES))]
    assert measures.descent_ratio(run, True, along="v_min", than="gradient") == 0.0
    assert measures.worth(run, True) == INF
    assert measures.gradient_exponent(run, True) == INF
    assert growth(run[0]) == INF
    assert (measures.leaves(run, True), measures.stays(run, True)) == (1.0, 0.0)


def test_growth_is_by_step_and_needs_no_escape():
    fast, slow = (
        made_record(start="saddle", displacement=1e-3 * np.exp(rate * np.arange(5.0)))
        for rate in (0.2, 0.02)
    )
    # `made_record` has 20 steps a row.
    assert growth(fast) == pytest.approx(0.01)
    assert measures.growth_difference([fast, slow], True) == pytest.approx(0.009)
    assert measures.leaves([fast], True) == 0.0


def test_negative_curvature_anywhere_is_enough():
    of = measures.has_negative_curvature
    assert of([made_record(objective_certified_negative=[1.0, NAN, 0.0])], True) == 1.0
    assert of([made_record(objective_certified_negative=[0.0, NAN, 0.0])], True) == 0.0
    assert math.isnan(of([made_record()], True))


def test_the_flow_of_two_cells_is_compared():
    lstm, rnn = made_record(flow_of_state=0.8, flow_of_memory=0.9), made_record(flow_of_state=0.5)
    assert measures.flow([lstm], True, of="memory") == 0.9
    assert measures.flow_ratio([lstm, rnn], True, of="state") == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("rate", "steps"),
    # The first t with (1 + rate)^t ≥ e.
    [(0.01, 101), (0.1, 11), (1.0, 2), (-0.5, INF)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_escape_step_is_the_first_at_which_the_distance_has_grown_by_e(rate, steps, sign):
    t = np.arange(200)
    distance = sign * 1e-3 * (1 + rate) ** np.minimum(t, 190.0)
    run = made_record(start="saddle", displacement=distance, step=3.0 * t)
    assert escape_step(run) == 3 * steps


def test_either_side_counts_as_escape_and_exactly_e_does_too():
    assert escape_step(made_record(displacement=[1.0, -np.e, 0.5], step=[0, 1, 2])) == 1
    assert escape_step(made_record(displacement=[1.0, 2.718, 2.718], step=[0, 1, 2])) == INF


# The exponent of the gradient norm


def exponent_of(record):
    return measures.gradient_exponent([record], True)


def with_mean_square(step, exponent):
    """Norms whose mean square so far is exactly t^(2 exponent), after a huge start."""
    count = np.arange(1, len(step))
    sums = count * step[1:] ** (2 * exponent)
    return np.sqrt(np.concatenate([[1e9], np.diff(sums, prepend=0.0)]))


@pytest.mark.parametrize("exponent", [-0.25, -0.4, 0.0])
def test_the_exponent_of_a_power_law_is_recovered(exponent):
    step = np.arange(30) * 20.0
    run = made_record(step=step, objective_gradient_norm=with_mean_square(step, exponent))
    assert exponent_of(run) == pytest.approx(exponent, abs=1e-6)


def test_noise_does_not_converge():
    rng = np.random.default_rng(0)
    step = np.arange(51) * 18.0
    found = [
        exponent_of(made_record(step=step, objective_gradient_norm=np.abs(rng.normal(size=51))))
        for _ in range(200)
    ]
    # The smallest norm so far would have fallen with an exponent of -0.9.
    assert abs(np.mean(found)) < 0.15


def test_the_exponent_skips_epochs_that_were_not_measured():
    step = np.arange(21) * 20.0
    norm = np.full(21, NAN)
    norm[::5] = with_mean_square(step[::5], -0.3)
    assert exponent_of(made_record(step=step, objective_gradient_norm=norm)) == pytest.approx(-0.3)


def test_the_exponent_skips_epochs_with_a_gradient_of_zero():
    # Log of a mean square of zero would be minus infinity.
    step = np.arange(11) * 20.0
    norm = np.full(11, 0.5)
    norm[1] = 0.0
    assert exponent_of(made_record(step=step, objective_gradient_norm=norm)) == pytest.approx(0.0)


def test_fewer_than_two_measurements_have_no_exponent():
    assert math.isnan(exponent_of(made_record()))
    assert math.isnan(exponent_of(made_record(objective_gradient_norm=[1.0, 1.0])))
    assert math.isnan(exponent_of(made_record(objective_gradient_norm=[1.0, 0.5, NAN, NAN])))
