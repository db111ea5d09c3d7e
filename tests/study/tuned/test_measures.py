"""Time to a target, and performance profiles."""

import dataclasses
import math

import numpy as np
import pytest

from stock_rnn.study.tuned.measures import (
    epochs_to,
    performance_ratios,
    profile,
    seconds,
    seconds_to,
)
from tests.study.tuned.cases import EPOCHS, run_at

INF = math.inf


def test_the_epoch_that_builds_the_graph_counts_as_the_others():
    spent = np.array([math.nan, 5.0, *[0.01] * (EPOCHS - 1)])
    total = seconds(run_at("sgd", 1e-3, 0, train_seconds=spent))
    assert total[0] == 0.0
    np.testing.assert_allclose(np.diff(total), 0.01)


def test_the_target_is_reached_at_the_first_loss_that_is_not_above_it():
    losses = np.full(EPOCHS + 1, 4.0)
    losses[[3, 7]] = 2.0, 1.0
    run = run_at("sgd", 1e-3, 0, validation_loss=losses)
    assert epochs_to(run, 2.0) == 3.0
    assert epochs_to(run, 1.5) == 7.0
    assert seconds_to(run, 2.0) == pytest.approx(0.03)
    assert epochs_to(run, 0.5) == seconds_to(run, 0.5) == INF


def test_the_weights_before_training_and_a_run_that_diverged_reach_no_target():
    losses = np.full(EPOCHS + 1, 4.0)
    losses[0] = 1.0
    run = run_at("sgd", 1e-3, 0, validation_loss=losses)
    assert epochs_to(run, 2.0) == INF
    low = run_at("sgd", 1e-3, 0, validation=1e-9)
    assert epochs_to(low, 2.0) == 1.0
    assert epochs_to(dataclasses.replace(low, diverged=3), 2.0) == INF


def test_performance_ratios_are_costs_over_the_lowest_of_their_problem():
    costs = np.array([[1.0, 2.0, INF], [6.0, 3.0, 12.0], [INF, INF, INF]])
    np.testing.assert_array_equal(
        performance_ratios(costs), [[1.0, 2.0, INF], [2.0, 1.0, 4.0], [INF, INF, INF]]
    )


def test_a_profile_is_the_share_of_problems_within_a_factor():
    ratios = [1.0, 2.0, 2.0, INF, 5.0]
    tau, share = profile(ratios)
    assert tau.tolist() == [1.0, 2.0, 5.0]
    assert share.tolist() == [0.2, 0.6, 0.8]
    # By its definition, at factors between the steps too.
    for factor in (1.0, 1.5, 2.0, 4.9, 5.0, 100.0):
        counted = np.mean(np.array(ratios) <= factor)
        assert share[np.searchsorted(tau, factor, side="right") - 1] == pytest.approx(counted)
    assert profile([INF, INF])[1].tolist() == [0.0]
