"""The gradient's flow: against powers of a matrix, and against differences in NumPy."""

import keras
import numpy as np
import pytest

from stock_rnn.config import ACTIVATIONS
from stock_rnn.network import build_model
from stock_rnn.network.gradient_flow import GradientProbe, _slopes, layer_names, reach

STEPS, UNITS, EXAMPLES = 4, 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(EXAMPLES, STEPS, 2)).astype(np.float32)
Y = RNG.normal(size=(EXAMPLES, 2)).astype(np.float32)


def model_of(**options):
    keras.utils.set_random_seed(1)
    model = build_model(
        **{"input_size": 2, "num_steps": STEPS, "lstm_size": UNITS, "keep_prob": 0.5, **options}
    )
    # Biases other than zero.
    model.set_weights([w + 0.1 * RNG.normal(size=w.shape) for w in model.get_weights()])
    return model


def root_mean_square(gradients):
    """(B, S) -> the root mean square of the rows' norms."""
    return np.sqrt(np.mean(np.sum(gradients**2, axis=-1)))


def test_of_a_linear_simple_rnn_it_is_powers_of_the_recurrent_matrix():
    model = model_of(cell="simple_rnn", activation="linear", recurrent_initializer="he_normal")
    flow = GradientProbe(model, X, Y).measure()
    weights = [w.astype(np.float64) for w in model.get_weights()]
    w, u, b, head, head_bias = weights
    h = np.zeros((EXAMPLES, UNITS))
    for t in range(STEPS):
        h = X[:, t] @ w + h @ u + b
    # L_b is the mean over two prices.
    at_last = (h @ head + head_bias - Y) @ head.T
    expected = [
        root_mean_square(at_last @ np.linalg.matrix_power(u.T, STEPS - t))
        for t in range(1, STEPS + 1)
    ]
    np.testing.assert_allclose(flow.states["layer_1"], expected, rtol=1e-5)
    np.testing.assert_allclose(flow.predicted, expected, rtol=1e-5)
    assert reach(flow.states["layer_1"]) == pytest.approx(expected[0] / expected[-1], rel=1e-5)
    # The head's bias: the mean error; its kernel: that of products with h.
    error = (h @ head + head_bias - Y) / EXAMPLES
    squares = np.sum((h.T @ error) ** 2) + np.sum(error.sum(axis=0) ** 2)
    assert flow.norms["head"] == pytest.approx(np.sqrt(squares), rel=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_the_derivatives_of_the_activation(activation):
    cell = keras.layers.SimpleRNNCell(1, activation=activation)
    x = np.array([-2.0, -0.3, 0.4, 1.5])
    above, here, below = (np.array(cell.activation(x + by)) for by in (1e-5, 0.0, -1e-5))
    np.testing.assert_allclose(_slopes(cell, here), (above - below) / 2e-5, rtol=1e-4)


def test_the_product_of_jacobians_is_the_flow_of_a_simple_rnn():
    model = model_of(cell="simple_rnn", recurrent_initializer="he_normal")
    flow = GradientProbe(model, X, Y).measure()
    np.testing.assert_allclose(flow.predicted, flow.states["layer_1"], rtol=1e-4)
    assert flow.memories == {}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def losses(weights, displaced):
    """(B,): the losses of two LSTM layers in NumPy.

    Args:
        weights: of the model, float64.
        displaced: (layer, t, which) -> what is added to h (0) or c (1) there.
    """
    x = X.astype(np.float64)
    for layer in range(2):
        kernel, recurrent, bias = weights[3 * layer : 3 * layer + 3]
        h = c = np.zeros((EXAMPLES, UNITS))
        found = []
        for t in range(STEPS):
            i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g) + displaced.get((layer, t, 1), 0)
            h = sigmoid(o) * np.tanh(c) + displaced.get((layer, t, 0), 0)
            found.append(h)
        x = np.stack(found, axis=1)
    return np.mean((x[:, -1] @ weights[-2] + weights[-1] - Y) ** 2, axis=1)


def test_of_stacked_lstms_it_is_the_difference_of_the_losses():
    model = model_of(num_layers=2, unroll=False)
    flow = GradientProbe(model, X, Y).measure()
    weights = [w.astype(np.float64) for w in model.get_weights()]
    for layer, t, which in [
        (0, 0, 0),
        (0, 2, 1),
        (0, 3, 1),
        (1, 0, 1),
        (1, 2, 0),
        (1, 3, 0),
        (1, 3, 1),
    ]:
        steps = 1e-5 * np.eye(UNITS)
        gradient = (
            np.stack(
                [
                    losses(weights, {(layer, t, which): step})
                    - losses(weights, {(layer, t, which): -step})
                    for step in steps
                ],
                axis=1,
            )
            / 2e-5
        )
        found = (flow.states, flow.memories)[which][f"layer_{layer + 1}"][t]
        assert found == pytest.approx(root_mean_square(gradient), rel=1e-4), (layer, t, which)


@pytest.mark.parametrize("cell", ["lstm", "tt-lstm"])
def test_the_forget_gates_alone_carry_the_memory_of_an_lstm_whose_states_are_not_read(cell):
    model = model_of(cell=cell, tt_rank=4)
    rnn = model.layers[1]
    for weight in rnn.cell.weights:
        if "recurrent" in weight.path:
            weight.assign(0 * weight)
    flow = GradientProbe(model, X, Y).measure()
    np.testing.assert_allclose(flow.predicted, flow.memories["layer_1"], rtol=1e-4)
    assert 0 < reach(flow.predicted) < 0.9


def test_the_gates_alone_carry_the_state_of_a_gru_whose_states_are_not_read():
    model = model_of(cell="gru")
    kernel, recurrent, bias, *head = model.get_weights()
    model.set_weights([kernel, 0 * recurrent, bias, *head])
    flow = GradientProbe(model, X, Y).measure()
    np.testing.assert_allclose(flow.predicted, flow.states["layer_1"], rtol=1e-4)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_norms_are_those_of_the_gradients_of_the_whole_loss(norm):
    import tensorflow as tf

    model = model_of(num_layers=2, norm=norm, cell="simple_rnn")
    before = [variable.numpy() for variable in model.variables]
    flow = GradientProbe(model, X, Y).measure()
    for was, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(was, variable.numpy())
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(X, training=False) - Y))
    gradients = tape.gradient(loss, model.trainable_variables)
    norms = {
        v.path: np.linalg.norm(g) for v, g in zip(model.trainable_variables, gradients, strict=True)
    }
    for name, layer in layer_names(model).items():
        expected = np.linalg.norm([norms[v.path] for v in layer.trainable_variables])
        assert flow.norms[name] == pytest.approx(expected, rel=1e-4)
    assert list(flow.norms)[:1] + list(flow.norms)[-1:] == ["layer_1", "head"]


def test_what_reaches_the_first_step_of_nothing_is_undefined():
    assert np.isnan(reach(np.zeros(3)))
