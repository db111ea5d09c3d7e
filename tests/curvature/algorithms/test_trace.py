import numpy as np
import pytest

from stock_rnn.curvature.algorithms.estimate import (
    Estimate,
    sphere_probes,
    sphere_standard_error,
    standard_error_of_mean,
)
from stock_rnn.curvature.algorithms.trace import trace
from tests.curvature.cases import Counted, symmetric

HESSIAN_LIKE = np.concatenate([np.geomspace(10, 1, 8), np.linspace(-0.3, 0.5, 192)])


def test_trace_is_within_three_standard_errors_over_twenty_seeds():
    matrix = symmetric(HESSIAN_LIKE, 1)
    estimates = [trace(matrix, matvecs=45, seed=seed) for seed in range(20)]
    errors = np.array([e.value - HESSIAN_LIKE.sum() for e in estimates])
    bars = np.array([e.standard_error for e in estimates])
    assert np.all(np.abs(errors) <= 3 * bars)
    # Nor are the bars wider than the scatter they stand for.
    assert 0.6 < np.sqrt(np.mean(errors**2)) / np.mean(bars) < 1.5


def test_the_large_eigenvalues_do_not_widen_the_bar():
    bulk = np.linspace(-0.3, 0.5, 192)
    small = trace(symmetric(np.concatenate([np.full(8, 1.0), bulk]), 1), matvecs=60)
    large = trace(symmetric(np.concatenate([np.full(8, 1e4), bulk]), 1), matvecs=60)
    assert large.standard_error < 2 * small.standard_error


def test_the_bar_is_that_of_what_the_first_products_leave_over():
    # Equal sizes of both signs: what Q spans is far from invariant.
    matrix = symmetric(np.repeat([-1.0, 1.0], 20), 4)
    rng = np.random.default_rng(9)
    expected, found, bars = [], [], []
    for seed in range(400):
        q = np.linalg.qr(matrix @ rng.standard_normal((40, 13)))[0]
        left = np.eye(40) - q @ q.T
        b = np.linalg.eigvalsh(left @ matrix @ left)
        expected.append(40 * np.sqrt(2 / 42 * b.var() / 13))
        estimate = trace(matrix, matvecs=39, seed=seed)
        found.append(estimate.value)
        bars.append(estimate.standard_error)
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(np.mean(expected), rel=0.08)
    # The larger of two estimates of it is a little larger than either.
    assert 1.0 < np.mean(bars) / np.mean(expected) < 1.17


def test_one_probe_has_the_bar_of_the_closed_form():
    # Eigenvalues 1 and -1: the one vector of Q hardly changes them.
    matrix = symmetric(np.repeat([-1.0, 1.0], 30), 4)
    bars = [trace(matrix, matvecs=3, seed=seed).standard_error for seed in range(100)]
    assert np.sqrt(np.mean(np.square(bars))) == pytest.approx(60 * np.sqrt(2 / 62), rel=0.05)


def test_trace_of_a_low_rank_matrix_is_exact():
    values = np.concatenate([[5.0, -3.0, 1.0], np.zeros(97)])
    for seed in range(20):
        estimate = trace(symmetric(values, 2), matvecs=30, seed=seed)
        # Only rounding is left, and the bar knows of it.
        assert abs(estimate.value - 3.0) <= 3 * estimate.standard_error < 1e-11


@pytest.mark.parametrize("n", [20, 100])
def test_a_zero_matrix_has_trace_zero_without_error(n):
    estimate = trace(np.zeros((n, n)), matvecs=30)
    assert (estimate.value, estimate.standard_error) == (0.0, 0.0)


def test_the_rounding_of_the_products_is_in_the_bar():
    exact = symmetric(np.arange(-20.0, 30.0), 3)

    class Single:
        shape = exact.shape
        relative_rounding = 8 * float(np.finfo(np.float32).eps)

        def __matmul__(self, v):
            return (exact.astype("float32") @ v.astype("float32")).astype(float)

    estimate = trace(Single(), matvecs=90)
    assert 1e-8 < abs(estimate.value - np.trace(exact)) <= 3 * estimate.standard_error < 1e-2


def test_products_are_as_many_as_asked_for():
    op = Counted(symmetric(HESSIAN_LIKE, 1))
    trace(op, matvecs=45)
    assert op.products == 45


def test_a_small_matrix_is_summed_exactly():
    op = Counted(symmetric(np.arange(-3.0, 7.0), 3))
    estimate = trace(op, matvecs=90)
    assert abs(estimate.value - 15.0) <= 3 * estimate.standard_error < 1e-12
    assert (estimate.samples, op.products) == (0, 10)


def test_the_seed_decides():
    matrix = symmetric(HESSIAN_LIKE, 1)
    assert trace(matrix, seed=4, matvecs=30) == trace(matrix, seed=4, matvecs=30)
    assert trace(matrix, seed=4, matvecs=30) != trace(matrix, seed=5, matvecs=30)


def test_too_few_products_and_a_matrix_that_is_not_square_are_refused():
    with pytest.raises(ValueError, match="Received: matvecs=2"):
        trace(np.eye(5), matvecs=2)
    with pytest.raises(ValueError, match=r"square.*\(3, 4\)"):
        trace(np.ones((3, 4)))


def test_variance_on_the_sphere_is_the_closed_form():
    rng = np.random.default_rng(0)
    values = rng.normal(size=30)
    forms = np.sum(values[:, None] * sphere_probes(30, 200_000, rng) ** 2, axis=0)
    expected = 2 / 32 * (np.mean(values**2) - np.mean(values) ** 2)
    assert forms.var() == pytest.approx(expected, rel=0.02)
    one = sphere_standard_error(forms[:1] * 0 + values.mean(), np.asarray(np.mean(values**2)), 30)
    assert float(one) == pytest.approx(np.sqrt(expected))


def test_the_standard_error_of_a_mean_divides_by_one_less():
    assert float(standard_error_of_mean(np.array([1.0, 2.0, 6.0]))) == pytest.approx(
        np.sqrt((4 + 1 + 9) / 2 / 3)
    )
    assert np.isnan(standard_error_of_mean(np.ones((1, 2)))).all()


def test_the_interval_is_students():
    low, high = Estimate(1.0, 0.5, 10).interval(0.95)
    assert (high - 1.0) / 0.5 == pytest.approx(2.2622, abs=1e-4)
    assert 1.0 - low == pytest.approx(high - 1.0)
    assert Estimate(1.0, 0.5, 1).interval() == (-np.inf, np.inf)
    assert Estimate(1.0, 0.5, 0).interval(0.95)[1] == pytest.approx(1 + 0.5 * 1.959964)
    with pytest.raises(ValueError, match="Received: confidence=95"):
        Estimate(1.0, 0.5, 10).interval(95)
