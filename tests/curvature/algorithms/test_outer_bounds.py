"""Bounds outside of both ends fail as seldom as they say, whatever the spectrum."""

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from stock_rnn.curvature import HessianOperator, extreme_eigenpairs
from stock_rnn.curvature.algorithms.extreme import extreme_routine
from stock_rnn.curvature.algorithms.outer_bounds import LanczosRun, bound_above, log_least
from stock_rnn.curvature.operators.protocol import answer_routine
from tests.curvature.cases import symmetric

N, MATRICES, FAILURE = 12, 10_000, 0.1

# A bound that fails as seldom as it says is accused once in a million runs of a test.
ACCUSED = 1e-6


def spectra(kind, rng):
    """(MATRICES, N): eigenvalues that are hard on bounds at the upper end."""
    bulk = rng.standard_normal((MATRICES, N))
    top = bulk.max(axis=1)
    match kind:
        case "random":
            return bulk
        case "one stands alone":
            bulk[:, 0] = top + 10.0 ** rng.uniform(-6, 6, MATRICES)
        case "a hair beyond the rest":
            bulk[:, 0] = top * (1 + 1e-9) + 1e-9
        case "clusters":
            bulk = np.round(bulk) + 1e-7 * bulk
        case "many decades":
            bulk = np.sign(bulk) * 10.0 ** rng.uniform(-8, 2, bulk.shape)
        case "one small negative beside large positive ones":
            bulk = np.abs(bulk) + 1.0
            bulk[:, 0] = -(10.0 ** rng.uniform(-6, 0, MATRICES))
            return -bulk
    return bulk


KINDS = (
    "random",
    "one stands alone",
    "a hair beyond the rest",
    "clusters",
    "many decades",
    "one small negative beside large positive ones",
)


def uniform(rng, *shape):
    v = rng.standard_normal(shape)
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def lanczos(values, v, steps):
    """Lanczos of diag(values) from v, row by row, with full reorthogonalization.

    A rotation of the matrix rotates a uniform v into another: diagonal ones are all there are.
    """
    basis, alphas, betas = [v], [], []
    for _ in range(steps):
        w = values * basis[-1]
        alphas.append((w * basis[-1]).sum(axis=1))
        for _ in range(3):
            for q in basis:
                w = w - (w * q).sum(axis=1, keepdims=True) * q
        betas.append(np.linalg.norm(w, axis=1))
        basis.append(w / betas[-1][:, None])
    return np.stack(alphas, axis=1), np.stack(betas, axis=1)


def fails(bounds, values):
    """How often the largest eigenvalue is beyond its bound by more than rounding."""
    scale = np.abs(values).max(axis=1)
    return int((values.max(axis=1) > bounds + 1e-12 * scale).sum())


@pytest.mark.parametrize("steps", [1, 3, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_no_bound_fails_more_often_than_it_says(kind, steps):
    rng = np.random.default_rng(steps)
    values = spectra(kind, rng)
    alphas, betas = lanczos(values, uniform(rng, MATRICES, N), steps)
    found = fails(bound_above(alphas, betas, log_least(N, FAILURE)), values)
    assert binomtest(found, MATRICES, FAILURE, "greater").pvalue > ACCUSED


@pytest.mark.parametrize("distinct", [2, 3, 5])
def test_with_one_eigenvalue_more_than_steps_it_fails_exactly_as_often(distinct):
    """Then the sum is 1/γ² itself: no sharper bound holds."""
    rng = np.random.default_rng(distinct)
    values = np.linspace(-1, 1, distinct)[np.minimum(np.arange(N), distinct - 1)[::-1]]
    values[0], values[1:] = 1.0, np.resize(np.linspace(-1, 0.5, distinct - 1), N - 1)
    values = np.tile(values, (MATRICES, 1))
    alphas, betas = lanczos(values, uniform(rng, MATRICES, N), distinct - 1)
    found = fails(bound_above(alphas, betas, log_least(N, FAILURE)), values)
    assert binomtest(found, MATRICES, FAILURE).pvalue > ACCUSED


def test_it_is_sharper_than_the_last_polynomial_and_than_kuczynski_and_wozniakowski():
    rng, steps, failure = np.random.default_rng(0), 8, 1e-3
    values = rng.uniform(0, 1, (200, 200))
    alphas, betas = lanczos(values, uniform(rng, 200, 200), steps)
    limit = log_least(200, failure)
    bounds = bound_above(alphas, betas, limit)
    matrices = np.array(
        [
            np.diag(a) + np.diag(b[:-1], 1) + np.diag(b[:-1], -1)
            for a, b in zip(alphas, betas, strict=True)
        ]
    )
    ritz = np.linalg.eigvalsh(matrices)
    # Van Dorsselaer and others: |pₖ| alone, here from its roots.
    last = 2 * np.log(np.abs(bounds[:, None] - ritz) / betas).sum(axis=1)
    assert (last < limit).all()
    # Theorem 4.2 of Kuczyński and Woźniakowski 1992, for A ≥ 0: (λ_max - θ) / λ_max <= ε
    # but with a probability of 1.648 √n exp(-√ε (2k - 1)).
    root = np.log(1.648 * np.sqrt(200) / failure) / (2 * steps - 1)
    assert root < 1
    assert (bounds < ritz[:, -1] / (1 - root**2)).all()
    assert fails(bounds, values) == 0


def test_the_limit_is_the_quantile_of_a_coordinate_of_a_random_unit_vector():
    for n, failure in ((2, 0.3), (50, 1e-3), (10**6, 1e-6)):
        delta2 = np.exp(-log_least(n, failure))
        assert beta.cdf(delta2, 0.5, (n - 1) / 2) == pytest.approx(failure, rel=1e-6)
    first = uniform(np.random.default_rng(0), 20_000, 5)[:, 0]
    found = int((np.log(first**2) <= -log_least(5, 0.2)).sum())
    assert binomtest(found, 20_000, 0.2).pvalue > ACCUSED
    assert log_least(1, 0.5) == 0.0


@pytest.mark.parametrize("failure", [0.0, 1.0, -1e-6, np.nan])
def test_an_impossible_probability_is_refused(failure):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        LanczosRun(np.zeros(2), np.ones(2), 5).above(failure)


def test_runs_of_sizes_whose_powers_overflow():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 300))
    alphas, betas = lanczos(values, uniform(rng, 3, 300), 90)
    one = bound_above(alphas, betas, log_least(300, 1e-9))
    assert (one >= values.max(axis=1) - 1e-12).all()
    for factor in (1e200, 1e-200):
        scaled = bound_above(factor * alphas, factor * betas, log_least(300, 1e-9))
        np.testing.assert_allclose(scaled, factor * one, rtol=1e-10)


