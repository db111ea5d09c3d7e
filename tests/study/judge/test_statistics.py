"""Intervals over seeds: against closed forms, and against the truth in repeated draws."""

import math

import numpy as np
import pytest
import scipy.stats

from stock_rnn.study.judge import statistics
from stock_rnn.study.judge.statistics import (
    CONFIDENCE,
    expanded_level,
    family_level,
    iqm,
    least_effect,
    least_seeds,
    least_share,
    locate,
    locate_share,
    probability_of_improvement,
    summarize,
)

# Interquartile means of the standard normal and of its exponential:
# E[e^Z; |Z| < q] = e^½ (Φ(q-1) - Φ(-q-1)), with q the upper quartile.
_Q = scipy.stats.norm.ppf(0.75)
TRUE_IQM = {
    "normal": 0.0,
    "lognormal": 2 * math.exp(0.5) * np.diff(scipy.stats.norm.cdf([-_Q - 1, _Q - 1])).item(),
}


def draw(kind, rng, n):
    values = rng.standard_normal(n)
    return np.exp(values) if kind == "lognormal" else values


def surprising(hits, draws, probability):
    """Whether this number of hits is outside the central 99.9 % of the binomial distribution."""
    low, high = scipy.stats.binom.ppf([0.0005, 0.9995], draws, probability)
    return not low <= hits <= high


@pytest.fixture
def resamples(monkeypatch):
    """Set the number of resamples, so that many intervals can be drawn."""
    return lambda count: monkeypatch.setattr(statistics, "_RESAMPLES", count)


# The interquartile mean


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0, 6.0], 3.0),  # A quarter of three is less than one value.
        ([9.0, -100.0, 1.0, 100.0], 5.0),
        ([100.0, 3.0, 1.0, -50.0, 8.0], 4.0),
        ([-9.0, -8.0, 1.0, 2.0, 3.0, 6.0, 80.0, 90.0], 3.0),
        # rliable cuts floor(n/4) at each end: two of ten.
        ([-9.0, -9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 12.0, 99.0, 99.0], 4.5),
    ],
)
def test_the_iqm_is_the_mean_without_the_lowest_and_highest_quarter(values, expected):
    assert iqm(np.array(values)) == pytest.approx(expected)
    assert summarize(np.array(values)).value == pytest.approx(expected)


def test_the_iqm_is_taken_along_an_axis():
    rows = np.array([[0.0, 1.0, 3.0, 50.0], [-8.0, 5.0, 7.0, 8.0]])
    np.testing.assert_allclose(iqm(rows), [2.0, 6.0])
    np.testing.assert_allclose(iqm(rows.T, axis=0), [2.0, 6.0])


# Levels


@pytest.mark.parametrize(
    ("claims", "level"), [(1, 0.95), (2, 0.975), (5, 0.99), (19, 1 - 0.05 / 19)]
)
def test_the_claims_of_a_family_share_the_five_percent(claims, level):
    assert family_level(claims) == pytest.approx(level, abs=1e-15)


@pytest.mark.parametrize(
    ("confidence", "seeds"),
    # The least n with 2^(1-n) ≤ 1 - confidence.
    [(0.5, 2), (0.75, 3), (0.8, 4), (0.95, 6), (0.975, 7), (0.99, 8), (1 - 0.05 / 19, 10)],
)
def test_the_least_number_of_seeds_for_an_interval(confidence, seeds):
    assert least_seeds(confidence) == seeds
    assert 2.0 ** (1 - seeds) <= 1 - confidence + 1e-12
    assert 2.0 ** (2 - seeds) > 1 - confidence


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 5, 10, 30])
def test_the_expanded_level_is_hesterbergs(confidence, n):
    alpha = 1 - confidence
    t = scipy.stats.t.ppf(alpha / 2, n - 1)
    expected = scipy.stats.norm.cdf(math.sqrt(n / (n - 1)) * t)
    assert (1 - expanded_level(confidence, n)) / 2 == pytest.approx(expected, rel=1e-6)
    assert expanded_level(confidence, n) > confidence


def test_for_many_values_the_expanded_level_is_the_nominal_one():
    assert expanded_level(0.95, 10**6) == pytest.approx(0.95, abs=1e-6)


