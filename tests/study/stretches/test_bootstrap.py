"""The mean over stretches: against closed forms, and against the truth in repeated draws."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from stock_rnn.study.judge import statistics
from stock_rnn.study.stretches import bootstrap
from stock_rnn.study.stretches.bootstrap import correction, of_seeds, pool, shared_days
from tests.study.stretches.cases import YEARS, spans
from tests.study.stretches.coverage import SHARED, SLOTS, covered, skewed, values_of


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "_RESAMPLES", 200)
    monkeypatch.setattr(statistics, "_RESAMPLES", 200)


# What stretches share


def test_stretches_share_the_days_that_they_have_in_common():
    first, last = spans([1999, 2000, 2004, 2003])
    shared = shared_days(first, last)
    np.testing.assert_allclose(np.diag(shared), 1.0)
    assert shared[0, 1] == pytest.approx(4 / 5, abs=1e-3)
    assert shared[0, 2] == 0.0  # 1999 to 2003 and 2004 to 2008.
    assert shared[0, 3] == pytest.approx(1 / 5, abs=1e-3)
    np.testing.assert_array_equal(shared, shared.T)
    # A stretch inside another: the share is of the geometric mean of their lengths.
    inside = shared_days(
        np.array(["2000-01-01", "2000-01-01"], "M8[D]"),
        np.array(["2000-01-04", "2000-01-16"], "M8[D]"),
    )
    assert inside[0, 1] == pytest.approx(4 / math.sqrt(4 * 16))


# The correction


def test_independent_stretches_in_blocks_of_one_have_the_expanded_interval(monkeypatch):
    monkeypatch.setattr(bootstrap, "BLOCK", 1)
    factor, freedom = correction(np.arange(9), np.eye(9))
    assert factor == pytest.approx(math.sqrt(9 / 8))
    assert freedom == pytest.approx(8.0)
    level = 2 * scipy.stats.norm.cdf(factor * scipy.stats.t.ppf(0.975, freedom)) - 1
    assert level == pytest.approx(statistics.expanded_level(0.95, 9))


def test_equal_stretches_of_the_same_year_count_once():
    alone = correction(np.arange(9), np.eye(9))
    twice = correction(np.repeat(np.arange(9), 2), np.kron(np.eye(9), np.ones((2, 2))))
    np.testing.assert_allclose(twice, alone)


@pytest.mark.parametrize("m", [2, 5, 7])
def test_the_covariance_of_the_counts_is_that_of_all_possible_resamples(m):
    lengths = bootstrap._lengths(m)
    assert sum(lengths) == m
    counts = []
    for starts in itertools.product(range(m), repeat=len(lengths)):
        drawn = [(s + k) % m for s, of in zip(starts, lengths, strict=True) for k in range(of)]
        counts.append(np.bincount(drawn, minlength=m))
    expected = np.cov(np.array(counts).T, bias=True)
    np.testing.assert_allclose(bootstrap._covariance_of_counts(m), expected, atol=1e-12)


# The resampling


def test_the_standard_error_is_the_one_in_closed_form():
    values = values_of(np.random.default_rng(1), common=0.8, seen="both", noise=0.7)
    found = pool(list(values), YEARS, SHARED)
    n, m = values.shape[0], SLOTS.max() + 1
    counts = bootstrap._covariance_of_counts(m)[np.ix_(SLOTS, SLOTS)]
    off = values.mean(axis=1) - values.mean()
    # Which stretches are drawn, and which seeds in each.
    variance = (off @ counts @ off + (values.var(axis=1) / 3).sum()) / n**2
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=0.03)
    assert found.location.value == pytest.approx(values.mean())
    assert found.location.seeds == n


def test_each_stretch_counts_the_same_whatever_its_number_of_seeds():
    values = [np.array([1.0]), np.array([2.0, 4.0]), np.array([5.0, 5.0, 5.0, 5.0])]
    found = pool(values, np.array([1999, 2000, 2005]), np.eye(3))
    assert found.location.value == pytest.approx((1 + 3 + 5) / 3)
    # With blocks of one: which stretches are drawn, and which seeds of the second.
    variance = (np.var([1.0, 3.0, 5.0]) + 1.0 / 2 / 3) / 3
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=0.03)


def test_the_interval_is_symmetric_and_the_same_each_time():
    values = list(values_of(np.random.default_rng(2), common=0.8, seen="both", noise=0.5))
    one, other = (pool(values, YEARS, SHARED) for _ in range(2))
    low, high = one.location.at(0.95)
    assert (low, high) == other.location.at(0.95)
    assert (low + high) / 2 == pytest.approx(one.location.value)
    arm = one.factor * one.standard_error * scipy.stats.t.ppf(0.975, one.freedom)
    assert high - one.location.value == pytest.approx(arm)
    wider = one.location.at(0.99)
    assert wider[0] < low < high < wider[1]


@pytest.mark.parametrize(
    ("values", "years", "mean"),
    [
        ([[1.0, 3.0], [4.0]], [1999, 1999], 3.0),  # One start year.
        ([[1.0, math.inf], [4.0]], [1999, 2004], math.inf),
        ([[1.0, math.nan], [4.0]], [1999, 2004], math.nan),
        ([], [], math.nan),
    ],
)
def test_there_is_no_interval_without_two_start_years_or_with_unknown_values(values, years, mean):
    arrays = [np.array(of) for of in values]
    found = pool(arrays, np.array(years, dtype=int), np.eye(len(values)))
    assert found.location.value == pytest.approx(mean, nan_ok=True)
    assert np.isnan(found.location.at(0.95)).all()


# Coverage


@pytest.mark.parametrize(
    ("common", "seen", "noise"),
    [(1.0, "days", 0.0), (0.8, "both", 0.5)],
)
def test_the_interval_holds_the_truth_of_overlapping_stretches(few_resamples, common, seen, noise):
    draws = 150
    rng = np.random.default_rng(5)
    ours, theirs = covered(draws, rng, common=common, seen=seen, noise=noise)
    assert ours >= scipy.stats.binom.ppf(0.001, draws, 0.95)
    # Stretches that are taken as independent hold it much more rarely.
    assert theirs < 0.9 * draws


def test_the_interval_holds_the_truth_of_skewed_values_at_the_confidence_of_a_family(few_resamples):
    rng = np.random.default_rng(6)
    draws, level = 150, statistics.family_level(6)
    kind = {"common": 0.8, "seen": "days", "noise": 0.3, "draw": skewed(rng)}
    ours, _ = covered(draws, rng, level, **kind)
    assert ours >= scipy.stats.binom.ppf(0.001, draws, level)


# One stretch


def test_a_stretch_has_students_interval_over_its_seeds():
    low, high = of_seeds(np.array([1.0, 2.0, 6.0]), 0.95)
    expected = scipy.stats.ttest_1samp([1.0, 2.0, 6.0], 0.0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert np.isnan(of_seeds(np.array([1.0]), 0.95)).all()
    assert np.isnan(of_seeds(np.array([1.0, math.inf]), 0.95)).all()
