"""Every optimizer against its formula in the lectures, step by step in float64."""

import keras
import numpy as np
import pytest

from stock_rnn.config import FIRST_ORDER
from stock_rnn.optimizers import make_optimizer

RATE = 0.25
START = np.array([1.0, -2.0, 0.5])
# Ill-conditioned, with a direction of negative curvature.
CURVATURE = np.diag([3.0, 0.1, -0.2]) + 0.05
STEPS = 12


def gradient(w):
    return CURVATURE @ w


def keras_path(name, **hyperparameters):
    """(STEPS + 1, 3): the iterates of the package's optimizer."""
    variable = keras.Variable(START, dtype="float64")
    optimizer = make_optimizer(name, RATE, **hyperparameters)
    optimizer.build([variable])
    path = [START]
    for _ in range(STEPS):
        optimizer.apply([keras.ops.convert_to_tensor(gradient(path[-1]))], [variable])
        path.append(variable.numpy())
    return np.array(path)


def lecture_gd():
    w = START
    while True:
        yield w
        w = w - RATE * gradient(w)


def lecture_momentum(eta=0.9):
    w, v = START, np.zeros(3)
    while True:
        yield w
        v = -RATE * gradient(w) + eta * v
        w = w + v


def lecture_nesterov(eta=0.9):
    """The points at which the lecture takes the gradient, w + ηv."""
    w, v = START, np.zeros(3)
    while True:
        yield w + eta * v
        v = -RATE * gradient(w + eta * v) + eta * v
        w = w + v


def lecture_adagrad(epsilon=1e-7, r=0.1):
    w = START
    while True:
        yield w
        g = gradient(w)
        r = r + g * g
        w = w - RATE / np.sqrt(r + epsilon) * g


def lecture_rmsprop(rho=0.9, epsilon=1e-7, r=0.0):
    w = START
    while True:
        yield w
        g = gradient(w)
        r = rho * r + (1 - rho) * g * g
        w = w - RATE / np.sqrt(r + epsilon) * g


def tf1_rmsprop(rho=0.9, epsilon=1e-10):
    return lecture_rmsprop(rho, epsilon, r=1.0)


def keras_adam(beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Kingma and Ba's with their ε̂; the lecture has √(r̂ + ε) in place of √r̂ + ε̂/√(1 - β₂ᵗ)."""
    w, v, r, t = START, np.zeros(3), np.zeros(3), 0
    while True:
        yield w
        t += 1
        g = gradient(w)
        v = (1 - beta_1) * g + beta_1 * v
        r = (1 - beta_2) * g * g + beta_2 * r
        rate = RATE * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w = w - rate * v / (np.sqrt(r) + epsilon)


FORMULAS = {
    "gd": lecture_gd,
    "sgd": lecture_gd,
    "momentum": lecture_momentum,
    "nesterov": lecture_nesterov,
    "adagrad": lecture_adagrad,
    "rmsprop": lecture_rmsprop,
    "rmsprop-tf1": tf1_rmsprop,
    "adam": keras_adam,
}

# Far from the defaults, so that each one shows.
OTHERS = {
    "gd": {},
    "sgd": {},
    "momentum": {"eta": 0.5},
    "nesterov": {"eta": 0.5},
    "adagrad": {"epsilon": 0.3, "r": 2.0},
    "rmsprop": {"rho": 0.4, "epsilon": 0.3},
    "rmsprop-tf1": {"rho": 0.4, "epsilon": 0.3},
    "adam": {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.3},
}
FLAGS = {"eta": "momentum", "r": "initial_accumulator_value"}


def test_every_optimizer_has_its_formula_here():
    assert tuple(FORMULAS) == FIRST_ORDER


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("defaults", [True, False])
def test_the_steps_are_the_formulas(name, defaults):
    values = {} if defaults else OTHERS[name]
    steps = FORMULAS[name](**values)
    expected = np.array([next(steps) for _ in range(STEPS + 1)])
    found = keras_path(name, **{FLAGS.get(key, key): value for key, value in values.items()})
    # Keras keeps scalars in float32: 1 - β₂ is wrong in its fifth digit.
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
    if values:
        assert np.abs(found - keras_path(name)).max() > 0.01


def test_nesterovs_step_is_not_that_of_momentum():
    assert np.abs(keras_path("nesterov") - keras_path("momentum")).max() > 0.1


@pytest.mark.parametrize(
    ("name", "given"),
    [("sgd", "momentum"), ("momentum", "rho"), ("rmsprop", "beta_1"), ("adam", "learning")],
)
def test_a_hyperparameter_that_an_optimizer_has_not_is_refused(name, given):
    with pytest.raises(ValueError, match=f"{name} has no hyperparameter {given}"):
        make_optimizer(name, 0.1, **{given: 0.5})
