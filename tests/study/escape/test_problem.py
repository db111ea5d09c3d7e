"""The problem of Staib et al."""

import math

import numpy as np
import pytest

from stock_rnn.study.escape import problem

SMALL, SWAPPED = problem.DEVIATIONS


def test_rmsprop_leaves_as_the_variance_says_where_the_noise_is_small_along_the_way_out():
    steps, across = problem.escapes(SMALL, "rmsprop", 0.01, 4, seed=7)
    assert steps.shape == (4, problem.STARTS)
    assert np.median(steps) == pytest.approx(problem.theory(SMALL, 0.01, 0.9), rel=0.15)
    # √(ε/2): across, D is 1.
    assert across == pytest.approx(math.sqrt(0.005), rel=0.15)


def test_rmsprop_enlarges_the_noise_across_where_that_is_small():
    _, across = problem.escapes(SWAPPED, "rmsprop", 0.03, 4, seed=7)
    # D is 0.1: noise and curvature across are ten times as large.
    assert across == pytest.approx(math.sqrt(0.03 / 2 / 0.1) * 0.1, rel=0.25)


def test_a_run_that_does_not_escape_has_no_steps(monkeypatch):
    monkeypatch.setattr(problem, "LIMIT", 10)
    steps, _ = problem.escapes(SMALL, "sgd", 1e-6, 1, seed=0)
    assert np.isinf(steps).all()
    assert problem.theory(SMALL, 1e-6, None) == math.inf
