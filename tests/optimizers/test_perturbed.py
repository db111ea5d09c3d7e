"""The noise on the gradient: its length, its directions, and when it comes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stock_rnn.config import FIRST_ORDER
from stock_rnn.curvature.operators.preconditioned import stability_line
from stock_rnn.optimizers import Perturbed, make_optimizer

RADIUS = 0.3


def noises(steps, gradient=0.0, *, shapes=((3, 2), (4,)), name="sgd", dtype="float32", **how):
    """(steps, weights): by how much each step of rate 1 goes beyond the gradient's."""
    variables = [keras.Variable(np.zeros(shape), dtype=dtype) for shape in shapes]
    optimizer = make_optimizer(name, 1.0, perturbation={"radius": RADIUS, **how})
    optimizer.build(variables)

    @tf.function
    def step():
        optimizer.apply([tf.fill(shape, tf.cast(gradient, dtype)) for shape in shapes], variables)

    found = []
    for _ in range(steps):
        before = flat(variables)
        step()
        found.append(before - flat(variables) - gradient)
    return np.array(found)


def flat(variables):
    return np.concatenate([variable.numpy().ravel() for variable in variables])


def test_its_norm_over_all_weights_is_the_radius():
    norms = np.linalg.norm(noises(50, dtype="float64"), axis=1)
    np.testing.assert_allclose(norms, RADIUS, rtol=1e-6)
    # In one dimension the sphere is two points.
    np.testing.assert_allclose(np.abs(noises(20, shapes=((1,),), dtype="float64")), RADIUS, 1e-6)


def test_its_directions_are_uniform():
    steps, n = 1200, 10
    directions = noises(steps, dtype="float64") / RADIUS
    # On the unit sphere E[u] = 0, E[u uᵀ] = 1/n, E[u⁴] = 3 / (n (n + 2)); six standard errors.
    np.testing.assert_allclose(directions.mean(0), 0, atol=6 / np.sqrt(n * steps))
    second = directions.T @ directions / steps
    np.testing.assert_allclose(second, np.eye(n) / n, atol=6 * np.sqrt(2) / n / np.sqrt(steps))
    fourth = (directions**4).mean()
    assert fourth == pytest.approx(3 / (n * (n + 2)), rel=6 * 3 / np.sqrt(n * steps))


def test_it_is_fresh_in_every_step_and_the_same_for_a_seed():
    one = noises(30)
    cosines = one @ one.T / RADIUS**2
    assert np.abs(cosines - np.eye(30)).max() < 0.999
    np.testing.assert_array_equal(noises(30), one)
    other, largest = noises(30, noise_seed=1), noises(30, noise_seed=2**32 - 1)
    assert not np.isclose(other, one).any(1).all()
    assert not np.isclose(largest, other).any(1).all()


@pytest.mark.parametrize(
    ("gradient", "interval", "expected"),
    [
        # The norm of the gradient is √10 times its entries'.
        (0.31 / np.sqrt(10), 0, [0] * 7),
        (0.29 / np.sqrt(10), 0, [1] * 7),
        (0.29 / np.sqrt(10), 2, [1, 0, 0, 1, 0, 0, 1]),
    ],
)
def test_stuck_it_comes_where_the_gradient_is_small_and_not_too_often(gradient, interval, expected):
    found = noises(7, gradient, threshold=0.3, interval=interval, dtype="float64")
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), np.multiply(expected, RADIUS), atol=1e-6
    )


@pytest.mark.parametrize("name", FIRST_ORDER)
@pytest.mark.parametrize("how", [{}, {"threshold": 0.5, "interval": 3}])
def test_it_is_the_optimizer_on_a_noisy_gradient(name, how, tmp_path):
    perturbation = {"radius": RADIUS, "noise_seed": 7, **how}
    optimizer = make_optimizer(name, 0.1, perturbation=perturbation)
    plain = make_optimizer(name, 0.1)
    assert isinstance(optimizer, Perturbed)
    assert isinstance(optimizer, type(plain))
    assert stability_line(optimizer) == stability_line(plain)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert optimizer.get_config().items() >= perturbation.items()
    ours, theirs = (keras.Variable(np.zeros(4)) for _ in range(2))
    gradient = tf.constant([0.1, -0.2, 0.3, 0.0])
    drawn = noises(3, shapes=((4,),), noise_seed=7, **how, gradient=0.0)
    for noise in drawn:
        optimizer.apply([gradient], [ours])
        plain.apply([gradient + tf.constant(noise, tf.float32)], [theirs])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)
    assert not np.allclose(ours.numpy()[3], 0)


def test_gradient_descent_stays_on_a_saddle_that_it_leaves_with_noise():
    curvature = tf.constant([1.0, -0.5])

    def end(perturbation):
        variable = keras.Variable([0.1, 0.0])
        optimizer = make_optimizer("gd", 0.1, perturbation=perturbation)
        optimizer.build([variable])
        step = tf.function(lambda: optimizer.apply([curvature * variable.value], [variable]))
        for _ in range(100):
            step()
        return variable.numpy()

    assert end(None)[1] == 0
    stuck = {"radius": 0.01, "threshold": 0.01, "interval": 200}
    # One noise of rate · r · sin(angle), grown by 1.05 in each later step.
    assert 0.01 < abs(end(stuck)[1]) < 0.1 * 0.01 * 1.05**100
    assert abs(end({"radius": 0.01})[1]) > 0.01
