import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from stock_rnn.curvature.algorithms.density import negative_fraction, spectral_density
from stock_rnn.curvature.algorithms.lanczos import lanczos_tridiagonal
from stock_rnn.curvature.operators.errors import NonFiniteError
from tests.curvature.cases import eigenbasis, symmetric

# A bulk of zeros, as overparametrized networks have, a negative part, outliers.
HESSIAN_LIKE = np.concatenate(
    [np.linspace(-1.0, -0.4, 60), np.zeros(100), np.linspace(0.2, 1.0, 38), [6.0, 10.0]]
)


def test_moments_are_the_trace_and_the_frobenius_norm():
    matrix = symmetric(HESSIAN_LIKE)
    density = spectral_density(matrix, probes=400, steps=4)
    exact = [1.0, np.trace(matrix) / 200, np.sum(matrix**2) / 200, np.mean(HESSIAN_LIKE**3)]
    for k, value in enumerate(exact):
        moment = density.moment(k)
        assert moment.value == pytest.approx(value, abs=3 * moment.standard_error + 1e-12)
        scatter = np.sqrt(2 / 202 * np.var(HESSIAN_LIKE**k) / 400)
        assert moment.standard_error == pytest.approx(scatter, rel=0.2, abs=1e-9)


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_a_run_integrates_polynomials_exactly(steps):
    matrix = symmetric(np.linspace(-1, 1, 40), 3)
    v = np.random.default_rng(1).standard_normal(40)
    (run,) = lanczos_tridiagonal(matrix, v, steps=steps)
    nodes, weights = run.quadrature()
    for degree in range(2 * steps):
        exact = v @ np.linalg.matrix_power(matrix, degree) @ v / (v @ v)
        assert weights @ nodes**degree == pytest.approx(exact, abs=1e-12)


def test_the_index_is_within_three_standard_errors_over_twenty_seeds():
    matrix = symmetric(HESSIAN_LIKE)
    exact = negative_fraction(HESSIAN_LIKE, threshold=1e-3)
    assert exact.value == 60 / 200
    assert exact.cutoff == -0.01
    found = [
        negative_fraction(spectral_density(matrix, steps=50, seed=seed, grid=2), threshold=1e-3)
        for seed in range(20)
    ]
    errors = np.array([f.value - exact.value for f in found])
    bars = np.array([f.standard_error for f in found])
    assert found[0].cutoff == pytest.approx(-0.01, rel=1e-6)
    assert all(f.lower <= f.value <= f.upper for f in found)
    assert np.all(np.abs(errors) <= 3 * bars)
    assert 0.6 < np.sqrt(np.mean(errors**2)) / np.mean(bars) < 1.5
    # The closed form on the sphere, of ten probes.
    assert np.mean(bars) == pytest.approx(np.sqrt(2 / 202 * 0.3 * 0.7 / 10), rel=0.25)


def test_without_a_threshold_the_zeros_decide_and_with_one_they_do_not():
    noise = 1e-9 * np.random.default_rng(0).standard_normal(100)
    noisy = np.where(HESSIAN_LIKE == 0, np.pad(noise, (60, 40)), HESSIAN_LIKE)
    assert negative_fraction(noisy, threshold=0.0).value > 0.5
    assert negative_fraction(noisy, threshold=1e-6).value == 0.3
    assert negative_fraction(noisy, threshold=1e-6).cutoff == pytest.approx(-1e-5)


def test_an_eigenvalue_on_the_cutoff_does_not_count():
    found = negative_fraction(np.array([-4.0, -1.0, 0.0, 2.0]), threshold=0.25)
    assert (found.value, found.cutoff) == (0.25, -1.0)
    assert (found.standard_error, found.lower, found.upper) == (0.0, 0.25, 0.25)


def test_one_probe_still_knows_its_error():
    one = spectral_density(symmetric(HESSIAN_LIKE), probes=1, steps=60).moment(1)
    expected = np.sqrt(2 / 202 * HESSIAN_LIKE.var())
    assert one.standard_error == pytest.approx(expected, rel=0.5)


def test_density_integrates_to_one_and_its_error_falls_with_the_probes():
    matrix = symmetric(HESSIAN_LIKE)
    few, many = (spectral_density(matrix, probes=p, steps=40) for p in (5, 80))
    assert trapezoid(few.density, few.grid) == pytest.approx(1.0, abs=1e-3)
    assert few.density_error.mean() / many.density_error.mean() == pytest.approx(4, rel=0.3)
    assert few.cumulative[0] == 0.0
    assert few.cumulative[-1] == pytest.approx(1.0)
    assert np.all(np.diff(few.cumulative) >= -1e-15)


