"""Products with the Hessian, against closed forms and differences of gradients."""

import itertools
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from stock_rnn.curvature import (
    HessianOperator,
)
from tests.curvature.cases import N, draw
from tests.curvature.operators.brute_force import plain_gradient, shift, squared
from tests.samples import sampled

pytestmark = pytest.mark.usefixtures("float64")


def along(model, loss, x, y, direction, step=1e-5):
    """Central difference of the gradient along a direction: H v up to step²."""
    shift(model, step * direction)
    ahead = plain_gradient(model, loss, x, y)
    shift(model, -2 * step * direction)
    behind = plain_gradient(model, loss, x, y)
    shift(model, step * direction)
    return (ahead - behind) / (2 * step)


# Closed forms


def test_linear_regression_has_the_moments_of_its_inputs():
    x, y = draw(N, 3), draw(N, 2, seed=1)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    hessian = HessianOperator(model, "mse", x, y) @ np.eye(8)
    with_bias = np.hstack([x, np.ones((N, 1))])
    # The mean over examples and over both outputs.
    expected = np.kron(2 * with_bias.T @ with_bias / (2 * N), np.eye(2))
    np.testing.assert_allclose(hessian, expected, atol=1e-12)


def test_logistic_regression_weighs_its_inputs_by_the_variance():
    x, y = draw(N, 3), np.arange(N) % 2
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    hessian = HessianOperator(model, loss, x, y[:, None]) @ np.eye(3)
    p = 1 / (1 + np.exp(-x @ model.get_weights()[0]))
    np.testing.assert_allclose(hessian, x.T @ (p * (1 - p) * x) / N, atol=1e-12)


def test_two_linear_layers_at_the_origin_are_a_strict_saddle():
    x, y = draw(N, 3), draw(N, 2, seed=1)
    model = keras.Sequential(
        [keras.Input((3,))] + [layers.Dense(k, use_bias=False) for k in (4, 2)]
    )
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    operator = HessianOperator(model, "mse", x, y)
    correlation = 2 * x.T @ y / (2 * N)
    singular = np.linalg.svd(correlation, compute_uv=False)
    # Once for each of the four hidden units, and zero for what is left of 12 + 8.
    expected = np.sort(np.concatenate([np.zeros(4), *[singular, -singular] * 4]))
    np.testing.assert_allclose(np.linalg.eigvalsh(operator @ np.eye(20)), expected, atol=1e-12)
    np.testing.assert_array_equal(operator.gradient(), np.zeros(20))


def test_every_entry_agrees_with_central_differences_on_a_stacked_lstm():
    cells = [layers.LSTMCell(2), layers.LSTMCell(1)]
    model = keras.Sequential([keras.Input((2, 1)), layers.RNN(cells, unroll=True), layers.Dense(1)])
    x, y = draw(N, 2, 1), draw(N, 1, seed=1)
    operator = HessianOperator(model, "mse", x, y)
    unit = np.eye(operator.shape[0])
    differences = np.stack([along(model, squared, x, y, e) for e in unit], axis=1)
    np.testing.assert_allclose(operator @ unit, differences, rtol=0, atol=1e-6)


# Any layer

KINDS = {
    "dense": lambda: (keras.Input((6,)), [layers.Dense(3, "tanh")]),
    "conv": lambda: (
        keras.Input((6, 6, 1)),
        [layers.Conv2D(2, 3, activation="tanh"), layers.Flatten()],
    ),
    "conv1d": lambda: (keras.Input((6, 2)), [layers.Conv1D(2, 3), layers.Flatten()]),
    "batch normalization": lambda: (
        keras.Input((6,)),
        [layers.Dense(3), layers.BatchNormalization(), layers.Activation("tanh")],
    ),
    "embedding": lambda: (
        keras.Input((5,), dtype="int32"),
        [layers.Embedding(9, 2), layers.GRU(2, unroll=True)],
    ),
    "simple rnn": lambda: (keras.Input((4, 2)), [layers.SimpleRNN(3)]),
    "simple rnn unrolled": lambda: (keras.Input((4, 2)), [layers.SimpleRNN(3, unroll=True)]),
    "lstm": lambda: (keras.Input((4, 2)), [layers.LSTM(3)]),
    "lstm unrolled": lambda: (keras.Input((4, 2)), [layers.LSTM(3, unroll=True)]),
    "gru": lambda: (keras.Input((4, 2)), [layers.GRU(3)]),
    "gru unrolled": lambda: (keras.Input((4, 2)), [layers.GRU(3, unroll=True)]),
    "rnn of cells": lambda: (keras.Input((4, 2)), [layers.RNN([layers.LSTMCell(2)] * 1)]),
    "stacked rnn": lambda: (
        keras.Input((4, 2)),
        [layers.RNN(layers.LSTMCell(2), return_sequences=True), layers.RNN(layers.LSTMCell(2))],
    ),
    "cell with dropout": lambda: (
        keras.Input((4, 2)),
        [layers.RNN(layers.LSTMCell(2, dropout=0.5, recurrent_dropout=0.5), unroll=True)],
    ),
    "bidirectional": lambda: (keras.Input((4, 2)), [layers.Bidirectional(layers.LSTM(2))]),
}


