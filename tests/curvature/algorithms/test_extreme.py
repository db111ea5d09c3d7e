"""Ends of a spectrum, against LAPACK and against what must always hold."""

import functools
import inspect
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator

from stock_rnn.curvature.algorithms.band_lanczos import _kept
from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs, with_replaced_vector
from stock_rnn.curvature.algorithms.extreme import (
    extreme_eigenpairs,
    extreme_routine,
    top_eigenpairs,
)
from stock_rnn.curvature.operators.errors import NonFiniteError
from tests.curvature.cases import Counted, symmetric


def rotated(eigenvalues, seed=0):
    """A counting operator of these eigenvalues."""
    return Counted(symmetric(eigenvalues, seed))


def held(operator, eigenvalue, vector, residual):
    """Whether the residual is that of the pair, and the vector a unit vector."""
    true = np.linalg.norm(operator.matrix @ vector - eigenvalue * vector)
    size = np.abs(operator.matrix).max()
    return abs(true - residual) <= 1e-12 * size and abs(np.linalg.norm(vector) - 1) < 1e-12


def pair(low, high, residuals=(0.0, 0.0), rounding=0.0):
    ends = np.array([low, high])
    return ExtremeEigenpairs(ends, np.eye(2), np.array(residuals), 3, True, ends, rounding)


SPECTRA = {
    "one": [3.0],
    "one zero": [0.0],
    "two": [-2.0, 1.0],
    "zero": np.zeros(9),
    "identity": np.ones(9),
    "minus identity": -np.ones(9),
    "repeated ends": [-1, -1, -1, 0, 0, 0.5, 2, 2],
    "clustered": np.r_[1 + 1e-9 * np.arange(20), 5, 5 + 1e-9, -1, -1 - 1e-9],
    "spread": np.linspace(-1, 10, 300),
    "definite": np.geomspace(1, 100, 100),
    "rank one": np.r_[np.zeros(199), 7.0],
    "loss near a fit": np.r_[-3e-4, np.zeros(300), np.geomspace(1e-6, 16, 40)],
    "huge": 1e100 * np.linspace(-1, 2, 40),
    "tiny": 1e-100 * np.linspace(-1, 2, 40),
}


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("tol", [1e-2, 1e-8])
def test_both_ends_of_any_spectrum(kind, tol):
    eigenvalues = np.asarray(SPECTRA[kind], np.float64)
    operator = rotated(eigenvalues)
    found = extreme_eigenpairs(operator, tol, max_matvecs=1000)
    size = np.abs(eigenvalues).max()
    assert found.converged
    assert found.matvecs == operator.products
    assert (found.lambda_min, found.lambda_max) == tuple(found.eigenvalues)
    assert (found.residual_min, found.residual_max) == tuple(found.residuals)
    for k, true in enumerate((eigenvalues.min(), eigenvalues.max())):
        assert held(operator, found.eigenvalues[k], found.vectors[:, k], found.residuals[k])
        bar = max(tol * max(abs(true), 1e-4 * size), 1e-13 * size)
        assert found.residuals[k] <= 1.02 * bar
        assert abs(found.eigenvalues[k] - true) <= bar
    assert found.ritz_values[0] == pytest.approx(found.lambda_min, abs=1e-9 * size)
    assert (np.diff(found.ritz_values) >= 0).all()


values = st.one_of(
    st.sampled_from([0.0, 1.0, 1.0 + 1e-12, -1.0, 1e-12, -1e-9]), st.floats(-10, 10, width=32)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(values, min_size=1, max_size=30), st.integers(0, 99))
