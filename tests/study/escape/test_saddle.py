"""The saddle of the frozen bias, against the model's Hessian in double precision."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from stock_rnn.curvature import HessianOperator, exact_hessian
from stock_rnn.network import build_model
from stock_rnn.study.run.saddle_start import Saddle, constructed_saddle

UNITS, BIAS, SCALE = 3, 0.1, 100.0


@dataclasses.dataclass
class Placed:
    """A model at the saddle of labels and bias times `SCALE`; what was measured there."""

    saddle: Saddle  # of scale 1
    weights: int
    predictions: np.ndarray
    gradients: list[np.ndarray]  # of the whole set, of a batch, of one example
    hessian: np.ndarray


@pytest.fixture(scope="module")
def placed():
    """In double precision, so that closed forms agree up to rounding."""
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        return _placed()
    finally:
        keras.config.set_floatx(before[1])
        keras.config.set_dtype_policy(before[0])


def _placed():
    rng = np.random.default_rng(0)
    x, y = 0.3 * rng.standard_normal((20, 3, 1)), 0.1 * rng.standard_normal((20, 1))
    model = build_model(num_steps=3, lstm_size=UNITS, keep_prob=1)
    model.layers[-1].bias.trainable = False
    saddle = constructed_saddle(model.get_weights(), x, y, frozen_bias=BIAS)
    model.set_weights([*saddle.weights[:-1], SCALE * saddle.weights[-1]])
    variables = model.trainable_variables

    def gradient(examples):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x[examples]) - SCALE * y[examples]) ** 2)
        parts = tape.gradient(loss, variables)
        return np.concatenate([part.numpy().ravel() for part in parts])

    operator = HessianOperator(model, "mse", x, SCALE * y, variables=variables)
    return Placed(
        saddle=saddle,
        weights=sum(int(np.prod(v.shape)) for v in variables),
        predictions=model(x).numpy(),
        gradients=[gradient(examples) for examples in (slice(None), slice(3, 9), slice(0, 1))],
        hessian=exact_hessian(operator).matrix,
    )


def test_the_frozen_bias_is_no_weight_and_is_what_is_predicted(placed):
    assert placed.weights == 4 * UNITS * (UNITS + 2) + UNITS
    np.testing.assert_allclose(placed.predictions, SCALE * BIAS, rtol=1e-14)
    np.testing.assert_array_equal(placed.saddle.direction[-1], 0.0)


def test_the_gradient_of_every_batch_vanishes(placed):
    for gradient in placed.gradients:
        np.testing.assert_allclose(gradient, 0.0, atol=1e-15)


def test_the_spectrum_is_that_of_the_closed_form(placed):
    spectrum = np.linalg.eigvalsh(placed.hessian)
    # Labels and bias multiplied by a scale multiply the Hessian.
    assert spectrum[0] == pytest.approx(SCALE * placed.saddle.eigenvalue, rel=1e-10)
    assert placed.saddle.eigenvalue < -0.01
    # ±‖c_j‖ for each unit; the rest is zero.
    rest = spectrum[np.abs(spectrum) > 1e-12 * np.abs(spectrum).max()]
    assert len(rest) == 2 * UNITS
    np.testing.assert_allclose(rest, -rest[::-1], rtol=1e-10)


def test_the_direction_is_the_eigenvector(placed):
    direction = np.concatenate([part.ravel() for part in placed.saddle.direction[:-1]])
    expected = SCALE * placed.saddle.eigenvalue * direction
    np.testing.assert_allclose(placed.hessian @ direction, expected, atol=1e-11)
