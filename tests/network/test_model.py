import keras
import numpy as np
import pytest

from stock_rnn.curvature import HessianOperator
from stock_rnn.network import LAST_OUTPUT, LayerNormalization, build_model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_lstm(x, kernel, recurrent, bias):
    """(batch, T, D) -> (batch, T, S), Keras's gate order i, f, c, o."""
    size = recurrent.shape[0]
    h = c = np.zeros((len(x), size))
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_forward_pass_equals_that_of_a_numpy_lstm(layers, unroll):
    keras.utils.set_random_seed(0)
    model = build_model(
        input_size=2, num_steps=4, num_layers=layers, lstm_size=5, unroll=unroll, keep_prob=0.5
    )
    x = np.random.default_rng(0).normal(size=(6, 4, 2))
    weights = [w.astype(np.float64) for w in model.get_weights()]
    hidden = x
    for layer in range(layers):
        hidden = numpy_lstm(hidden, *weights[3 * layer : 3 * layer + 3])
    expected = hidden[:, -1] @ weights[-2] + weights[-1]
    np.testing.assert_allclose(model(x, training=False), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "size", "width"), [(1, 32, 1), (1, 128, 1), (5, 128, 1), (2, 7, 4)]
)
def test_the_number_of_parameters_follows_the_formula(layers, size, width):
    model = build_model(input_size=width, num_steps=3, num_layers=layers, lstm_size=size)
    first = 4 * size * (width + size + 1)
    others = 4 * size * (size + size + 1)
    head = (size + 1) * width
    assert model.count_params() == first + (layers - 1) * others + head


def test_the_smallest_network_of_the_report_has_4385_parameters():
    assert build_model(num_steps=3, lstm_size=32).count_params() == 4385


def test_the_head_is_truncated_normal_with_bias_a_tenth():
    keras.utils.set_random_seed(0)
    kernel, bias = (
        build_model(input_size=1000, num_steps=3, lstm_size=5).get_layer("head").get_weights()
    )
    np.testing.assert_array_equal(bias, np.full(1000, 0.1, np.float32))
    assert np.abs(kernel).max() <= 2
    # A standard normal cut at two standard deviations has this one: 0.8796.
    assert kernel.std() == pytest.approx(0.8796, abs=0.03)


def test_dropout_draws_a_fresh_mask_at_each_step_and_keeps_the_mean():
    keras.utils.set_random_seed(0)
    model = build_model(num_steps=3, num_layers=2, lstm_size=64, keep_prob=0.8)
    inner = keras.Model(model.inputs, model.get_layer("dropout_1").output)
    plain = keras.Model(model.inputs, model.get_layer("lstm_1").output)
    x = np.random.default_rng(0).normal(size=(512, 3, 1))
    dropped, kept = np.array(inner(x, training=True)), np.array(plain(x))
    masks = dropped != 0
    assert masks.mean() == pytest.approx(0.8, abs=0.01)
    assert (masks[:, 0] != masks[:, 1]).mean() == pytest.approx(2 * 0.8 * 0.2, abs=0.02)
    np.testing.assert_allclose(dropped[masks], kept[masks] / 0.8, rtol=1e-5)


def test_a_forward_pass_without_training_draws_no_random_numbers():
    model = build_model(num_steps=3, num_layers=2, lstm_size=4)
    before = [v.numpy().copy() for v in model.variables]
    model(np.ones((2, 3, 1)), training=False)
    for was, now in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(was, now.numpy())