def test_a_residual_always_bounds_the_distance_to_an_eigenvalue(eigenvalues, seed):
    operator = rotated(eigenvalues, seed)
    true = np.linalg.eigvalsh(operator.matrix)
    slack = 1e-12 * max(1e-150, np.abs(true).max())
    found = extreme_eigenpairs(operator, 1e-3, seed=seed)
    assert found.matvecs <= len(eigenvalues) + 2
    for k in range(2):
        assert np.abs(true - found.eigenvalues[k]).min() <= found.residuals[k] + slack
        assert held(operator, found.eigenvalues[k], found.vectors[:, k], found.residuals[k])
    assert true[0] - slack <= found.lambda_min <= found.lambda_max + slack <= true[-1] + 2 * slack
    if found.certified_negative:
        assert true[0] < 0


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=2, max_size=25), st.integers(1, 6), st.booleans())
def test_the_top_k_are_found_as_often_as_they_are_repeated(eigenvalues, k, largest):
    operator, k = rotated(eigenvalues), min(k, len(eigenvalues))
    found = top_eigenpairs(operator, k, "largest" if largest else "smallest", 1e-8)
    expected = np.sort(eigenvalues)[::-1][:k] if largest else np.sort(eigenvalues)[:k]
    size = max(1e-150, np.abs(eigenvalues).max())
    np.testing.assert_allclose(found.eigenvalues, expected, rtol=0, atol=1e-10 * size)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(k), atol=1e-8)
    assert found.converged


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("max_basis", [24, 128])
def test_the_top_k_of_a_larger_matrix_need_few_products_and_survive_restarts(which, max_basis):
    sign = 1 if which == "largest" else -1
    operator = rotated(sign * np.r_[np.linspace(0, 1, 500), 3.0, 3.0, 4.0, 5.0])
    found = top_eigenpairs(operator, 4, which, tol=1e-6, max_basis=max_basis)
    np.testing.assert_allclose(sign * found.eigenvalues, [5, 4, 3, 3], rtol=1e-9)
    assert found.converged
    assert found.matvecs == operator.products < 80


def test_a_restart_keeps_the_wanted_ritz_vectors_and_as_many_neighbours():
    assert _kept("largest", 3, 12) == [6, 7, 8, 9, 10, 11]
    assert _kept("smallest", 3, 12) == [0, 1, 2, 3, 4, 5]
    # A quarter of a large basis; of a small one no more than half.
    assert _kept("largest", 3, 40) == [*range(30, 40)]
    assert _kept("smallest", 5, 8) == [0, 1, 2, 3]
    assert _kept("extremes", 2, 12) == [0, 1, 2, 9, 10, 11]


