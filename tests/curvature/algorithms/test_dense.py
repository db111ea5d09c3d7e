"""The dense matrix and its spectrum."""

import keras
import numpy as np
import pytest
from keras import layers

from stock_rnn.curvature import (
    HessianOperator,
    TooLargeError,
    exact_hessian,
    exact_spectrum,
    extreme_eigenpairs,
)


class Lopsided:
    """Products with a matrix that is not symmetric."""

    def __init__(self, matrix):
        self.matrix, self.shape = matrix, matrix.shape

    def __matmul__(self, v):
        return self.matrix @ v


def lstm_operator(unroll=True):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3, 1)), layers.RNN(layers.LSTMCell(6), unroll=unroll), layers.Dense(1)]
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3, 1)), rng.normal(size=(50, 1))
    return HessianOperator(model, "mse", x.astype("f4"), y.astype("f4"))


@pytest.mark.parametrize("n", [1, 5, 64, 130])
def test_the_symmetric_part_is_returned_and_the_rest_reported(n):
    matrix = np.random.default_rng(0).standard_normal((n, n))
    found = exact_hessian(Lopsided(matrix))
    np.testing.assert_allclose(found.matrix, (matrix + matrix.T) / 2)
    np.testing.assert_array_equal(found.matrix, found.matrix.T)
    assert found.asymmetry == np.abs(matrix - matrix.T).max() / np.abs(matrix).max()


def test_a_zero_matrix_has_no_asymmetry():
    found = exact_spectrum(Lopsided(np.zeros((3, 3))))
    np.testing.assert_array_equal(found.eigenvalues, np.zeros(3))
    assert found.asymmetry == 0


@pytest.mark.parametrize("unroll", [True, False])
def test_lanczos_and_the_whole_spectrum_agree_at_both_ends(unroll):
    operator = lstm_operator(unroll)
    spectrum = exact_spectrum(operator)
    assert spectrum.eigenvalues.shape == (operator.shape[0],)
    assert spectrum.asymmetry < 1e-6
    found = extreme_eigenpairs(operator, 1e-4)
    assert found.converged
    ends = spectrum.eigenvalues[[0, -1]]
    np.testing.assert_allclose(found.eigenvalues, ends, atol=found.residuals.max() + found.rounding)
    assert found.certified_negative
    assert ends[0] < 0


def test_too_large_is_refused_before_any_product():
    operator = lstm_operator()
    needed = 8 * operator.shape[0] ** 2
    with pytest.raises(TooLargeError, match=rf"{operator.shape[0]} parameters needs 0\.00 GiB"):
        exact_hessian(operator, max_bytes=needed)
    with pytest.raises(TooLargeError):
        exact_spectrum(operator, max_bytes=2 * needed)
    assert operator.products == 0
