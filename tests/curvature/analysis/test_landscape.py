import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.analysis.critical_point import classify_critical_point
from stock_rnn.curvature.analysis.landscape import (
    curvature_along,
    curvature_along_gradient,
    loss_along,
    negative_direction,
    negative_subspace_share,
    taylor_step,
)
from stock_rnn.curvature.operators.hessian import HessianOperator
from tests.curvature.cases import eigenbasis, symmetric


class Quadratic:
    """L(d) = c + bᵀd + ½ dᵀHd around the point d = 0."""

    def __init__(self, hessian, gradient, constant=2.0):
        self.hessian, self.b, self.constant = hessian, np.asarray(gradient, float), constant
        self.shape = hessian.shape

    def __matmul__(self, v):
        return self.hessian @ v

    def loss(self):
        return self.constant

    def gradient(self):
        return self.b

    def loss_at(self, d):
        return self.constant + self.b @ d + 0.5 * d @ self.hessian @ d


class TwoLayerLinear:
    """L(W₁, W₂) = ‖Y - W₂W₁X‖² / 2n at the origin: the gradient is zero there.

    Its quadratic part is -⟨W₂W₁, C⟩ with C = YXᵀ/n, so the Hessian's eigenvalues
    are ± the singular values of C, each once for every hidden unit.
    """

    def __init__(self, x, y, hidden):
        self.x, self.y = x, y
        self.sizes = (hidden, x.shape[0]), (y.shape[0], hidden)
        n = sum(a * b for a, b in self.sizes)
        self.shape = (n, n)
        self.correlation = y @ x.T / x.shape[1]

    def split(self, d):
        (a, b), (c, e) = self.sizes
        return d[: a * b].reshape(a, b), d[a * b :].reshape(c, e)

    def product(self, d):
        first, second = self.split(d)
        return -np.concatenate(
            [(second.T @ self.correlation).ravel(), (self.correlation @ first.T).ravel()]
        )

    def __matmul__(self, v):
        return self.product(v) if v.ndim == 1 else np.stack([self.product(c) for c in v.T], 1)

    def loss(self):
        return self.loss_at(np.zeros(self.shape[0]))

    def gradient(self):
        return np.zeros(self.shape[0])

    def loss_at(self, d):
        first, second = self.split(d)
        return 0.5 * np.mean(np.sum((self.y - second @ first @ self.x) ** 2, axis=0))


def exact_ends(op):
    """Both ends by dense eigendecomposition, residuals recomputed."""
    values, vectors = np.linalg.eigh(op @ np.eye(op.shape[0]))
    values, vectors = values[[0, -1]], vectors[:, [0, -1]]
    residuals = np.linalg.norm(op @ vectors - vectors * values, axis=0)
    return ExtremeEigenpairs(values, vectors, residuals, op.shape[0], True, values)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), rate=st.floats(0, 3), size=st.integers(1, 12))
def test_the_taylor_prediction_is_exact_on_a_quadratic(seed, rate, size):
    rng = np.random.default_rng(seed)
    op = Quadratic(symmetric(rng.normal(size=size), seed), rng.normal(size=size))
    step = taylor_step(op, rate)
    assert step.predicted == pytest.approx(step.true, abs=1e-10)
    assert step.first_order == pytest.approx(-rate * step.gradient_norm**2)
    assert step.loss == 2.0
    assert step.curvature == pytest.approx(curvature_along_gradient(op))


def test_the_best_learning_rate_is_the_models_minimum():
    op = Quadratic(np.diag([1.0, 5.0]), [2.0, 1.0])
    best = taylor_step(op, 0.1).best_learning_rate
    at, *others = (taylor_step(op, best * f).true for f in (1.0, 0.99, 1.01))
    assert all(at < other for other in others)
    # At twice that rate the decrease is gone, beyond it the loss rises.
    assert taylor_step(op, 2 * best).true == pytest.approx(0.0, abs=1e-12)
    assert taylor_step(Quadratic(-np.eye(2), [1.0, 0.0]), 0.1).best_learning_rate == np.inf


def test_at_a_critical_point_nothing_changes_and_no_curvature_is_claimed():
    step = taylor_step(Quadratic(np.eye(2), [0.0, 0.0]), 0.1)
    assert (step.predicted, step.true, step.gradient_norm) == (0.0, 0.0, 0.0)
    assert np.isnan(step.curvature)
    assert np.isnan(step.best_learning_rate)