# These take seconds to differentiate twice; those of the LSTM and the embedding stand for them.
SLOW = (
    "simple rnn", "gru", "rnn of cells", "stacked rnn", "bidirectional", "simple rnn unrolled",
    "gru unrolled", "cell with dropout",
)  # fmt: skip


@pytest.mark.parametrize("kind", sampled(KINDS, [kind for kind in KINDS if kind not in SLOW]))
def test_products_are_symmetric_and_match_differences(kind):
    first, stack = KINDS[kind]()
    model = keras.Sequential([first, *stack, layers.Dropout(0.5), layers.Dense(1)])
    integers = first.dtype == "int32"
    shape = (N, *first.shape[1:])
    x = np.random.default_rng(0).integers(0, 9, shape) if integers else draw(*shape)
    y = draw(N, 1, seed=1)
    operator = HessianOperator(model, "mse", x, y)
    u, v = draw(2, operator.shape[0])
    hu, hv = operator @ u, operator @ v
    assert u @ hv == pytest.approx(v @ hu, rel=1e-10)
    np.testing.assert_allclose(
        operator.gradient(), plain_gradient(model, squared, x, y), atol=1e-12
    )
    np.testing.assert_allclose(hv, along(model, squared, x, y, v), rtol=0, atol=1e-6)
    assert np.linalg.norm(hv) > 1e-3


def test_variables_that_the_loss_does_not_reach_give_zero_blocks():
    first = keras.Input((3,))
    used, unused = layers.Dense(1, use_bias=False), layers.Dense(2, use_bias=False)
    model = keras.Model(first, [used(first), unused(first)])
    x, y = draw(N, 3), draw(N, 1)
    operator = HessianOperator(model, lambda y, p: tf.square(y - p[0]), x, y)
    hessian = operator @ np.eye(9)
    np.testing.assert_allclose(hessian[:3, :3], 2 * x.T @ x / N, atol=1e-12)
    np.testing.assert_array_equal(hessian[3:], 0)
    np.testing.assert_array_equal(hessian[:, 3:], 0)


def test_a_linear_loss_has_no_curvature():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    operator = HessianOperator(model, lambda y, p: y * p, draw(N, 3), draw(N, 1))
    np.testing.assert_array_equal(operator @ np.eye(4), np.zeros((4, 4)))
    assert np.abs(operator.gradient()).max() > 0


# The loss


def test_the_loss_is_what_keras_evaluates_with_regularization_once():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l2"),
            layers.Dense(1, bias_regularizer="l2", bias_initializer="ones"),
        ]
    )
    x, y = draw(N, 3), draw(N, 1)
    model.compile(loss="mse")
    for batch_size in (None, 3):
        # By batch: older Keras sums the penalty on activities over a batch.
        expected = model.evaluate(x, y, batch_size=batch_size or N, verbose=0)
        operator = HessianOperator(model, "mse", x, y, batch_size=batch_size)
        assert operator.loss() == pytest.approx(expected, rel=1e-12)


# Made in the test: a loss object takes on the default type of its time.
LOSSES = {
    "name": lambda: "mse",
    "class name": lambda: "MeanAbsoluteError",
    "object": lambda: keras.losses.Huber(),
    "sum": lambda: keras.losses.MeanSquaredError("sum"),
    "function": lambda: squared,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_without_a_last_axis_mean_the_same(loss):
    loss = LOSSES[loss]()
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    x, y = draw(N, 3), draw(N)
    model.compile(loss=loss)
    expected = model.evaluate(x, y, batch_size=N, verbose=0)
    assert HessianOperator(model, loss, x, y).loss() == pytest.approx(expected, rel=1e-12)


def test_integer_labels():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "softmax")])
    x, y = draw(N, 3), np.arange(N) % 4
    loss = keras.losses.SparseCategoricalCrossentropy()
    operator = HessianOperator(model, loss, x, y)
    assert operator.loss() == pytest.approx(float(loss(y, model(x))), rel=1e-12)
    hessian = operator @ np.eye(16)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)


