"""Intervals by the papers' own words, on errors that drift; scores by hand and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from stock_rnn.forecasting.intervals import (
    _wilson,
    adapt,
    adaptive_conformal,
    conformal_quantile,
    dropout_reach,
    score_intervals,
    split_conformal,
)


def drifting(count, seed=0):
    """Errors whose scale grows eightfold in all, swings, and jumps back and forth: (count, 1)."""
    t = np.arange(count)
    scale = np.exp(np.log(8) * t / count + 0.8 * np.sin(t / 400)) * np.where(t % 3000 < 500, 3, 1)
    return np.abs(np.random.default_rng(seed).standard_t(4, count) * scale)[:, None]


errors_of_tests = st.lists(
    st.floats(0, 100, allow_nan=False).map(lambda x: round(x, 1)), min_size=1, max_size=60
)


@given(errors_of_tests, st.floats(0.01, 0.99))
def test_the_quantile_is_the_smallest_that_covers_enough(errors, coverage):
    needed = (len(errors) + 1) * coverage - 1e-9
    enough = [error for error in errors if sum(other <= error for other in errors) >= needed]
    assert conformal_quantile(sorted(errors), coverage) == min(enough, default=math.inf)


def test_whole_ranks_are_not_rounded_up():
    # (9 + 1) · 0.7 is 7.000000000000001 in floating point.
    assert conformal_quantile(np.arange(1.0, 10.0), 0.7) == 7.0
    assert conformal_quantile(np.arange(1.0, 10.0), 0.91) == math.inf


def test_split_conformal_intervals_are_those_of_the_errors_before_their_block():
    errors = np.random.default_rng(0).random((50, 2))
    reach = split_conformal(errors, 0.8, [20, 35], window=15)
    assert reach.shape == (30, 2)
    for column in range(2):
        first = sorted(errors[5:20, column])[math.ceil(16 * 0.8) - 1]
        second = sorted(errors[20:35, column])[math.ceil(16 * 0.8) - 1]
        assert set(reach[:15, column]) == {first}
        assert set(reach[15:, column]) == {second}
    assert np.isinf(split_conformal(errors, 0.99, [20])).all()


def by_the_paper(errors, coverage, first, step, window):
    """Gibbs and Candès's equation 2, with a sort at each step."""
    alpha, found = 1 - coverage, []
    for t in range(first, len(errors)):
        known = sorted(errors[max(0, t - window) : t])
        rank = math.ceil((1 - alpha) * (len(known) + 1))
        found.append(math.inf if rank > len(known) else known[rank - 1] if rank > 0 else 0.0)
        alpha += step * ((1 - coverage) - (errors[t] > found[-1]))
    return found


@pytest.mark.parametrize("window", [30, 1000])
def test_adaptive_intervals_follow_the_paper(window):
    # Rounded, so that errors are equal to a reach: those are covered.
    errors = drifting(600).round(1)
    errors = np.column_stack([errors[:, 0], errors[::-1, 0]])
    found = adaptive_conformal(errors, 0.83, 40, step=0.2, window=window)
    for column in range(2):
        expected = by_the_paper(errors[:, column].tolist(), 0.83, 40, 0.2, window)
        np.testing.assert_array_equal(found[:, column], expected)
    assert np.isinf(found).any()


def test_the_next_interval_is_that_of_one_example_more():
    errors = drifting(300)
    reach, following = adapt(errors, 0.9, 100, step=0.02, window=50)
    more = adaptive_conformal(np.vstack([errors, [[1.0]]]), 0.9, 100, step=0.02, window=50)
    np.testing.assert_array_equal(np.vstack([reach, following]), more)


@given(errors_of_tests, st.floats(0.05, 0.95), st.floats(0.001, 0.9))
def test_adaptive_coverage_is_within_the_papers_bound_for_any_errors(errors, coverage, step):
    # Proposition 4.1; errors of 0 are covered by any interval.
    column = np.array(errors)[:, None] + 0.1
    missed = np.mean(column > adaptive_conformal(column, coverage, 0, step=step))
    alpha = 1 - coverage
    bound = (max(alpha, coverage) + step) / (step * len(errors))
    assert abs(missed - alpha) <= bound + 1e-9


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_adaptive_intervals_cover_as_promised_under_drift(coverage):
    errors = drifting(10_250)
    reach = adaptive_conformal(errors, coverage, 250, window=250)
    found = score_intervals(errors[250:], reach, coverage)
    assert found.count == 10_000
    assert abs(found.coverage - coverage) <= 0.02
    # What is not adapted does not.
    fixed = score_intervals(errors[250:], split_conformal(errors, coverage, [250]), coverage)
    assert abs(fixed.coverage - coverage) > 0.03