def test_curvature_along_an_eigenvector_is_its_eigenvalue_at_any_length():
    hessian, vectors = symmetric([-2.0, 0.5, 3.0]), eigenbasis(3, 0)
    for length in (1e-100, 1.0, 1e100):
        assert curvature_along(hessian, length * vectors[:, 0]) == pytest.approx(-2.0)
    mixed = vectors @ np.sqrt([0.5, 0.3, 0.2])
    assert curvature_along(hessian, mixed) == pytest.approx(-0.25)


HESSIAN_LIKE = np.concatenate([np.linspace(-1, -0.3, 20), np.zeros(40), [0.5, 2.0, 10.0]])


@pytest.mark.parametrize("seed", range(3))
def test_negative_share_is_that_of_the_exact_eigenvectors(seed):
    hessian, vectors = symmetric(HESSIAN_LIKE, seed), eigenbasis(len(HESSIAN_LIKE), seed)
    g = np.random.default_rng(seed + 10).standard_normal(63)
    exact = np.sum((vectors[:, :20].T @ g) ** 2) / (g @ g)
    found = negative_subspace_share(hessian, g, threshold=1e-3)
    assert found.value == pytest.approx(exact, abs=1e-6)
    assert found.lower - 1e-12 <= exact <= found.upper + 1e-12
    assert found.cutoff == pytest.approx(-0.01, rel=1e-3)
    rough = negative_subspace_share(hessian, g, threshold=1e-3, steps=6)
    assert rough.matvecs == 6
    assert rough.lower <= exact <= rough.upper
    assert rough.upper - rough.lower > found.upper - found.lower


def test_negative_share_at_its_limits():
    hessian, vectors = symmetric(HESSIAN_LIKE), eigenbasis(len(HESSIAN_LIKE), 0)
    inside = negative_subspace_share(hessian, vectors[:, :20].sum(1), threshold=1e-3, steps=30)
    assert inside.value == pytest.approx(1.0)
    outside = negative_subspace_share(hessian, vectors[:, 20:].sum(1), threshold=1e-3)
    assert outside.value == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(negative_subspace_share(hessian, np.zeros(63), threshold=0.0).value)


def test_a_slice_of_a_quadratic_is_its_model():
    hessian, vectors = symmetric([-1.0, 2.0, 4.0]), eigenbasis(3, 0)
    op = Quadratic(hessian, [0.3, -0.2, 0.1])
    t = np.linspace(-2, 2, 9)
    found = loss_along(op, 7.0 * vectors[:, 0], t)
    np.testing.assert_allclose(found.losses, found.quadratic, atol=1e-12)
    assert found.curvature == pytest.approx(-1.0)
    assert found.slope == pytest.approx(op.b @ vectors[:, 0])
    assert found.losses[4] == found.loss == 2.0


def two_layer():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 50))
    y = rng.standard_normal((3, 4)) @ x + 0.1 * rng.standard_normal((3, 50))
    return TwoLayerLinear(x, y, hidden=2)


def test_a_two_layer_linear_network_at_the_origin_is_a_strict_saddle():
    op = two_layer()
    singular = np.linalg.svd(op.correlation, compute_uv=False)
    ends = exact_ends(op)
    np.testing.assert_allclose(ends.eigenvalues, [-singular[0], singular[0]])
    assert classify_critical_point(0.0, ends, eps=1e-6, gamma=0.1).kind == "strict saddle"

    way = negative_direction(op, ends)
    assert way.certified
    assert way.slope == 0.0
    assert way.gradient is None
    assert way.helps
    # The way down is real: that much is gained, at a distance that was tried.
    assert way.along.loss == op.loss_at(way.along.distance * ends.vectors[:, 0])
    assert way.along.decrease == pytest.approx(op.loss() - way.along.loss)
    assert way.along.decrease > 0.2 * op.loss()
    # Plain gradient descent does not move from here.
    assert taylor_step(op, 0.1).true == 0.0
    # λ_max has no way down.
    up = negative_direction(op, ExtremeEigenpairs(*_swapped(ends)))
    assert up.along.decrease == 0.0
    assert up.along.distance == 0.0
    assert not up.helps