def masked_model():
    return keras.Sequential(
        [
            keras.Input((3, 1)),
            layers.Masking(0.0),
            layers.SimpleRNN(2, return_sequences=True, unroll=True),
            layers.Dense(1),
        ]
    )


@pytest.mark.parametrize(
    ("masked", "reduction"),
    sampled(
        list(itertools.product([False, True], ["sum_over_batch_size", "sum"])),
        [(True, "sum_over_batch_size"), (False, "sum")],
    ),
)
def test_a_ragged_last_batch_is_weighted_exactly(reduction, masked):
    loss = keras.losses.MeanSquaredError(reduction)
    model = masked_model()
    x, y = draw(N, 3, 1), draw(N, 3, 1)
    if masked:  # sequences of different lengths, so that batches count differently
        for k in range(N):
            x[k, 1 + k % 3 :] = 0
    whole = HessianOperator(model, loss, x, y)
    parts = HessianOperator(model, loss, x, y, batch_size=3)
    vectors = draw(whole.shape[0], 2)
    np.testing.assert_allclose(parts @ vectors, whole @ vectors, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(parts.gradient(), whole.gradient(), rtol=1e-9, atol=1e-12)
    assert parts.loss() == pytest.approx(whole.loss(), rel=1e-12)
    # Keras up to 3.12 adds 1e-7 to the number of entries that the mask leaves.
    assert whole.loss() == pytest.approx(float(loss(y, model(x))), rel=1e-8)


def test_entries_that_the_loss_leaves_out_do_not_count():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    x, y = (
        np.random.default_rng(0).normal(size=(8, 2)).astype("f4"),
        np.array([0, 1, 2, 0, 1, 0, 2, 2]),
    )
    model.compile(loss=loss)
    expected = model.evaluate(x, y, verbose=0)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    alone = HessianOperator(model, plain, x[y > 0], y[y > 0])
    for batch_size in (None, 3):
        operator = HessianOperator(model, loss, x, y, batch_size=batch_size)
        assert operator.loss() == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(operator @ np.eye(9), alone @ np.eye(9), atol=1e-6)
    with pytest.raises(ValueError, match="keep no entry"):
        HessianOperator(model, loss, x, np.zeros(8, int)).loss()


def test_several_inputs_by_name_and_in_order():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))
    xa, xb, y = draw(N, 2), draw(N, 3, seed=1), draw(N, 1)
    both = np.hstack([xa, xb, np.ones((N, 1))])
    for x in ([xa, xb], {"a": xa, "b": xb}):
        hessian = HessianOperator(model, "mse", x, y, batch_size=2) @ np.eye(6)
        np.testing.assert_allclose(hessian, 2 * both.T @ both / N, atol=1e-12)


# Measuring changes nothing


def sensitive_model():
    return keras.Sequential(
        [
            keras.Input((2, 2)),
            layers.RNN(layers.LSTMCell(2, dropout=0.5), return_sequences=True, unroll=True),
            layers.BatchNormalization(),
            layers.LSTM(2, recurrent_dropout=0.5, unroll=True),
            layers.GaussianNoise(0.1),
            layers.Dropout(0.5),
            layers.Dense(1),
        ]
    )


def test_no_variable_moves_and_no_random_stream_advances():
    model = sensitive_model()
    x, y = draw(N, 2, 2), draw(N, 1)
    model(x, training=True)
    everything = [*model.variables, *(s.state for s in model._seed_generators)]
    before = [v.numpy() for v in everything]

    def streams():
        return (
            random.random(),
            np.random.random(),
            float(tf.random.uniform(())),
            float(keras.random.uniform(())),
        )

    def restart_streams():
        # Keras up to 3.12 seeds its own stream once a session.
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)

    restart_streams()
    expected = streams()
    restart_streams()
    operator = HessianOperator(model, "mse", x, y, batch_size=4)
    operator.loss(), operator.gradient(), operator @ draw(operator.shape[0])
    assert streams() == expected
    for variable, value in zip(everything, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def test_a_displaced_loss_leaves_the_variables_alone():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    x, y, d = draw(N, 3), draw(N, 1), draw(4, seed=2)
    operator = HessianOperator(model, "mse", x, y)
    before = [w.copy() for w in model.get_weights()]
    there = operator.loss_at(d)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    shift(model, d)
    assert there == operator.loss()
    with pytest.raises((ValueError, TypeError)):
        operator.loss_at(d[:2])