def test_split_conformal_intervals_cover_as_promised_if_errors_are_exchangeable():
    errors = np.abs(np.random.default_rng(1).normal(size=(11_000, 1)))
    found = score_intervals(errors[1000:], split_conformal(errors, 0.9, [1000]), 0.9)
    assert abs(found.coverage - 0.9) <= 0.02
    assert found.width == pytest.approx(2 * norm.ppf(0.95), rel=0.1)


@settings(max_examples=30)
@given(st.integers(20, 79), st.integers(0, 2**32 - 1))
def test_an_interval_reads_no_error_of_its_own_or_of_later(cutoff, seed):
    rng = np.random.default_rng(seed)
    errors, spread = rng.random((80, 2)), rng.random((60, 2))
    changed = np.vstack([errors[:cutoff], 1000 * rng.random((80 - cutoff, 2))])
    blocks = [20, 40, 60]
    # A block's first interval, and those of a block that has begun.
    for method in (
        lambda e: adaptive_conformal(e, 0.7, 20, step=0.05, window=15),
        lambda e: split_conformal(e, 0.7, blocks, window=15),
        lambda e: dropout_reach(e, spread, 0.7, blocks, window=15),
    ):
        same = cutoff - 20 + 1
        np.testing.assert_array_equal(method(errors)[:same], method(changed)[:same])


def test_dropout_intervals_of_normal_errors_are_the_normal_distributions():
    rng = np.random.default_rng(2)
    spread = np.full((20_000, 1), 0.3)
    noise = rng.normal(0, 0.4, (40_000, 1))
    model = np.vstack([np.zeros((20_000, 1)), rng.normal(0, 0.3, (20_000, 1))])
    # The errors before are those of the noise: together 0.3² + 0.4² = 0.5².
    reach = dropout_reach(np.abs(noise), spread, 0.9, [20_000])
    np.testing.assert_allclose(reach, 0.5 * norm.ppf(0.95), rtol=0.01)
    found = score_intervals(np.abs(noise + model)[20_000:], reach, 0.9)
    assert found.coverage == pytest.approx(0.9, abs=0.01)


def test_a_score_by_hand():
    # Of the intervals ±1, one is missed by 2; one interval has no end.
    found = score_intervals([[0.5], [3.0], [1.0], [9.0]], [[1.0], [1.0], [1.0], [np.inf]], 0.8)
    assert found.coverage == 0.75
    assert found.width == 2.0
    assert found.winkler == pytest.approx(2.0 + (2 / 0.2) * 2.0 / 3)
    assert (found.count, found.unbounded) == (4, 1)
    assert found.in_words.startswith("80% intervals cover 75.0% [")
    assert found.in_words.endswith("of 4 prices, as promised; 1 without an end")


def test_no_bounded_interval_has_no_width():
    found = score_intervals([[1.0]], [[np.inf]], 0.9)
    assert math.isnan(found.width)
    assert found.to_dict()["winkler"] is None


def test_the_winkler_score_is_least_for_the_true_quantiles():
    errors = np.abs(np.random.default_rng(3).normal(size=(50_000, 1)))
    scores = {
        reach: score_intervals(errors, np.full_like(errors, reach), 0.9).winkler
        for reach in (1.4, norm.ppf(0.95), 1.9)
    }
    assert min(scores, key=scores.get) == norm.ppf(0.95)


@pytest.mark.parametrize(("hits", "count"), [(90, 100), (0, 30), (30, 30)])
def test_the_interval_of_the_coverage_is_wilsons(hits, count):
    assert _wilson(hits / count, count) == pytest.approx(
        proportion_confint(hits, count, method="wilson"), abs=1e-12
    )


def test_misses_in_clusters_say_less():
    alone = np.tile([0.0] * 9 + [2.0], 100)[:, None]
    clustered = np.sort(alone.reshape(5, 200), axis=1).reshape(1000, 1)
    widths = []
    for errors in (np.random.default_rng(4).permutation(alone), clustered):
        low, high = score_intervals(errors, np.ones_like(errors), 0.9).coverage_interval
        assert low < 0.9 < high
        widths.append(high - low)
    assert widths[1] > 1.8 * widths[0]