# Summaries of values


@pytest.mark.parametrize("claims", [2, 5, 19])
def test_the_interval_of_a_mean_is_students(claims):
    # The bootstrap distribution of a mean is nearly normal; the expansion corrects it to t_{n-1}.
    n = 40
    values = np.random.default_rng(3).standard_normal(n)
    found = locate(values, statistic=np.mean)
    assert found.value == pytest.approx(values.mean())
    for level in (0.95, 1 - 0.05 / claims):
        interval = found.at(level)
        half = scipy.stats.t.ppf(0.5 + level / 2, n - 1) * values.std(ddof=1) / math.sqrt(n)
        assert np.diff(interval) == pytest.approx(2 * half, rel=0.05)
        assert interval[0] < found.value < interval[1]


def test_an_outlier_moves_the_interval_of_the_mean_and_not_of_the_iqm():
    values = np.array([*range(19), 1000.0])
    assert summarize(values).interval[1] < 19
    assert summarize(values, statistic=np.mean).interval[1] > 100


@pytest.mark.parametrize(
    ("n", "claims", "has_interval", "has_simultaneous"),
    [
        (1, 1, False, False),
        (5, 1, False, False),
        (6, 1, True, True),
        (6, 2, True, False),
        (7, 2, True, True),
        (9, 19, True, False),
        (10, 19, True, True),
    ],
)
def test_too_few_seeds_have_no_interval(n, claims, has_interval, has_simultaneous):
    found = locate(np.arange(n, dtype=float))
    assert found.seeds == n
    assert found.value == pytest.approx((n - 1) / 2)
    assert np.isfinite(found.at(0.95)).tolist() == [has_interval] * 2
    assert np.isfinite(found.at(family_level(claims))).tolist() == [has_simultaneous] * 2


def test_without_values_there_is_no_summary():
    for found in (locate(np.empty(0)), locate_share(np.empty(0, dtype=bool))):
        assert found.seeds == 0
        assert np.isnan([found.value, *found.at(0.95)]).all()


def test_an_unknown_value_leaves_no_interval():
    found = locate(np.array([*range(19), math.nan]))
    assert found.seeds == 20
    assert np.isnan([found.value, *found.at(0.95)]).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_an_infinite_value_counts_as_the_worst(sign):
    # As of a run that diverged: it is cut off, so the mean of the other middle values remains.
    one = locate(sign * np.array([*range(19), math.inf]))
    assert one.value == pytest.approx(sign * 9.5)
    assert np.isfinite(one.at(0.95)).all()
    # Six of twenty are not cut off, and the interval has no end on their side.
    many = sign * np.array([*range(14), *[math.inf] * 6])
    assert locate(many).value == sign * math.inf
    low, high = locate(many).at(0.95)
    assert math.isfinite(low if sign > 0 else high)
    assert (high if sign > 0 else low) == sign * math.inf


def test_equal_values_have_an_interval_without_width():
    found = locate(np.full(10, 2.5))
    assert (found.value, found.at(0.95), found.at(0.99)) == (2.5, (2.5, 2.5), (2.5, 2.5))


def test_the_interval_scales_with_the_values():
    values = np.random.default_rng(0).standard_normal(10)
    plain, scaled = locate(values), locate(3 * values - 7)
    for level in (0.95, 0.99):
        np.testing.assert_allclose(scaled.at(level), 3 * np.array(plain.at(level)) - 7)


def test_the_same_values_have_the_same_interval():
    values = np.random.default_rng(0).standard_normal(10)
    assert summarize(values) == summarize(values.copy())


@pytest.mark.parametrize("n", [10, 15, 40])
@pytest.mark.parametrize("kind", TRUE_IQM)
def test_an_interval_of_more_confidence_contains_one_of_less(kind, n):
    found = locate(draw(kind, np.random.default_rng(n), n))
    (low, high), (lowest, highest) = found.at(0.95), found.at(family_level(19))
    assert lowest < low < found.value < high < highest