# The searches of the package


def search(a, seed=0, **options):
    return extreme_eigenpairs(a, seed=seed, **options)


def test_both_ends_of_a_search_lie_within_its_bounds_and_no_product_is_made_for_them():
    values = np.r_[-1.0, np.geomspace(1e-4, 50, 299)]
    ends = search(symmetric(values), tol=1e-2)
    low, high = ends.lower_bound(1e-6), ends.upper_bound(1e-6)
    # To the rounding of the products.
    assert low <= -1.0 <= ends.lambda_min + 1e-12
    assert ends.lambda_max - 1e-12 <= 50 <= high
    # Not because they are far off.
    assert low > -5
    assert high < 60
    assert ends.lower_bound(1e-12) < low < ends.lower_bound(1e-3)
    assert ends.upper_bound(1e-3) < high < ends.upper_bound(1e-12)


def test_an_end_that_a_search_has_missed_is_within_the_bound():
    """Few products find nothing of a single eigenvalue at -1e-3 beside many from 0 to 1."""
    values = np.r_[-1e-3, np.linspace(0.0, 1.0, 399)]
    for seed in range(20):
        routine = extreme_routine(400, max_matvecs=10, seed=seed)
        ends = answer_routine(lambda v: (values * v.T).T, routine)
        assert ends.lambda_min > 0
        assert ends.lower_bound(1e-6) <= -1e-3


def test_bounds_of_searches_fail_as_seldom_as_they_say():
    values = np.r_[2.0, np.linspace(-1, 1, 3)[np.arange(11) % 3], -1.5]
    a, searches, failure = np.diag(values), 150, 0.2
    low = high = 0
    for seed in range(searches):
        routine = extreme_routine(len(values), max_matvecs=5, seed=seed)
        ends = answer_routine(a.__matmul__, routine)
        low += ends.lower_bound(failure) > -1.5
        high += ends.upper_bound(failure) < 2.0
    assert binomtest(low, searches, failure, "greater").pvalue > ACCUSED
    assert binomtest(high, searches, failure, "greater").pvalue > ACCUSED
    assert low + high > 0


def test_a_restarted_search_has_the_bounds_of_the_steps_before():
    a = symmetric(np.linspace(-1, 1, 300))
    options = {"tol": 1e-8, "seed": 3}
    restarted = search(a, max_basis=12, max_matvecs=60, **options)
    short = search(a, max_matvecs=14, **options)
    assert restarted.matvecs > 20
    assert len(restarted.lanczos.alphas) == len(short.lanczos.alphas) == 12
    assert restarted.upper_bound(1e-6) == pytest.approx(short.upper_bound(1e-6), rel=1e-9)
    assert restarted.upper_bound(1e-6) >= 1


def test_where_the_space_is_exhausted_the_bounds_are_the_ends():
    for values in ([3.0], [0.0, 0.0], [1.0, 2.0, 4.0], [-1.0, 1.0] * 10, [5.0] * 30):
        ends = search(symmetric(np.array(values)), tol=1e-8)
        size = max(np.abs(values))
        low, high = ends.lower_bound(1e-6), ends.upper_bound(1e-6)
        assert low == pytest.approx(min(values), abs=1e-6 * size + 1e-12)
        assert high == pytest.approx(max(values), abs=1e-6 * size + 1e-12)
        assert low <= min(values) + 1e-14 * size
        assert high >= max(values) - 1e-14 * size


def test_it_is_refused_after_a_warm_start_and_where_products_are_not_sound():
    a = symmetric(np.arange(40.0))
    cold = search(a)
    warm = search(a, warm_start=cold)
    for bound in (warm.lower_bound, warm.upper_bound):
        with pytest.raises(ValueError, match="search anew without warm_start"):
            bound(1e-6)
    skewed = search(a + np.triu(np.ones((40, 40))))
    with pytest.raises(ValueError, match="symmetric=False, verified=True"):
        skewed.lower_bound(1e-6)


def test_the_rounding_of_float32_widens_them():
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x = np.random.default_rng(0).standard_normal((50, 3)).astype("f4")
    operator = HessianOperator(model, "mse", x, x[:, :2])
    ends = search(operator, tol=1e-3)
    exact = np.linalg.eigvalsh(np.c_[x, np.ones(50)].T.astype("f8") @ np.c_[x, np.ones(50)]) / 50
    assert ends.lower_bound(1e-6) <= exact[0] <= exact[-1] <= ends.upper_bound(1e-6)
    assert ends.upper_bound(1e-6) >= ends.lanczos.above(1e-6) + 2 * ends.rounding