def test_density_and_cumulative_match_the_exact_spectrum():
    found = spectral_density(symmetric(HESSIAN_LIKE), probes=40, steps=120, sigma=0.3)
    offset = found.grid[:, None] - HESSIAN_LIKE
    exact = np.exp(-0.5 * (offset / 0.3) ** 2).mean(axis=1) / (0.3 * np.sqrt(2 * np.pi))
    np.testing.assert_array_less(np.abs(found.density - exact), 4 * found.density_error + 1e-6)
    between = np.array([-3.0, -0.2, 0.1, 3.0, 8.0])
    found = spectral_density(symmetric(HESSIAN_LIKE), probes=40, steps=120, grid=between)
    exact = (between[:, None] >= HESSIAN_LIKE).mean(axis=1)
    np.testing.assert_array_less(
        np.abs(found.cumulative - exact), 4 * found.cumulative_error + 1e-9
    )


@settings(max_examples=150, deadline=None)
@given(
    eigenvalues=st.lists(
        st.sampled_from([-2.0, -1.0, -1e-3, 0.0, 1e-9, 1e-3, 1.0, 1.0 + 1e-9, 3.0]),
        min_size=1,
        max_size=30,
    ),
    steps=st.integers(1, 12),
    cutoff=st.sampled_from([-1.5, -1.0, -0.5, -1e-6, 0.0, 0.5, 1.0, 5.0]),
    seed=st.integers(0, 10),
)
def test_bounds_of_the_share_below_hold_for_any_spectrum(eigenvalues, steps, cutoff, seed):
    n = len(eigenvalues)
    q = eigenbasis(n, seed)
    v = np.random.default_rng(seed + 100).standard_normal(n)
    (run,) = lanczos_tridiagonal((q * eigenvalues) @ q.T, v, steps=steps)
    exact = np.sum(((q.T @ v) ** 2 / (v @ v))[np.asarray(eigenvalues) < cutoff])
    lower, upper = run.share_below(cutoff)
    assert lower - 1e-9 <= exact <= upper + 1e-9


def test_bounds_close_as_the_run_goes_on():
    matrix = symmetric(HESSIAN_LIKE)
    v = np.random.default_rng(5).standard_normal(200)
    gaps = []
    for steps in (5, 15, 45):
        (run,) = lanczos_tridiagonal(matrix, v, steps=steps)
        gaps.append(np.diff(run.share_below(-0.2))[0])
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-2
    nothing_known = lanczos_tridiagonal(matrix, v, steps=1)[0].share_below(-0.2)
    assert nothing_known == pytest.approx((0.0, 1.0))


def test_runs_side_by_side_are_those_one_by_one():
    matrix = symmetric(HESSIAN_LIKE)
    whole = spectral_density(matrix, probes=5, steps=20)
    apart = spectral_density(matrix, probes=5, steps=20, max_bytes=1)
    np.testing.assert_allclose(whole.nodes, apart.nodes, atol=1e-10)
    np.testing.assert_allclose(whole.weights, apart.weights, atol=1e-10)


def test_an_exhausted_krylov_space_ends_the_run_with_eigenvalues():
    runs = lanczos_tridiagonal(
        np.diag([1.0, 1.0, 2.0, 5.0]), np.array([[1.0, 1], [1, 1], [1, 0], [0, 1]]), steps=4
    )
    for run, expected in zip(runs, ([1.0, 2.0], [1.0, 5.0]), strict=True):
        assert run.exhausted
        assert run.share_below(1.5) == pytest.approx((2 / 3, 2 / 3))
        np.testing.assert_allclose(run.quadrature()[0], expected, atol=1e-12)
        np.testing.assert_allclose(run.quadrature()[1], [2 / 3, 1 / 3], atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_multiple_of_the_identity_has_one_node_and_no_error(value):
    density = spectral_density(value * np.eye(20), probes=3)
    assert density.nodes.shape == (3, 1)
    assert density.sigma == pytest.approx(1e-4 * value if value else 1.0)
    assert density.moment(1).value == pytest.approx(value)
    assert density.moment(1).standard_error == pytest.approx(0.0, abs=1e-8)
    assert trapezoid(density.density, density.grid) == pytest.approx(1.0, abs=1e-3)
    assert negative_fraction(density, threshold=0.1).value == 0.0


def test_clusters_and_zeros_do_not_lose_orthogonality():
    clustered = np.concatenate([np.zeros(150), np.full(40, 1e-8), [1.0, 1.0, 1.0 + 1e-12, 100.0]])
    (run,) = lanczos_tridiagonal(symmetric(clustered), np.ones(194), steps=194)
    nodes, weights = run.quadrature()
    # A lost orthogonality shows as copies of the outlier.
    assert np.sum(nodes > 50) == 1
    assert weights.sum() == pytest.approx(1.0)


def test_the_matvecs_are_counted():
    calls = []

    class Counted:
        shape = (200, 200)

        def __matmul__(self, v):
            calls.append(v.shape[1])
            return symmetric(HESSIAN_LIKE) @ v

    density = spectral_density(Counted(), probes=3, steps=7)
    # The probes run side by side.
    assert calls == [3] * 7
    assert density.matvecs == 21


def test_bad_options_are_refused_with_what_was_received():
    matrix = np.eye(3)
    for options, message in [
        ({"probes": 0}, "probes=0"),
        ({"steps": 0}, "steps=0"),
        ({"sigma": 0.0}, r"sigma=0\.0"),
        ({"sigma": -0.5}, r"sigma=-0\.5"),
        ({"grid": 1}, "grid=1"),
    ]:
        with pytest.raises(ValueError, match=message):
            spectral_density(matrix, **options)
    with pytest.raises(ValueError, match="threshold=-1"):
        negative_fraction(np.ones(3), threshold=-1)
    with pytest.raises(ValueError, match=r"finite \(n,\)"):
        negative_fraction(np.array([1.0, np.nan]), threshold=0)
    with pytest.raises(ValueError, match="not zero"):
        lanczos_tridiagonal(matrix, np.zeros(3), steps=2)
    with pytest.raises(ValueError, match=r"shape=\(4,\)"):
        lanczos_tridiagonal(matrix, np.ones(4), steps=2)
    with pytest.raises(ValueError, match="steps=0"):
        lanczos_tridiagonal(matrix, np.ones(3), steps=0)
    with pytest.raises(NonFiniteError, match=r"not finite \(Lanczos step 1\)"):
        lanczos_tridiagonal(np.full((3, 3), np.nan), np.ones(3), steps=2)


def test_peaks_narrower_than_the_resolution_are_warned_of():
    # Five narrow bands: 30 steps cannot separate the values within one.
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(c, 0.3, 80) for c in (-10, -3, 2, 7, 15)])
    basis = np.linalg.qr(rng.standard_normal((400, 400)))[0]
    matrix = (basis * values) @ basis.T

    def peaks(found):
        d = found.density
        inner = (d[1:-1] > d[:-2]) & (d[1:-1] > d[2:]) & (d[1:-1] > 0.05 * d.max())
        return int(inner.sum())

    smooth = spectral_density(matrix, steps=30)
    assert smooth.sigma >= smooth.resolution > 0
    assert peaks(smooth) == 5
    with pytest.warns(UserWarning, match="below the resolution") as caught:
        sharp = spectral_density(matrix, steps=30, sigma=smooth.resolution / 20)
    assert peaks(sharp) > 5
    assert caught[0].filename == __file__


