"""Statistics of the claims on made-up records."""

import math

import numpy as np
import pytest

from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.judge.measures import escape_step, gradient_exponent
from stock_rnn.study.judge.variants import PRIMARY, VARIANTS, Variant
from stock_rnn.study.judge.verdicts import NOT_REPRODUCED, REPRODUCED, judge
from stock_rnn.study.records import Study
from tests.study.cases import INF, NAN, made_record, study_of_ratios

CLAIM = {claim.id: claim for claim in CLAIMS}
FAMILY = len(CLAIMS)


# Which runs are read


def test_runs_are_paired_by_seed_and_a_run_without_partner_is_left_out():
    study = study_of_ratios(np.arange(1.0, 5.0))
    study.records.append(made_record("sgd", 7, test_loss_dropout=1.0))
    study.records.append(made_record("rmsprop", 8, test_loss_dropout=1.0))
    found = judge(study, CLAIM["sgd-test-loss-tenfold"], family=1)
    assert found.values == pytest.approx({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0})
    of_pairs = {f"{name}-1x32-drawn-appendix-{s}" for name in ("sgd", "rmsprop") for s in range(4)}
    assert set(found.runs) == of_pairs
    assert len(found.runs) == len(of_pairs)


def test_a_variant_reads_its_own_split_losses_and_optimizer():
    claim = CLAIM["sgd-test-loss-tenfold"]
    columns = {"test_loss_dropout": 1.0, "test_loss": 2.0}
    runs = [
        made_record("sgd", 0, **{name: 12 * v for name, v in columns.items()}),
        made_record("rmsprop", 0, test_loss_dropout=1.0, test_loss=4.0),
        made_record("rmsprop-tf1", 0, test_loss_dropout=3.0, test_loss=6.0),
        made_record("sgd", 0, protocol="text", test_loss_dropout=7.0, test_loss=5.0),
        made_record("rmsprop", 0, protocol="text", test_loss_dropout=1.0, test_loss=1.0),
    ]
    found = {str(v): judge(Study(runs), claim, v, family=1).values for v in VARIANTS}
    assert found == {
        "appendix, dropout on": {0: 12.0},
        "appendix, dropout off": {0: 6.0},
        "text, dropout on": {0: 7.0},
        "text, dropout off": {0: 5.0},
        "appendix, dropout on, rmsprop-tf1": {0: 4.0},
    }
    assert Variant("appendix", dropout=True) == PRIMARY


# Saddles


@pytest.mark.parametrize(
    ("sgd_leaves", "rmsprop_leaves", "verdict"),
    [(30, 5, REPRODUCED), (5, 30, NOT_REPRODUCED), (5, 5, NOT_REPRODUCED), (None, 5, REPRODUCED)],
)
def test_which_run_escapes_first(sgd_leaves, rmsprop_leaves, verdict):
    def left(optimizer, seed, step):
        gone = np.arange(50) >= (50 if step is None else step)
        return made_record(
            optimizer, seed, start="saddle", displacement=np.where(gone, -3e-3, 1e-3)
        )

    study = Study(
        [left("sgd", s, sgd_leaves) for s in range(10)]
        + [left("rmsprop", s, rmsprop_leaves) for s in range(10)]
    )
    assert judge(study, CLAIM["rmsprop-escapes-first"], family=FAMILY).verdict == verdict


@pytest.mark.parametrize(("loss", "holds"), [(0.5, 1.0), (1.0, 0.0), (2.0, 0.0)])
def test_passing_the_saddle_means_a_lower_training_loss(loss, holds):
    # Each procedure by its own training loss.
    ours = made_record("rmsprop", train_loss_dropout=loss, train_loss=9.0)
    study = Study([ours, made_record("sgd", train_loss_dropout=1.0, train_loss=1.0)])
    claim = CLAIM["rmsprop-passes-the-saddle"]
    assert judge(study, claim, family=1).values == {0: holds}
    assert judge(study, claim, Variant("appendix", dropout=False), family=1).values == {0: 0.0}


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


def with_mean_square(step, exponent):
    """Norms whose mean square so far is exactly t^(2 exponent), after a huge start."""
    count = np.arange(1, len(step))
    sums = count * step[1:] ** (2 * exponent)
    return np.sqrt(np.concatenate([[1e9], np.diff(sums, prepend=0.0)]))


@pytest.mark.parametrize("exponent", [-0.25, -0.4, 0.0])
def test_the_exponent_of_a_power_law_is_recovered(exponent):
    step = np.arange(30) * 20.0
    run = made_record(step=step, gradient_norm=with_mean_square(step, exponent))
    assert gradient_exponent(run) == pytest.approx(exponent, abs=1e-6)


def test_noise_does_not_converge():
    rng = np.random.default_rng(0)
    step = np.arange(51) * 18.0
    found = [
        gradient_exponent(made_record(step=step, gradient_norm=np.abs(rng.normal(size=51))))
        for _ in range(200)
    ]
    # The smallest norm so far would have fallen with an exponent of -0.9.
    assert abs(np.mean(found)) < 0.15


def test_the_exponent_skips_epochs_that_were_not_measured():
    step = np.arange(21) * 20.0
    norm = np.full(21, NAN)
    norm[::5] = with_mean_square(step[::5], -0.3)
    assert gradient_exponent(made_record(step=step, gradient_norm=norm)) == pytest.approx(-0.3)


def test_the_exponent_skips_epochs_with_a_gradient_of_zero():
    # Log of a mean square of zero would be minus infinity.
    step = np.arange(11) * 20.0
    norm = np.full(11, 0.5)
    norm[1] = 0.0
    assert gradient_exponent(made_record(step=step, gradient_norm=norm)) == pytest.approx(0.0)


def test_fewer_than_two_measurements_have_no_exponent():
    assert math.isnan(gradient_exponent(made_record()))
    assert math.isnan(gradient_exponent(made_record(gradient_norm=[1.0, 1.0])))
    assert math.isnan(gradient_exponent(made_record(gradient_norm=[1.0, 0.5, NAN, NAN])))
