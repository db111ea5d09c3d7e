"""The tests of paired losses agree with statsmodels and scipy, and err as often as they say."""

import math

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from statsmodels.stats.multitest import multipletests

from stock_rnn.forecasting.significance import diebold_mariano, holm


def correlated(count, rho, rng):
    """Noise (count,) of an autoregression with coefficient rho."""
    noise = rng.normal(size=count)
    for t in range(1, count):
        noise[t] += rho * noise[t - 1]
    return noise


def test_without_lags_it_is_the_paired_t_test():
    one, two = np.random.default_rng(0).exponential(size=(2, 40))
    found = diebold_mariano(one, two, lags=0)
    expected = scipy.stats.ttest_rel(one, two)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx((one - two).mean())


@pytest.mark.parametrize("lags", [1, 4, 10])
def test_its_variance_is_statsmodels_s_of_newey_and_west(lags):
    rng = np.random.default_rng(1)
    one, two = correlated(90, 0.6, rng) ** 2, correlated(90, 0.3, rng) ** 2
    fit = sm.OLS(one - two, np.ones(90)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
    )
    h = lags + 1
    corrected = fit.tvalues[0] * math.sqrt((90 + 1 - 2 * h + h * (h - 1) / 90) / 90)
    found = diebold_mariano(one, two, lags=lags)
    assert found.statistic == pytest.approx(corrected)
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(corrected), 89))


def test_the_lags_grow_with_the_sample():
    assert diebold_mariano(np.arange(100.0), np.zeros(100)).lags == 4
    assert diebold_mariano(np.arange(1000.0), np.zeros(1000)).lags == 6


def test_autocorrelated_differences_are_handled():
    rng, draws = np.random.default_rng(2), 400
    tests = [correlated(200, 0.5, rng) for _ in range(draws)]
    zero = np.zeros(200)
    rejected = np.mean([diebold_mariano(d, zero).p_value < 0.05 for d in tests])
    naive = np.mean([diebold_mariano(d, zero, lags=0).p_value < 0.05 for d in tests])
    # A t-test that ignores them errs in a quarter of all cases.
    assert naive > 0.2
    assert rejected < 0.13


def test_it_errs_in_five_of_a_hundred_cases_without_autocorrelation():
    rng = np.random.default_rng(3)
    p_values = [diebold_mariano(*rng.exponential(size=(2, 150))).p_value for _ in range(600)]
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.08


def test_a_true_difference_is_found_with_its_sign():
    rng = np.random.default_rng(4)
    small, large = rng.normal(size=300) ** 2, 4 * rng.normal(size=300) ** 2
    better, worse = diebold_mariano(small, large), diebold_mariano(large, small)
    assert better.difference < 0 < worse.difference
    assert better.p_value == worse.p_value < 1e-3


@pytest.mark.parametrize(
    ("one", "two", "p_value"),
    [
        (np.arange(30.0), np.arange(30.0), 1.0),
        (np.ones(30), np.zeros(30), math.nan),
        (np.full(30, 0.3), np.full(30, 0.1), math.nan),
        (np.arange(19.0), np.zeros(19), math.nan),
        (np.array([]), np.array([]), math.nan),
        (np.full(30, np.inf), np.zeros(30), math.nan),
        (np.full(30, np.inf), np.full(30, np.inf), math.nan),
    ],
)
def test_what_cannot_be_tested_has_a_defined_value(one, two, p_value):
    found = diebold_mariano(one, two).p_value
    assert found == p_value or (math.isnan(found) and math.isnan(p_value))


def test_losses_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        diebold_mariano(np.zeros(30), np.zeros(29))


def test_holm_by_hand():
    # 4 x 0.01; 3 x 0.02; 2 x 0.03, but no less than the one before; 0.5.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    found = holm([0.02, math.nan, 0.03])
    assert found[0] == found[2] == pytest.approx(0.04)
    assert math.isnan(found[1])
    assert np.isnan(holm([math.nan])).all()


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(6)
    for count in (1, 2, 5, 20):
        p_values = rng.uniform(0, 0.3, count).round(2)
        np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1])