def test_tf1_initial_weights():
    keras.utils.set_random_seed(0)
    model = build_model(input_size=3, num_steps=2, num_layers=2, lstm_size=64, init="tf1")
    for layer, width in (("lstm_1", 3), ("lstm_2", 64)):
        kernel, recurrent, bias = model.get_layer(layer).get_weights()
        # tf.compat.v1.glorot_uniform over the joint (width + size, 4 * size) matrix.
        limit = np.sqrt(6 / ((width + 64) + 4 * 64))
        joint = np.concatenate([kernel, recurrent])
        assert np.abs(joint).max() <= limit
        assert joint.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
        i, f, c, o = np.split(bias, 4)
        np.testing.assert_array_equal(f, np.ones(64))
        np.testing.assert_array_equal(np.concatenate([i, c, o]), np.zeros(192))


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn", "tt-lstm"])
@pytest.mark.parametrize("keep_prob", [0.5, 1.0])
def test_the_last_output_has_the_same_name_for_every_cell(cell, keep_prob):
    model = build_model(num_steps=2, num_layers=2, lstm_size=4, cell=cell, keep_prob=keep_prob)
    assert model.get_layer(LAST_OUTPUT).output.shape == (None, 4)


def test_the_lectures_parameter_counts():
    # Lecture 1: SimpleRNN(3) and LSTM(16) on two features.
    simple = keras.layers.SimpleRNNCell(3)
    lstm = keras.layers.LSTMCell(16)
    gru, first_gru = (keras.layers.GRUCell(16, reset_after=after) for after in (True, False))
    for cell in (simple, lstm, gru, first_gru):
        cell.build((None, 2))
    assert (simple.count_params(), lstm.count_params()) == (18, 1216)
    # Its GRU has three gates without biases. The formulation of 2014 with a bias has one of
    # each gate, Keras's default, which resets after the product with the state, two.
    lecture = 3 * 16 * (2 + 16)
    assert lecture == 864
    assert first_gru.count_params() == lecture + 3 * 16 == 912
    assert gru.count_params() == lecture + 2 * 3 * 16 == 960


def test_layer_normalization_is_that_of_keras_and_can_be_differentiated_twice():
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    ours, theirs = LayerNormalization(), keras.layers.LayerNormalization()
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights([np.array([1.0, 2, 3, 4]), np.array([0.5, 0, 1, -1])])
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)
    keras.utils.set_random_seed(0)
    model = build_model(num_steps=2, num_layers=2, lstm_size=3, norm="layer")
    operator = HessianOperator(model, "mse", x[:, :2, :1], x[:, 0, :1])
    assert np.isfinite(operator @ np.ones(model.count_params())).all()
    assert operator.verified


def test_the_forget_bias_is_that_of_the_forget_gate():
    for cell in ("lstm", "tt-lstm"):
        layer = build_model(num_steps=2, lstm_size=3, cell=cell, forget_bias=2.5).layers[1]
        np.testing.assert_array_equal(layer.cell.bias.numpy(), [0] * 3 + [2.5] * 3 + [0] * 6)


def test_the_cells_have_the_activation_and_the_initial_weights_that_are_asked_for():
    options = {"kernel_initializer": "he_normal", "recurrent_initializer": "identity"}
    model = build_model(
        num_steps=2, lstm_size=200, cell="simple_rnn", activation="leaky_relu", **options
    )
    cell = model.layers[1].cell
    # Truncated normal of variance 2 / width.
    assert cell.kernel.numpy().std() == pytest.approx(np.sqrt(2), rel=0.2)
    np.testing.assert_array_equal(cell.recurrent_kernel.numpy(), np.eye(200))
    x = np.random.default_rng(0).normal(size=(4, 1))
    moved = x @ cell.kernel.numpy()
    found = cell(keras.ops.convert_to_tensor(x, "float32"), [np.zeros((4, 200), "f4")])[0]
    np.testing.assert_allclose(found, np.where(moved > 0, moved, 0.2 * moved), atol=1e-6)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("keep_prob", [0.5, 1.0])
def test_normalization_stands_after_each_recurrent_layer_and_before_dropout(norm, keep_prob):
    model = build_model(num_steps=2, num_layers=2, lstm_size=4, norm=norm, keep_prob=keep_prob)
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    part = ["RNN", {"layer": "LayerNormalization", "batch": "BatchNormalization"}[norm]]
    part += ["Dropout"] * (keep_prob < 1)
    assert kinds == [*part, *part, "Dense"]