@pytest.mark.parametrize("search", [extreme_eigenpairs, functools.partial(top_eigenpairs, k=2)])
def test_a_search_keeps_within_its_memory(search):
    """Restarts keep what is held beside the operator within `max_memory`, and reach the ends."""
    n = 50_000
    diagonal = np.linspace(-1.0, 2.0, n) ** 3
    operator = LinearOperator((n, n), lambda v: diagonal * v.ravel(), dtype=np.float64)
    budget = 16 * 8 * n
    tracemalloc.start()
    found = search(operator, tol=1e-3, max_memory=budget, max_matvecs=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Beside the basis: the product, its copies, and the vectors that are returned.
    assert peak < budget + 12 * 8 * n
    assert found.eigenvalues.max() == pytest.approx(8.0, rel=1e-2)
    with pytest.raises(ValueError, match=r"A basis of 8 vectors of 50,000 parameters needs 4,"):
        search(operator, max_memory=8 * 8 * n)


@pytest.mark.parametrize("max_basis", [16, 64])
def test_a_bounded_basis_reaches_the_same_ends(max_basis):
    operator = rotated(np.linspace(-1, 10, 300))
    found = extreme_eigenpairs(operator, 1e-6, max_basis=max_basis, max_matvecs=500)
    assert found.converged
    assert len(found.ritz_values) <= max_basis
    np.testing.assert_allclose(found.eigenvalues, [-1, 10], rtol=1e-9)


def test_the_small_negative_end_is_resolved_relative_to_itself():
    operator = rotated(np.r_[-3e-4, np.zeros(500), np.geomspace(1e-7, 16.8, 50)])
    found = extreme_eigenpairs(operator, 1e-2)
    assert found.certified_negative
    assert found.lambda_min == pytest.approx(-3e-4, rel=1e-2)


def test_a_warm_start_takes_few_products_near_by():
    base = rotated(np.r_[-0.5, np.linspace(-0.1, 1, 300), 4.0])
    before = extreme_eigenpairs(base)
    noise = np.random.default_rng(0).standard_normal(base.shape)
    moved = Counted(base.matrix + 1e-4 * (noise + noise.T))
    cold, warm = extreme_eigenpairs(moved), extreme_eigenpairs(moved, warm_start=before)
    assert cold.converged
    assert warm.converged
    assert warm.matvecs <= 8 < cold.matvecs
    np.testing.assert_allclose(warm.eigenvalues, cold.eigenvalues, rtol=1e-2)


def test_a_warm_start_sees_a_direction_that_has_come_up_beside_the_old_ones():
    eigenvalues = np.r_[-0.5, np.linspace(-0.1, 1, 300), 4.0]
    before = extreme_eigenpairs(rotated(eigenvalues), 1e-6)
    fresh = np.random.default_rng(5).standard_normal(302)
    fresh -= before.vectors @ (before.vectors.T @ fresh)
    fresh /= np.linalg.norm(fresh)
    risen = Counted(rotated(eigenvalues).matrix - 8 * np.outer(fresh, fresh))
    found = extreme_eigenpairs(risen, warm_start=before)
    assert found.lambda_min == pytest.approx(np.linalg.eigvalsh(risen.matrix)[0], rel=1e-2)


def test_an_exact_warm_start_is_not_mistaken_for_the_whole_matrix():
    vectors = np.eye(50)[:, [1, 2]]
    old = ExtremeEigenpairs(np.array([1.0, 2.0]), vectors, np.zeros(2), 3, True, np.zeros(1))
    operator = Counted(np.diag(np.r_[-9.0, 1.0, 2.0, np.full(47, 1.5)]))
    found = extreme_eigenpairs(operator, warm_start=old)
    np.testing.assert_allclose(found.eigenvalues, [-9, 2], rtol=1e-2)


def test_a_warm_start_looks_beyond_what_the_old_vectors_reach():
    # Two parts that no product connects; the old vectors know of the first only.
    known, unknown = rotated(np.r_[-0.5, np.linspace(-0.1, 1, 60), 4.0]), rotated([-9.0, 0.1, 0.2])
    whole = np.zeros((65, 65))
    whole[:62, :62], whole[62:, 62:] = known.matrix, unknown.matrix
    before = extreme_eigenpairs(known, 1e-2)
    padded = np.vstack([before.vectors, np.zeros((3, 2))])
    found = extreme_eigenpairs(Counted(whole), warm_start=replace(before, vectors=padded))
    assert found.lambda_min == pytest.approx(-9.0, rel=1e-2)


@pytest.mark.parametrize("coupling", [1e-3, 1e-8, 1e-13])
def test_a_new_direction_is_orthogonal_however_little_of_it_there_is(coupling):
    search = extreme_routine(50)
    first = next(search)
    second = search.send(first + coupling * np.random.default_rng(1).standard_normal(50))
    assert abs(first @ second) < 1e-15
    assert np.linalg.norm(second) == pytest.approx(1)


def test_running_out_of_products_is_told():
    operator = rotated(np.linspace(-1, 10, 300))
    found = extreme_eigenpairs(operator, 1e-6, max_matvecs=20)
    assert operator.products == found.matvecs == 20
    assert not found.converged
    assert (found.residuals > 1e-6).any()
    for k in range(2):
        assert held(operator, found.eigenvalues[k], found.vectors[:, k], found.residuals[k])


def test_products_in_float32_do_not_keep_it_searching():
    operator = rotated(np.linspace(-1, 10, 300))

    class Single:
        shape = operator.shape
        relative_rounding = 8 * float(np.finfo(np.float32).eps)

        def __matmul__(self, v):
            return (operator.matrix.astype("f4") @ v.astype("f4")).astype("f8")

    found = extreme_eigenpairs(Single(), 1e-12, max_matvecs=300)
    assert found.converged
    assert found.matvecs < 150
    assert found.rounding == pytest.approx(1e-5, rel=0.1)
    np.testing.assert_allclose(found.eigenvalues, [-1, 10], atol=found.rounding)


def test_a_sign_is_certified_only_beyond_all_error_bars():
    assert pair(-1.0, 1.0, (0.9, 0)).certified_negative
    assert not pair(-1.0, 1.0, (1.0, 0)).certified_negative
    assert not pair(-1.0, 1.0, (0.9, 0), rounding=0.2).certified_negative
    assert pair(1.0, 2.0, (0.9, 0)).certified_positive
    assert not pair(1.0, 2.0, (0.9, 0), rounding=0.2).certified_positive
    # Nothing is added for products that are not said to be rounded.
    exact = ExtremeEigenpairs(np.array([-0.5, 1.0]), np.eye(2), np.zeros(2), 3, True, np.zeros(1))
    assert exact.certified_negative


def test_the_same_seed_gives_the_same_bits():
    operator = rotated(np.linspace(-1, 10, 100))
    a, b, c = (extreme_eigenpairs(operator, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.vectors, b.vectors)
    assert np.abs(a.vectors - c.vectors).max() > 0


def test_the_routine_has_the_defaults_of_the_function():
    def defaults(function):
        named = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in named if p.default is not p.empty}

    own = defaults(extreme_eigenpairs)
    assert {"tol", "max_matvecs", "max_basis", "explore", "seed"} <= own.keys()
    del own["verify"]  # Done after the routine, with other products.
    assert own.items() <= defaults(extreme_routine).items()


def test_impossible_options_are_refused():
    operator = rotated([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="tol"):
        extreme_eigenpairs(operator, 0)
    with pytest.raises(ValueError, match="At least 3 products"):
        extreme_eigenpairs(operator, max_matvecs=2)
    with pytest.raises(ValueError, match="shape"):
        extreme_eigenpairs(operator, warm_start=pair(0, 1))
    with pytest.raises(ValueError, match="from 1 to 3"):
        top_eigenpairs(operator, 4)
    with pytest.raises(ValueError, match="largest"):
        top_eigenpairs(operator, 1, "LM")  # type: ignore[arg-type]
    with pytest.raises(NonFiniteError, match="Product number 1 is"):
        extreme_eigenpairs(Counted(np.full((3, 3), np.nan)))


def test_a_smallest_end_that_jumps_back_is_found_at_once():
    # The negative end as a residual's sign makes it: now one vector's, now another's.
    rng = np.random.default_rng(0)
    n = 400
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]

    def matrix(sign):
        # Two bands of 30 clustered values each, of opposite sign, and the large end.
        band = sign * np.linspace(0.9, 1.0, 30)
        values = np.concatenate([band, -band, [100.0], np.zeros(n - 61)])
        return (basis * values) @ basis.T

    known, counts = None, []
    for sign in (1, 1, -1, -1, 1, 1, -1):
        found = extreme_eigenpairs(matrix(sign), warm_start=known, seed=len(counts))
        assert found.converged
        assert found.lambda_min == pytest.approx(-1.0, rel=0.02)
        known = with_replaced_vector(found, known)
        counts.append(found.matvecs)
    # Search, and two products for the residuals: 7 but where a vector is new.
    assert [counts[k] for k in (1, 3, 4, 5, 6)] == [7] * 5
    assert min(counts[0], counts[2]) > 7


def test_fewer_pairs_than_asked_for_are_not_converged():
    found = top_eigenpairs(np.eye(50), 5, max_matvecs=6)
    assert len(found.eigenvalues) < 5
    assert not found.converged


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_no_scale_is_too_small_or_too_large(scale):
    matrix = rotated(np.linspace(-3, 5, 40)).matrix
    found = extreme_eigenpairs(matrix * scale, 1e-6)
    assert found.converged
    np.testing.assert_allclose(found.eigenvalues / scale, [-3, 5], rtol=1e-6)
    assert 0 < found.residuals.max() / scale < 1e-4
    assert found.certified_negative


@pytest.mark.parametrize("skew", [1e-3, 1e-9, 1e-12])
def test_an_unsymmetric_matrix_is_not_certified(skew):
    n = 60
    noise = np.random.default_rng(1).standard_normal((n, n))
    matrix = rotated(np.linspace(-3, 5, n)).matrix + skew * (noise - noise.T)
    found = extreme_eigenpairs(matrix, 1e-2)
    assert skew / 10 < found.asymmetry < 100 * skew
    assert not found.symmetric
    assert not found.converged
    assert not found.resolved_negative
    assert not top_eigenpairs(matrix, 3).converged


def test_an_asymmetry_within_the_products_rounding_counts_as_symmetric():
    n = 60
    noise = np.random.default_rng(1).standard_normal((n, n))

    class Noisy:
        shape = (n, n)
        relative_rounding = 1e-6
        matrix = rotated(np.linspace(-3, 5, n)).matrix + 1e-7 * (noise - noise.T)

        def __matmul__(self, v):
            return self.matrix @ v

    found = extreme_eigenpairs(Noisy(), 1e-2)
    assert found.asymmetry > 1e-8
    assert found.symmetric
    assert found.converged
