"""The constructed saddle, against the model's Hessian in double precision."""

import keras
import numpy as np
import pytest

from stock_rnn.curvature import HessianOperator, exact_hessian
from stock_rnn.network import build_model
from stock_rnn.study.run.saddle_start import Saddle, constructed_saddle

UNITS = 4


@pytest.fixture(autouse=True)
def float64():
    """Double precision, so that closed forms agree up to rounding."""
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before[0])
    keras.config.set_floatx(before[1])


def windows(scale=1.0, steps=3, n=60):
    """Windows of a strongly autocorrelated series, and the value after each."""
    rng, series = np.random.default_rng(0), np.zeros(n + steps)
    for t in range(1, len(series)):
        series[t] = 0.9 * series[t - 1] + 0.1 + 0.4 * rng.standard_normal()
    x = np.lib.stride_tricks.sliding_window_view(series[:-1], steps)[..., None]
    return scale * x, scale * series[steps:, None]


def placed(scale=1.0, steps=3):
    """A model at its saddle, the saddle, and the data."""
    x, y = windows(scale, steps)
    model = build_model(num_steps=steps, lstm_size=UNITS, keep_prob=1)
    saddle = constructed_saddle(model.get_weights(), x, y)
    model.set_weights(saddle.weights)
    return model, saddle, x, y


def flat(parts):
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_the_gradient_vanishes_and_the_prediction_is_the_mean(steps):
    model, _, x, y = placed(steps=steps)
    np.testing.assert_allclose(HessianOperator(model, "mse", x, y).gradient(), 0, atol=1e-14)
    np.testing.assert_allclose(model(x), np.full(y.shape, y.mean()), rtol=1e-14)


@pytest.mark.parametrize(
    ("scale", "steps", "steeper_than_the_bias"),
    [(1.0, 3, False), (3.0, 3, True), (1.0, 1, False), (3.0, 6, True)],
)
def test_the_spectrum_is_that_of_the_closed_form(scale, steps, steeper_than_the_bias):
    model, saddle, x, y = placed(scale, steps)
    spectrum = np.linalg.eigvalsh(exact_hessian(HessianOperator(model, "mse", x, y)).matrix)
    assert saddle.eigenvalue < -0.05
    assert spectrum[0] == pytest.approx(saddle.eigenvalue, rel=1e-10)
    assert spectrum[-1] == pytest.approx(max(2.0, -saddle.eigenvalue), rel=1e-10)
    assert (-saddle.eigenvalue > 2) == steeper_than_the_bias
    # ±‖c_j‖ for each unit, and 2 for the head's bias; the rest is zero.
    rest = spectrum[np.abs(spectrum) > 1e-12 * np.abs(spectrum).max()]
    rest = np.delete(rest, np.abs(rest - 2).argmin())
    assert len(rest) == 2 * UNITS
    np.testing.assert_allclose(rest, -rest[::-1], rtol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_direction_is_the_unit_eigenvector(scale):
    model, saddle, x, y = placed(scale)
    assert [d.shape for d in saddle.direction] == [w.shape for w in model.weights]
    direction = flat(saddle.direction)
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-14)
    product = HessianOperator(model, "mse", x, y) @ direction
    np.testing.assert_allclose(product, saddle.eigenvalue * direction, atol=1e-12)


def test_the_loss_falls_both_ways_along_the_direction_as_the_eigenvalue_predicts():
    model, saddle, x, y = placed()
    loss = {}
    for radius in (-1e-3, 0.0, 1e-3):
        model.set_weights(saddle.weights_at(radius))
        loss[radius] = np.mean((model(x).numpy() - y) ** 2)
    for radius in (-1e-3, 1e-3):
        fall = loss[radius] - loss[0.0]
        assert fall == pytest.approx(saddle.eigenvalue * radius**2 / 2, rel=1e-3)


@pytest.mark.parametrize("radius", [1e-3, -0.5, 0.0])
def test_displacement_is_the_inverse_of_weights_at(radius):
    _, saddle, _, _ = placed()
    moved = saddle.weights_at(radius)
    assert saddle.displacement(moved) == pytest.approx(radius, abs=1e-15)
    assert np.linalg.norm(flat(moved) - flat(saddle.weights)) == pytest.approx(abs(radius))


def test_displacement_is_measured_from_the_saddle():
    saddle = Saddle([np.array([5.0, 1.0])], -1.0, [np.array([0.6, 0.8])])
    assert saddle.displacement([np.array([5.6, 1.8])]) == pytest.approx(1)
    np.testing.assert_allclose(saddle.weights_at(-2.0)[0], [3.8, -0.6])


def test_displacement_ignores_orthogonal_moves():
    _, saddle, _, _ = placed()
    across = np.random.default_rng(0).standard_normal(len(flat(saddle.direction)))
    across -= flat(saddle.direction) * (across @ flat(saddle.direction))
    cuts = np.cumsum([d.size for d in saddle.direction])[:-1]
    moved = [
        w + part.reshape(w.shape)
        for w, part in zip(saddle.weights_at(0.25), np.split(across, cuts), strict=True)
    ]
    assert saddle.displacement(moved) == pytest.approx(0.25, abs=1e-12)


def test_gradient_descent_leaves_at_the_rate_that_the_eigenvalue_predicts():
    model, saddle, x, y = placed()
    operator, rate = HessianOperator(model, "mse", x, y), 0.1
    weights = flat(saddle.weights_at(1e-6))
    cuts = np.cumsum([d.size for d in saddle.direction])[:-1]
    distance = []
    for _ in range(6):
        parts = [
            part.reshape(w.shape)
            for part, w in zip(np.split(weights, cuts), saddle.weights, strict=True)
        ]
        model.set_weights(parts)
        distance.append(saddle.displacement(parts))
        weights = weights - rate * operator.gradient()
    growth = np.array(distance[1:]) / distance[:-1]
    np.testing.assert_allclose(growth, 1 + rate * abs(saddle.eigenvalue), rtol=1e-5)


def test_the_gates_are_kept_and_the_given_weights_unchanged():
    x, y = windows()
    model = build_model(num_steps=3, lstm_size=UNITS, keep_prob=1)
    given = model.get_weights()
    before = [w.copy() for w in given]
    kernel, recurrent, bias, head, head_bias = constructed_saddle(given, x, y).weights
    gates = np.r_[0 : 2 * UNITS, 3 * UNITS : 4 * UNITS]
    for kept, drawn in zip((kernel, recurrent, bias), before, strict=False):
        np.testing.assert_array_equal(kept[..., gates], drawn[..., gates])
        np.testing.assert_array_equal(kept[..., 2 * UNITS : 3 * UNITS], 0)
    np.testing.assert_array_equal(head, 0)
    np.testing.assert_array_equal(head_bias, y.mean())
    for now, then in zip(given, before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    "settings",
    [{"input_size": 2}, {"num_layers": 2}, {"cell": "gru"}, {"cell": "simple_rnn"}],
    ids=str,
)
def test_another_network_is_refused(settings):
    x, y = windows()
    model = build_model(**{"num_steps": 3, "lstm_size": UNITS, "keep_prob": 1, **settings})
    with pytest.raises(ValueError, match=r"one LSTM layer|unpack"):
        constructed_saddle(model.get_weights(), x, y)


def test_a_recurrent_kernel_of_another_shape_is_refused():
    x, y = windows()
    weights = build_model(num_steps=3, lstm_size=UNITS, keep_prob=1).get_weights()
    weights[1] = weights[1][:-1]
    with pytest.raises(ValueError, match=r"recurrent kernel \(3, 16\)"):
        constructed_saddle(weights, x, y)