def test_the_same_saddle_in_keras():
    op = two_layer()
    layers = [keras.layers.Dense(k, use_bias=False, kernel_initializer="zeros") for k in (2, 3)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    # Keras averages over the three outputs as well, and has no factor of a half.
    hessian = HessianOperator(model, "mse", op.x.T, op.y.T)
    singular = np.linalg.svd(op.correlation, compute_uv=False)[0] * 2 / 3
    ends = exact_ends(hessian)
    np.testing.assert_allclose(ends.eigenvalues, [-singular, singular], rtol=1e-5)
    norm = float(np.linalg.norm(hessian.gradient()))
    assert classify_critical_point(norm, ends, eps=1e-6, gamma=0.1).kind == "strict saddle"
    share = negative_subspace_share(hessian, ends.vectors @ [1.0, 1.0], threshold=1e-3)
    assert share.value == pytest.approx(0.5, abs=1e-4)

    way = negative_direction(hessian, ends)
    assert way.helps
    assert way.along.decrease > 0.2 * hessian.loss()
    # Really walking there gives that loss, and nothing was moved before.
    assert all(not np.any(w) for w in model.get_weights())
    d = way.along.distance * ends.vectors[:, 0]
    model.set_weights([d[:8].reshape(4, 2), d[8:].reshape(2, 3)])
    model.compile(loss="mse")
    assert model.evaluate(op.x.T, op.y.T, verbose=0) == pytest.approx(way.along.loss, rel=1e-4)


def _swapped(ends):
    flip = [1, 0]
    values, vectors, residuals = ends.eigenvalues[flip], ends.vectors[:, flip], ends.residuals[flip]
    return values, vectors, residuals, 0, True, ends.ritz_values


def test_where_the_gradient_does_better_the_negative_direction_does_not_help():
    steep = Quadratic(np.diag([-0.01, 1.0]), [0.0, -5.0])
    way = negative_direction(steep, exact_ends(steep), distances=(0.1, 1.0, 5.0))
    assert way.along.decrease == pytest.approx(0.125)
    assert (way.gradient.distance, way.gradient.decrease) == (5.0, pytest.approx(12.5))
    assert not way.helps


def test_the_sign_of_the_eigenvector_does_not_matter():
    op = Quadratic(np.diag([-1.0, 2.0]), [0.5, 0.0])
    ends = exact_ends(op)
    found = []
    for sign in (1.0, -1.0):
        pairs = ExtremeEigenpairs(
            ends.eigenvalues, sign * ends.vectors, ends.residuals, 0, True, ends.ritz_values
        )
        found.append(negative_direction(op, pairs, distances=(1.0,)).along.loss)
    # Downhill is where the slope is negative: 2 - 0.5 - 0.5.
    assert found == [pytest.approx(1.0)] * 2


def test_a_loss_that_overflows_is_never_the_lowest():
    class Overflowing(Quadratic):
        def loss_at(self, d):
            return np.nan if np.linalg.norm(d) > 1 else super().loss_at(d)

    op = Overflowing(np.diag([-1.0, 1.0]), [0.0, 0.0])
    way = negative_direction(op, exact_ends(op), distances=(0.5, 2.0))
    assert abs(way.along.distance) == 0.5


def test_bad_arguments_are_refused_with_what_was_received():
    op = Quadratic(np.eye(2), [1.0, 0.0])
    with pytest.raises(ValueError, match="learning_rate=-1"):
        taylor_step(op, -1)
    with pytest.raises(ValueError, match=r"norm=0\.0"):
        loss_along(op, np.zeros(2), np.ones(1))
    with pytest.raises(ValueError, match=r"shape=\(3,\)"):
        loss_along(op, np.ones(3), np.ones(1))
    with pytest.raises(ValueError, match="one-dimensional"):
        loss_along(op, np.ones(2), np.ones((1, 1)))
    with pytest.raises(ValueError, match="must be positive"):
        negative_direction(op, exact_ends(op), distances=(0.0, 1.0))
    with pytest.raises(ValueError, match="threshold=nan"):
        negative_subspace_share(op, np.ones(2), threshold=np.nan)
    with pytest.raises(ValueError, match=r"shape=\(3,\)"):
        negative_subspace_share(op, np.ones(3), threshold=0.0)
    with pytest.raises(ValueError, match=r"shape=\(2, 1\)"):
        curvature_along(op, np.ones((2, 1)))
