"""The Lanczos runs themselves; what is made of them is in test_density.py."""

import numpy as np
import pytest

from stock_rnn.curvature.algorithms.lanczos import Tridiagonal, lanczos_tridiagonal


def test_a_run_that_ends_early_leaves_the_longer_ones_alone():
    # The first start has parts in two eigenspaces, the second in all five.
    matrix = np.diag([1.0, 2.0, 3.0, 5.0, 8.0])
    starts = np.column_stack([[1.0, 0, 0, 0, 1], np.ones(5)])
    early, late = lanczos_tridiagonal(matrix, starts, steps=4)
    assert (early.exhausted, late.exhausted) == (True, False)
    assert (len(early.alphas), len(late.alphas)) == (2, 4)
    assert (len(early.betas), len(late.betas)) == (1, 3)
    np.testing.assert_allclose(early.quadrature()[0], [1, 8], rtol=1e-12)
    (alone,) = lanczos_tridiagonal(matrix, np.ones(5), steps=4)
    np.testing.assert_allclose(late.alphas, alone.alphas, rtol=1e-12)
    np.testing.assert_allclose(late.betas, alone.betas, rtol=1e-12)
    for run in (early, late):
        assert run.asymmetry < 1e-13
        assert run.is_symmetric(0.0)


def test_a_cutoff_on_the_first_diagonal_entry_is_bounded_too():
    # The first pivot is zero then.
    matrix = np.array([[1.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]])
    (run,) = lanczos_tridiagonal(matrix, np.eye(3)[0], steps=2)
    assert run.alphas[0] == 1.0
    values, vectors = np.linalg.eigh(matrix)
    with np.errstate(all="raise"):
        lower, upper = run.share_below(1.0)
    assert lower - 1e-9 <= (vectors[0] ** 2)[values < 1.0].sum() <= upper + 1e-9


@pytest.mark.parametrize("size", [1e-10, 1.0, 1e10])
def test_an_asymmetry_is_allowed_as_large_as_the_rounding_of_products_and_sums(size):
    eps = np.finfo(float).eps

    def is_symmetric(asymmetry, rounding):
        # Of inner products of 100 numbers: sqrt(100) eps, relative to the largest entry.
        alphas, betas = np.array([0.5 * size, 0.2 * size]), np.array([size])
        run = Tridiagonal(alphas, betas, exhausted=False, asymmetry=asymmetry, length=100)
        return run.is_symmetric(rounding)

    assert is_symmetric(9.9 * eps * size, rounding=0.0)
    assert not is_symmetric(10.1 * eps * size, rounding=0.0)
    # Two products are compared.
    assert is_symmetric(2e-7 * size, rounding=1e-7 * size)
    assert not is_symmetric(2.1e-7 * size, rounding=1e-7 * size)


@pytest.mark.parametrize("shape", [(2, 1), (4, 1), (2,), (4,), (3, 1, 1)])
def test_starts_of_another_size_than_the_matrix_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"\(3,\) or \(3, k\)\. Received: shape=\(" + str(shape[0])
    ):
        lanczos_tridiagonal(np.eye(3), np.ones(shape), steps=2)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    ("roots", "bounds"),
    [(-4.1, (0.5, 0.5)), (-3.9, (0.5, 1.0)), (3.9, (0.5, 1.0)), (4.1, (1.0, 1.0))],
)
def test_an_eigenvalue_within_the_rounding_of_a_cutoff_may_lie_on_either_side(size, roots, bounds):
    # Eigenvalues -size and size, with half of the weight each.
    run = Tridiagonal(np.zeros(2), np.array([size]), exhausted=True)
    cutoff = size * (1.0 + roots * np.sqrt(np.finfo(float).eps))
    assert run.share_below(cutoff) == pytest.approx(bounds)


def test_fewer_than_two_kept_vectors_are_refused():
    with pytest.raises(ValueError, match=r"kept must be at least 2\. Received: kept=1"):
        lanczos_tridiagonal(np.eye(3), np.ones(3), steps=2, kept=1)


@pytest.mark.parametrize("kept", [2, 3, None])
def test_few_steps_are_the_same_with_fewer_kept_vectors(kept):
    matrix = np.diag(np.arange(1.0, 41.0))
    runs = lanczos_tridiagonal(matrix, np.ones((40, 2)), steps=8, kept=kept)
    for run in runs:
        full = lanczos_tridiagonal(matrix, np.ones(40), steps=8)[0]
        np.testing.assert_allclose(run.alphas, full.alphas, rtol=1e-10)
        np.testing.assert_allclose(run.betas, full.betas, rtol=1e-10)
        assert run.asymmetry < 1e-12
