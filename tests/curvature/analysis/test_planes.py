import keras
import numpy as np
import pytest

from stock_rnn.curvature.analysis.planes import (
    LossSegment,
    filter_normalized,
    loss_between,
    loss_on_plane,
    path_plane,
)
from stock_rnn.curvature.operators.blocks import filter_blocks, flat_weights
from stock_rnn.curvature.operators.hessian import HessianOperator

RNG = np.random.default_rng(0)


class Bowls:
    """L(θ + d) = (‖d‖² - 1)², with no way to evaluate many points at once."""

    shape = (3, 3)

    def loss_at(self, d):
        return (d @ d - 1.0) ** 2


class ManyBowls(Bowls):
    """The same, evaluated at once."""

    def losses_at(self, rows):
        return (np.einsum("kn,kn->k", rows, rows) - 1.0) ** 2


@pytest.mark.parametrize("op", [Bowls(), ManyBowls()])
def test_a_plane_has_the_loss_at_each_of_its_points(op):
    first, second = np.array([0.5, 0.0, 0.0]), np.array([1.0, 2.0, 0.0])
    x, y = np.linspace(-1, 1, 11), np.linspace(-2, 2, 9)
    told = []
    plane = loss_on_plane(op, first, second, x, y, watch=told.append)
    for row, b in enumerate(y):
        for column, a in enumerate(x):
            true = ((0.5 * a + b) ** 2 + 4 * b**2 - 1) ** 2
            assert plane.losses[row, column] == pytest.approx(true)
    assert sum(told) == 99


def test_between_two_minima_of_one_circle_is_the_barrier_of_its_middle():
    # From a point of the circle to the one across: -2 of the way from the middle, whose loss is 1.
    class Shifted(ManyBowls):
        def losses_at(self, rows):
            return super().losses_at(rows + np.array([1.0, 0, 0]))

    segment = loss_between(Shifted(), np.array([-2.0, 0.0, 0.0]), points=21)
    assert segment.losses[[0, -1]] == pytest.approx([0.0, 0.0])
    assert segment.average == segment.barrier == 1.0
    assert segment.shares[10] == 0.5


def test_the_barrier_is_measured_from_the_chord():
    shares = np.linspace(0, 1, 5)
    assert LossSegment(shares, 1 + 2 * shares).barrier == 0.0
    assert LossSegment(shares, 1 + 2 * shares**2).barrier == 0.0
    # Above the chord by 2 (t - t²), at most at its middle.
    assert LossSegment(shares, 1 + 2 * (2 * shares - shares**2)).barrier == pytest.approx(0.5)


def test_a_filter_normalized_direction_has_the_norms_of_the_filters():
    weights, direction = RNG.normal(size=(2, 10))
    filters = [np.array([0, 2, 4]), np.array([1, 3]), np.array([6])]
    found = filter_normalized(weights, direction, filters)
    for of in filters:
        assert np.linalg.norm(found[of]) == pytest.approx(np.linalg.norm(weights[of]))
        cosine = found[of] @ direction[of] / np.linalg.norm(found[of])
        assert cosine == pytest.approx(np.linalg.norm(direction[of]))
    assert not found[[5, 7, 8, 9]].any()


def test_filters_are_the_columns_of_kernels_and_recurrent_kernels():
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            keras.layers.GRU(3, name="gru"),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(2),
        ]
    )
    operator = HessianOperator(model, "mse", np.zeros((1, 2, 5)), np.zeros((1, 2)), check=False)
    filters = filter_blocks(operator)
    weights = flat_weights(operator.variables)
    cell, head = model.get_layer("gru").cell, model.layers[-1]
    columns = [*cell.kernel.numpy().T, *cell.recurrent_kernel.numpy().T, *head.kernel.numpy().T]
    assert len(filters) == len(columns) == 9 + 9 + 2
    for of, column in zip(filters, columns, strict=True):
        np.testing.assert_array_equal(weights[of], column)


def test_the_plane_of_a_path_has_its_principal_directions():
    basis = np.linalg.qr(RNG.normal(size=(30, 3)))[0].T
    steps = RNG.normal(size=(12, 3)) * [5.0, 2.0, 0.1]
    path = 7.0 + steps @ basis
    found = path_plane(path)
    # By the eigenvectors of the covariance matrix.
    values, vectors = np.linalg.eigh(np.cov(path.T))
    np.testing.assert_allclose(
        np.abs(np.sum(found.directions * vectors[:, :-3:-1].T, axis=1)), 1.0, rtol=1e-9
    )
    np.testing.assert_allclose(found.shares, values[:-3:-1] / values.sum())
    np.testing.assert_array_equal(found.coordinates[-1], [0, 0])
    assert (found.coordinates[0] < 0).all()
    backwards = path_plane(path[::-1])
    np.testing.assert_allclose(backwards.directions, -found.directions, atol=1e-9)
    # What the plane leaves out of the differences is small.
    left = (path - path[-1]) - found.coordinates @ found.directions
    assert np.abs(left).max() < 1.0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (np.zeros((2, 4)), "at least 3 points"),
        (np.ones((5, 4)), "on one line"),
        (np.outer(np.arange(5), np.ones(4)), "on one line"),
    ],
)
def test_a_path_without_a_plane_is_refused(path, message):
    with pytest.raises(ValueError, match=message):
        path_plane(path)


@pytest.mark.parametrize("points", [1, 2, 4])
def test_a_segment_has_a_middle(points):
    with pytest.raises(ValueError, match="points must be odd"):
        loss_between(Bowls(), np.zeros(3), points=points)


def test_directions_of_another_shape_are_refused():
    for call in (
        lambda d: loss_between(Bowls(), d),
        lambda d: loss_on_plane(Bowls(), np.zeros(3), d, np.zeros(1), np.zeros(1)),
    ):
        with pytest.raises(ValueError, match=r"Directions must be \(3,\)"):
            call(np.zeros(4))
