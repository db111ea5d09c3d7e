"""The Krylov space itself; what is searched in it is in test_extreme.py."""

import numpy as np
import pytest

from stock_rnn.curvature.algorithms import krylov
from stock_rnn.curvature.algorithms.band_lanczos import BASIS_BYTES, krylov_space
from stock_rnn.curvature.algorithms.extreme import extreme_eigenpairs
from stock_rnn.curvature.algorithms.krylov import KrylovSpace
from stock_rnn.curvature.operators.protocol import all_finite, vector_type

N = 400
EPS32 = float(np.finfo(np.float32).eps)


def symmetric(seed=0):
    values = np.concatenate([np.linspace(-1, 1, N - 4), [-30.0, -20.0, 40.0, 100.0]])
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((N, N)))
    return (q * values) @ q.T


def grown(matrix, starts=1, steps=40, restart_at=None, **options):
    rng = np.random.default_rng(1)
    space = KrylovSpace(N, list(rng.standard_normal((starts, N))), rng, 64, **options)
    for step in range(steps):
        if step == restart_at:
            space.restart([0, 1, step - 2, step - 1])
        space.extend(matrix @ space.next_vector())
    return space


def basis_of(space):
    return space._basis[: space.size].astype(np.float64)


@pytest.mark.parametrize("restart_at", [None, 25])
@pytest.mark.parametrize("starts", [1, 3])
@pytest.mark.parametrize(("vector_type", "eps"), [(np.float64, 2e-14), (np.float32, 1e-6)])
def test_the_basis_is_orthonormal_and_its_relation_holds(starts, vector_type, eps, restart_at):
    matrix = symmetric()
    space = grown(matrix, starts, restart_at=restart_at, vector_type=vector_type)
    basis = basis_of(space)
    np.testing.assert_allclose(basis @ basis.T, np.eye(space.size), atol=eps)
    coefficients = space._h[: space.size, : space.done]
    # A Q = Q H, to rounding in units of the norm.
    np.testing.assert_allclose(
        matrix @ basis[: space.done].T, basis.T @ coefficients, atol=100 * eps
    )
    space.ritz()
    assert space.asymmetry <= 100 * eps


@pytest.mark.parametrize("starts", [1, 3])
def test_symmetry_saves_a_pass_over_the_basis(monkeypatch, starts):
    passes = []
    monkeypatch.setattr(
        krylov,
        "_orthogonalize",
        lambda vector, basis, own=krylov._orthogonalize: passes.append(1) or own(vector, basis),
    )
    grown(symmetric(), starts)
    assert len(passes) == starts + 40


@pytest.mark.parametrize("starts", [1, 3])
def test_the_basis_of_an_asymmetric_matrix_is_orthonormal_too_and_it_shows(starts):
    matrix = symmetric() + np.triu(np.random.default_rng(2).standard_normal((N, N)))
    space = grown(matrix, starts)
    basis = basis_of(space)
    np.testing.assert_allclose(basis @ basis.T, np.eye(space.size), atol=2e-14)
    np.testing.assert_allclose(
        basis[: space.done] @ matrix @ basis[: space.done].T,
        space._h[: space.done, : space.done],
        atol=1e-11,
    )
    space.ritz()
    square = basis[: space.done] @ matrix @ basis[: space.done].T
    assert space.asymmetry == pytest.approx(np.abs(square - square.T).max(), rel=1e-9)


class Single:
    """A matrix whose products are made in float32, and say so."""

    relative_rounding = 8 * EPS32

    def __init__(self, matrix):
        self.matrix, self.shape = matrix.astype(np.float32), matrix.shape

    def __matmul__(self, vectors):
        assert vectors.dtype == np.float64
        return (self.matrix @ vectors.astype(np.float32)).astype(np.float64)


def test_the_basis_is_as_exact_as_the_products():
    assert vector_type(symmetric()) is np.float64
    assert vector_type(Single(symmetric())) is np.float32


def test_ends_from_a_basis_of_float32_are_as_exact_as_the_products():
    found = extreme_eigenpairs(Single(symmetric()), 1e-6)
    np.testing.assert_allclose(found.eigenvalues, [-30.0, 100.0], atol=100 * found.rounding)
    assert found.converged
    assert found.symmetric
    # A residual in float64 is not what float32 products leave.
    truth = symmetric() @ found.vectors - found.vectors * found.eigenvalues
    assert np.linalg.norm(truth, axis=0).max() <= 2 * (found.residuals.max() + found.rounding)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=0), 1.0, atol=1e-14)


@pytest.mark.parametrize(
    ("n", "kind", "expected"),
    [
        (1000, np.float64, 96),
        (25_000_000, np.float32, BASIS_BYTES // 100_000_000 - 2),
        (10_000_000, np.float64, BASIS_BYTES // 80_000_000 - 2),
        (2_000_000_000, np.float32, 8),
    ],
)
def test_as_many_vectors_are_kept_as_memory_has_room_for(monkeypatch, n, kind, expected):
    made = []
    monkeypatch.setattr(
        "stock_rnn.curvature.algorithms.band_lanczos.KrylovSpace", lambda *args: made.append(args)
    )
    krylov_space(n, [None], None, None, None, 96, kind)
    assert made[0][3] == expected


def test_fewer_vectors_than_a_restart_needs_are_refused():
    with pytest.raises(ValueError, match=r"A basis of 8 is needed\. Received: max_basis=7"):
        extreme_eigenpairs(symmetric(), max_basis=7)


def test_infinite_entries_are_seen_and_large_ones_are_none():
    assert all_finite(np.full(3, 1e308))
    assert all_finite(np.full(3, 3e38, np.float32))
    for wrong in (np.nan, np.inf, -np.inf):
        assert not all_finite(np.array([1.0, wrong]))
    assert not all_finite(np.array([np.inf, -np.inf]))
