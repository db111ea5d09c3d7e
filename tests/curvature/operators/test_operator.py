"""Sums, multiples and shifts of operators, against the matrices they stand for."""

import keras
import numpy as np
import pytest

from stock_rnn.curvature import (
    HessianOperator,
    LinearCombination,
    RestrictedOperator,
    extreme_eigenpairs,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 1))


def symmetric(n, seed):
    a = np.random.default_rng(seed).normal(size=(n, n))
    return a + a.T


class Rounded:
    """A matrix whose products are off by a stated share of its norm."""

    def __init__(self, matrix, rounding):
        self.matrix, self.shape, self.relative_rounding = matrix, matrix.shape, rounding

    def __matmul__(self, v):
        return self.matrix @ v


@pytest.fixture(scope="module")
def hessian():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    return HessianOperator(model, "mse", X, Y)


def test_arithmetic_is_that_of_matrices(hessian):
    n = hessian.parameters
    a, b, unit = hessian @ np.eye(n), symmetric(n, 1), np.eye(n)
    for operator, matrix in (
        (hessian + b, a + b),
        (b + hessian, a + b),
        (hessian - b, a - b),
        (-hessian, -a),
        (2 * hessian, 2 * a),
        (hessian * np.float64(0.5), 0.5 * a),
        (hessian.shifted(3.0), a + 3 * unit),
        ((hessian + b).shifted(-1.0) * 2, 2 * (a + b - unit)),
    ):
        np.testing.assert_allclose(operator @ unit, matrix, atol=1e-12)
        ends = np.linalg.eigvalsh(matrix)[[0, -1]]
        np.testing.assert_allclose(extreme_eigenpairs(operator, 1e-6).eigenvalues, ends, atol=1e-4)


def test_a_shifted_hessian_still_answers_in_one_tensorflow_call(hessian):
    before = hessian.products
    found = extreme_eigenpairs(hessian.shifted(1.0))
    assert hessian.products - before == found.matvecs
    assert hessian.traces == 1


def test_terms_that_cancel_keep_the_rounding_of_the_terms():
    a = symmetric(30, 0)
    small = LinearCombination([(1.0, Rounded(a, 1e-6)), (-1.0, a)])
    found = extreme_eigenpairs(small.shifted(-1e-7))
    # The sum is -1e-7 I: its products could all be the first term's rounding.
    assert found.rounding > 0.5e-6 * np.abs(np.linalg.eigvalsh(a)).max()
    assert not found.resolved_negative


def test_a_combination_is_verified_if_all_its_terms_are():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    unchecked = HessianOperator(model, "mse", X, Y, check=False)
    assert not (np.eye(4) + unchecked).verified
    assert LinearCombination([(1.0, np.eye(4))]).verified


def test_operators_of_two_sizes_and_infinite_factors_are_refused():
    with pytest.raises(ValueError, match="one size"):
        LinearCombination([(1.0, np.eye(2)), (1.0, np.eye(3))])
    with pytest.raises(ValueError, match="finite"):
        LinearCombination([(np.inf, np.eye(2))])


def test_a_block_of_terms_that_cancel_keeps_the_rounding_of_the_terms():
    large = 1e3 * np.eye(6)
    difference = LinearCombination(
        [(1.0, Rounded(large + symmetric(6, 1), 1e-6)), (-1.0, Rounded(large, 1e-6))]
    )
    found = extreme_eigenpairs(RestrictedOperator(difference, np.arange(4)))
    assert found.rounding == pytest.approx(2e-3, rel=0.1)