@pytest.mark.parametrize("n", [pytest.param(10, marks=pytest.mark.zoo), 20])
@pytest.mark.parametrize("kind", TRUE_IQM)
def test_the_interval_covers_the_truth_95_times_in_100(kind, n, resamples):
    resamples(1000)
    rng, draws = np.random.default_rng(n), 500
    hits = 0
    for _ in range(draws):
        low, high = summarize(draw(kind, rng, n)).interval
        hits += low <= TRUE_IQM[kind] <= high
    # The expansion is exact for means of normal values; 1 % is left for all else.
    assert not surprising(hits, draws, 0.95) or not surprising(hits, draws, 0.96)


def covers(interval, truth):
    return interval[0] <= truth <= interval[1]


@pytest.mark.parametrize("n", [pytest.param(10, marks=pytest.mark.zoo), 20])
def test_nineteen_true_claims_hold_all_at_once_95_times_in_100(n, resamples):
    resamples(4000)
    rng, families = np.random.default_rng(n), 40
    kinds = ["normal", "lognormal"] * 9 + ["normal"]
    missed, all_hold, all_hold_singly = 0, 0, 0
    for _ in range(families):
        found = [(TRUE_IQM[kind], locate(draw(kind, rng, n))) for kind in kinds]
        misses = [not covers(of.at(family_level(19)), truth) for truth, of in found]
        missed += sum(misses)
        all_hold += not any(misses)
        all_hold_singly += all(covers(of.at(0.95), truth) for truth, of in found)
    # Each interval may miss with probability 0.05/19, all of a family with 0.05.
    assert missed <= scipy.stats.binom.ppf(0.999, 19 * families, 0.05 / 19)
    assert all_hold >= scipy.stats.binom.ppf(0.001, families, 0.95)
    # Without the correction they hold far less often: 0.95^19 = 0.38 for exact intervals.
    assert all_hold_singly < 0.75 * families


# Shares


@pytest.mark.parametrize("n", [1, 6, 10])
@pytest.mark.parametrize("claims", [1, 19])
def test_the_limit_of_a_share_of_all_seeds_is_a_root(n, claims):
    for level in (0.95, 1 - 0.05 / claims):
        limit = ((1 - level) / 2) ** (1 / n)
        low, high = locate_share(np.ones(n, dtype=bool)).at(level)
        assert (low, high) == (pytest.approx(limit, rel=1e-6), 1.0)
        low, high = locate_share(np.zeros(n, dtype=bool)).at(level)
        assert (low, high) == (0.0, pytest.approx(1 - limit, rel=1e-6))


@pytest.mark.parametrize(("successes", "n"), [(1, 4), (3, 10), (9, 10), (10, 20)])
def test_shares_have_clopper_and_pearsons_interval(successes, n):
    holds = np.arange(n) < successes
    found = locate_share(np.random.default_rng(0).permutation(holds))
    assert (found.value, found.seeds) == (successes / n, n)
    for level in (0.95, 0.99):
        interval = found.at(level)
        tail = (1 - level) / 2
        # At the limits, at least (at most) this many successes have the tail probability.
        assert scipy.stats.binom.sf(successes - 1, n, interval[0]) == pytest.approx(tail)
        assert scipy.stats.binom.cdf(successes, n, interval[1]) == pytest.approx(tail)


def test_eighteen_of_twenty_decide_a_majority_among_39_claims_and_seventeen_do_not():
    level = family_level(39)
    eighteen, seventeen = (locate_share(np.arange(20) < k).at(level) for k in (18, 17))
    assert eighteen[0] > 0.5 > seventeen[0]
    assert least_share(20, level) == 0.9
    # Of ten seeds not even all do.
    assert math.isnan(least_share(10, level))


# The least effect


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_least_effect_is_told_four_times_of_five(confidence, resamples):
    resamples(1000)
    rng, draws, n = np.random.default_rng(1), 300, 20
    # Of values of this spread; the mean, whose interval is Student's.
    effects = [least_effect(located(rng, n), confidence) for _ in range(40)]
    truth = float(np.mean(effects))
    told = 0
    for _ in range(draws):
        low, _ = located(rng, n, truth).at(confidence)
        told += low > 0.0
    assert 0.7 < told / draws < 0.9


def located(rng, n, truth=0.0):
    return locate(truth + rng.standard_normal(n), statistic=np.mean)


