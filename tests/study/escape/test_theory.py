"""The predicted steps, against iterated quadratics and Keras's own optimizers."""

import math

import keras
import numpy as np
import pytest

from stock_rnn.optimizers import make_optimizer, saddle_free_step
from stock_rnn.study.escape import theory
from stock_rnn.study.escape.plan import FACTOR, NOISE, RADIUS

C = (0.004, 0.03)
SIZE = math.hypot(*C)


def test_the_quadratic_has_the_eigenvalue_and_its_eigenvector():
    hessian, direction = theory.quadratic(C)
    assert np.linalg.eigvalsh(hessian)[0] == pytest.approx(-SIZE)
    np.testing.assert_allclose(hessian @ direction, -SIZE * direction, atol=1e-15)
    assert np.linalg.norm(direction) == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [0.1, 1.0, 30.0])
def test_closed_forms_agree_with_the_iterated_rule(rate):
    pace = rate * SIZE
    iterated = theory.live_steps("sgd", rate, C, 10_000)
    assert iterated == math.ceil(theory.gradient_descent_steps(pace))
    iterated = theory.live_steps("momentum", rate, C, 10_000)
    assert iterated == pytest.approx(theory.heavy_ball_steps(pace), abs=1.5)


def test_the_heavy_balls_growth_is_a_root_above_gradient_descents():
    z = theory.heavy_ball_root(0.01, 0.9)
    assert z**2 - (1 + 0.9 + 0.01) * z + 0.9 == pytest.approx(0.0, abs=1e-14)
    assert z > 1.01
    assert theory.heavy_ball_root(0.01, 0.0) == pytest.approx(1.01)


@pytest.mark.parametrize("name", theory.RULES)
def test_a_rule_is_that_of_the_optimizer(name):
    rng, rate = np.random.default_rng(0), 0.01
    weights = keras.Variable(np.zeros(3), dtype="float64")
    optimizer = make_optimizer(name, rate)
    optimizer.build([weights])
    rule, at = theory.RULES[name](), np.zeros(3)
    next(rule)
    for _ in range(5):
        gradient = 1e-2 * rng.standard_normal(3)
        optimizer.apply([gradient], [weights])
        at = at - rate * rule.send(gradient)
    np.testing.assert_allclose(weights.numpy(), at, rtol=2e-5)


def test_noise_leaves_as_many_iterated_walks_do():
    rate, n, rng = 0.5, 400, np.random.default_rng(0)
    steps = theory.perturbed_steps(rate, -SIZE, n)
    at = np.full(4_000, RADIUS)
    for _ in range(round(steps)):
        # One entry of a vector uniform on a sphere in many dimensions.
        at = (1 + rate * SIZE) * at - rate * NOISE / math.sqrt(n) * rng.standard_normal(at.shape)
    assert np.sqrt(np.mean(at**2)) == pytest.approx(FACTOR * RADIUS, rel=0.1)
    # Without noise it would be gradient descent.
    assert theory.perturbed_steps(rate, -SIZE, 10**12) == pytest.approx(
        theory.gradient_descent_steps(rate * SIZE), rel=1e-6
    )


def test_saddle_free_newton_doubles_the_distance():
    class Quadratic:
        shape = (3, 3)
        hessian, _ = theory.quadratic(C)

        def __init__(self, at):
            self.at = at

        def __matmul__(self, vector):
            return self.hessian @ vector

        def gradient(self):
            return self.hessian @ self.at

        def loss(self):
            return self.loss_at(0.0)

        def loss_at(self, step):
            at = self.at + step
            return float(at @ self.hessian @ at / 2)

    at = RADIUS * theory.quadratic(C)[1]
    count = 0
    while np.linalg.norm(at) < FACTOR * RADIUS and count < 20:
        count += 1
        at = at + saddle_free_step(Quadratic(at), 3)
    assert count == math.ceil(theory.saddle_free_steps(-SIZE)) == 7


def test_rmsprop_leaves_in_steps_of_the_rate_where_gradients_are_large():
    # Each of the two entries that move goes by a little more than the rate in a step: the
    # gradient grows, and its mean square lags. The curvature does not matter.
    rate = 1e-4
    steps = {c: theory.live_steps("rmsprop", rate, (0.0, c), 10_000) for c in (1e3, 1e5)}
    linear = (FACTOR - 1) * RADIUS * math.sqrt(0.5) / rate
    assert steps[1e3] == steps[1e5] == pytest.approx(linear, rel=0.08)


def test_a_frozen_d_divides_the_curvature():
    d = np.array([0.5, 0.5, 0.5])
    assert theory.frozen_steps(0.1, C, d) == pytest.approx(
        theory.gradient_descent_steps(0.1 * SIZE / 0.5)
    )
    gradient = np.abs(theory.quadratic(C)[0] @ (RADIUS * theory.quadratic(C)[1]))
    expected = np.sqrt(0.1 * gradient**2 + 1e-7)
    np.testing.assert_allclose(theory.first_diagonal(C), expected)


def test_beyond_the_limit_there_are_no_steps():
    assert theory.live_steps("adagrad", 1e-6, C, 10) == math.inf