def test_an_exhausted_krylov_space_has_no_resolution():
    found = spectral_density(np.diag([1.0, 2.0, 5.0]))
    assert found.resolution == 0
    # Then the width is 1 % of the span.
    assert found.sigma == pytest.approx(0.04)


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
def test_an_unsymmetric_matrix_is_noticed(scale):
    a = scale * np.random.default_rng(0).standard_normal((50, 50))
    assert spectral_density(a + a.T).symmetric
    found = spectral_density(a + a.T + 1e-6 * a)
    assert not found.symmetric
    assert found.asymmetry > 1e-7 * scale


def test_without_a_stored_basis_copies_of_eigenvalues_share_their_weight():
    # Ends that converge within a few steps, and a bulk.
    values = np.concatenate([[-50.0, 80.0, 100.0], np.linspace(-1, 1, 597)])
    matrix = np.diag(values)
    full = spectral_density(matrix, probes=2, steps=60, sigma=3.0, grid=np.linspace(-60, 110, 400))
    short = spectral_density(
        matrix, probes=2, steps=60, sigma=3.0, grid=np.linspace(-60, 110, 400), keep_basis=False
    )
    top = short.nodes > 99
    assert top.sum(axis=1).min() >= 2
    assert (full.nodes > 99).sum(axis=1).tolist() == [1, 1]
    np.testing.assert_allclose(
        (short.weights * top).sum(axis=1),
        (full.weights * (full.nodes > 99)).sum(axis=1),
        rtol=1e-9,
    )
    np.testing.assert_allclose(short.density, full.density, atol=1e-3 * full.density.max())
    for k in (1, 2, 3):
        assert short.moment(k).value == pytest.approx(full.moment(k).value, rel=1e-9)
    assert short.symmetric
    share = negative_fraction(short, threshold=0.05)
    assert share.lower - 1e-9 <= negative_fraction(full, threshold=0.05).value <= share.upper + 1e-9


def test_a_large_basis_is_not_kept_unasked(monkeypatch):
    matrix = np.diag(np.arange(1.0, 51.0))
    options = {"probes": 1, "steps": 20, "seed": 3}
    kept, left = (spectral_density(matrix, **options, keep_basis=k) for k in (True, False))
    for largest, expected in ((8 * 50 * 20, kept), (8 * 50 * 20 - 1, left)):
        monkeypatch.setattr("stock_rnn.curvature.algorithms.density.LARGEST_BASIS", largest)
        found = spectral_density(matrix, **options)
        np.testing.assert_array_equal(found.nodes, expected.nodes)
    assert not np.array_equal(kept.nodes, left.nodes)


def test_asymmetry_shows_without_a_stored_basis():
    matrix = np.diag(np.arange(1.0, 51.0))
    matrix[0, 1:] = 1.0
    assert not spectral_density(matrix, probes=1, steps=20, keep_basis=False).symmetric