def test_without_an_interval_there_is_no_least_effect():
    assert math.isnan(least_effect(locate(np.arange(5.0)), 0.95))


# The probability of improvement


def counted(x, y):
    return sum((a < b) + 0.5 * (a == b) for a in x for b in y) / (len(x) * len(y))


def with_ties(seed, n=9):
    return np.random.default_rng(seed).integers(0, 5, n).astype(float)


@pytest.mark.parametrize("seed", range(4))
def test_improvement_counts_pairs_and_half_of_ties(seed, resamples):
    resamples(100)
    x, y = with_ties(seed), with_ties(seed + 100)
    found = probability_of_improvement([x], [y])
    assert found.value == pytest.approx(counted(x, y))
    # Mann and Whitney's U of y counts the pairs in which y is greater.
    assert found.value == pytest.approx(scipy.stats.mannwhitneyu(y, x).statistic / 81)
    assert found.seeds == 9


def test_improvement_is_the_mean_over_tasks(resamples):
    resamples(100)
    ours, theirs = [with_ties(s) for s in (0, 1, 2)], [with_ties(s) for s in (3, 4, 5)]
    expected = np.mean([counted(x, y) for x, y in zip(ours, theirs, strict=True)])
    assert probability_of_improvement(ours, theirs).value == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_both_probabilities_of_improvement_sum_to_one(seed):
    x, y = with_ties(seed), with_ties(seed + 50)
    one = probability_of_improvement([x], [y])
    other = probability_of_improvement([y], [x])
    assert one.value + other.value == pytest.approx(1)
    assert one.interval[0] < one.interval[1]
    np.testing.assert_allclose(one.interval, [1 - v for v in other.interval[::-1]])


def test_an_improvement_on_all_pairs_has_the_exact_interval():
    x, y = np.arange(10.0), np.arange(10.0) + 100
    better, worse = probability_of_improvement([x], [y]), probability_of_improvement([y], [x])
    # All resamples agree; the interval is the exact one of ten agreeing seeds.
    limit = 0.025**0.1
    assert (better.value, *better.interval) == pytest.approx((1.0, limit, 1.0))
    assert (worse.value, *worse.interval) == pytest.approx((0.0, 0.0, 1 - limit))
    equal = probability_of_improvement([np.ones(10)], [np.ones(10)])
    assert equal.value == 0.5
    assert np.isnan(equal.interval).all()


def test_a_diverged_run_loses_to_all_others_and_ties_with_another_diverged_run():
    x, y = np.array([1.0, 2.0, 3.0, math.inf]), np.array([4.0, 5.0, math.inf, math.inf])
    assert probability_of_improvement([x], [y]).value == (3 * 4 + 2 * 0.5) / 16


def test_improvement_over_too_few_seeds_has_no_interval():
    few, enough = np.arange(5.0), np.arange(6.0)
    assert np.isnan(probability_of_improvement([few], [few + 0.5]).interval).all()
    assert np.isfinite(probability_of_improvement([enough], [enough + 0.5]).interval).all()


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("n", [10, 20])
def test_the_interval_of_improvement_covers_the_truth(n, tasks, resamples):
    resamples(500)
    rng, draws, hits = np.random.default_rng(n), 250, 0
    # X - Y is normal with mean -½ and variance 2.
    truth = scipy.stats.norm.cdf(0.5 / math.sqrt(2))
    for _ in range(draws):
        x, y = rng.standard_normal((2, tasks, n))
        low, high = probability_of_improvement(list(x), list(y + 0.5)).interval
        hits += low <= truth <= high
    # For few seeds the interval is somewhat wider than it should be.
    assert CONFIDENCE - 0.03 <= hits / draws <= 0.99


def test_runs_with_the_same_seed_are_resampled_together():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(20)
    y = x + 1e-9  # The seed explains nearly all variance.
    paired = probability_of_improvement([x], [y])
    unpaired = probability_of_improvement([x], [rng.permutation(y)])
    assert paired.value == unpaired.value == 0.525
    assert np.diff(paired.interval) < 0.25 * np.diff(unpaired.interval)
    # In a paired resample X never loses more often than it wins.
    assert paired.interval[0] > 0.5
