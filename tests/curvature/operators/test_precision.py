"""The same weights and data, computed in another floating type."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from stock_rnn.curvature import (
    FisherOperator,
    GaussNewtonOperator,
    HessianOperator,
    PrecisionError,
    ResidualOperator,
    exact_hessian,
    preconditioned,
)
from stock_rnn.curvature.operators.precision import computed_in, needed_type
from stock_rnn.curvature.operators.protocol import float64_operator
from tests.curvature.cases import draw
from tests.curvature.zoo.judge import precision

X, Y = draw(9, 4, 3).astype(np.float32), draw(9, 1).astype(np.float32)

NETWORKS = {
    "loop": lambda: [layers.RNN(layers.SimpleRNNCell(1, dropout=0.1)), layers.Dropout(0.2)],
    "unrolled": lambda: [layers.RNN(layers.SimpleRNNCell(1), unroll=True)],
    "plain": lambda: [layers.Dense(2, "tanh")],
    "normalized": lambda: [
        layers.Flatten(),
        layers.Dense(2),
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.Lambda(lambda z: keras.ops.tanh(z)),
    ],
}


def build(policy, *parts, seed=3):
    """A network of one output, of layers that are made under the policy."""
    keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        made = [layer for part in parts for layer in part()]
        model = keras.Sequential([keras.Input((4, 3)), *made, layers.Flatten(), layers.Dense(1)])
    finally:
        keras.config.set_dtype_policy(before)
    return model


def matrix(operator):
    return exact_hessian(operator).matrix


def same_in_float64(kind, weights):
    """The network that is built in float64, and the operator of its Hessian."""
    with precision("float64"):
        model = build("float64", NETWORKS[kind])
        model.set_weights(weights)
        operator = HessianOperator(model, "mse", X, Y, check=False)
        operator.prepare()
        return model, operator


@pytest.mark.parametrize(("kind", "same"), [("loop", "unrolled"), ("normalized", "normalized")])
def test_in_float64_it_is_the_hessian_of_the_network_that_is_built_in_float64(kind, same):
    model = build("float32", NETWORKS[kind])
    operator = HessianOperator(model, "mse", X, Y, check=False)
    double, wanted = same_in_float64(same, model.get_weights())
    exact = operator.in_float64()
    for scale in (1.0, 2.0):
        # Training may go on: the live weights are read.
        for each in (model, double):
            each.set_weights([np.float32(scale) * w for w in each.get_weights()])
        hessian = matrix(wanted)
        assert np.abs(matrix(exact) - hessian).max() <= 1e-14 * np.linalg.norm(hessian, 2)
    v = np.ones(len(hessian))
    assert np.linalg.norm(operator @ v - hessian @ v) > 1e-9 * np.linalg.norm(hessian @ v)
    assert exact.relative_rounding < 1e-14
    # The model is as it was.
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_both_terms_and_blocks_and_sums_are_computed_in_float64():
    model = build("float32", NETWORKS["plain"])
    operator = HessianOperator(model, "mse", X, Y, check=False)
    double, wanted = same_in_float64("plain", model.get_weights())
    hessian = matrix(wanted)
    for kind in (GaussNewtonOperator, ResidualOperator):
        found = matrix(kind.of(operator).in_float64())
        wanted = matrix(kind(double, "mse", X, Y, check=False))
        np.testing.assert_allclose(found, wanted, atol=1e-14 * np.linalg.norm(hessian, 2))
    block = float64_operator(operator.block(np.arange(5)))
    np.testing.assert_allclose(matrix(block), hessian[:5, :5], atol=1e-13)
    shifted = float64_operator((2 * operator).shifted(0.5))
    np.testing.assert_allclose(
        shifted @ np.eye(len(hessian)), 2 * hessian + 0.5 * np.eye(len(hessian)), atol=1e-13
    )


def test_data_count_as_the_model_reads_them():
    x, y = draw(9, 4, 3), draw(9, 1)
    model = build("float32", NETWORKS["plain"])
    read = HessianOperator(model, "mse", x, y, check=False).in_float64()
    # Other data are computed in float64 too.
    rounded = read.with_data(x.astype(np.float32), y.astype(np.float32))
    assert rounded.relative_rounding < 1e-14
    np.testing.assert_array_equal(matrix(read), matrix(rounded))


class InFloat32(layers.Layer):
    """Computes in float32, whatever it is told."""

    def call(self, inputs):
        return keras.ops.cast(keras.ops.tanh(keras.ops.cast(inputs, "float32")), inputs.dtype)


class InLoop(layers.Layer):
    """The same within a loop."""

    def call(self, inputs):
        def body(k, z):
            return k + 1, tf.cast(tf.cast(z, tf.float32), z.dtype)

        return tf.while_loop(lambda k, z: k < 2, body, (0, inputs))[1]


class GradientInFloat32(layers.Layer):
    """Rounds in its gradient only."""

    def call(self, inputs):
        @tf.custom_gradient
        def square(z):
            return z**2, lambda up: tf.cast(tf.cast(2 * z * up, tf.float32), z.dtype)

        return square(inputs)


class InPython(layers.Layer):
    def call(self, inputs):
        same = tf.numpy_function(lambda z: z, [tf.stop_gradient(inputs)], inputs.dtype)
        return inputs + 0 * tf.ensure_shape(same, inputs.shape)


class HasConstant(layers.Layer):
    def call(self, inputs):
        return inputs * tf.constant(2.0, tf.float32)


class HasPieces(layers.Layer):
    """Puts data of float32 together, which rounds nothing."""

    def call(self, inputs):
        pieces = tf.TensorArray(tf.float32, 2, element_shape=[None], infer_shape=False)
        pieces = pieces.write(0, tf.constant([1.0])).write(1, tf.constant([2.0]))
        return inputs * tf.cast(tf.reshape(pieces.concat(), [2]), inputs.dtype)


def test_arrays_that_are_put_together_round_nothing():
    model = build("float32", lambda: [layers.Dense(2), HasPieces()])
    exact = HessianOperator(model, "mse", X, Y, check=False).in_float64()
    assert exact.relative_rounding < 1e-14


@pytest.mark.parametrize("culprit", [InFloat32, InLoop, GradientInFloat32, InPython, HasConstant])
def test_what_does_not_compute_in_float64_is_said_by_name(culprit):
    model = build("float32", lambda: [layers.Dense(2), culprit(name="culprit")])
    with pytest.raises(PrecisionError, match=r"float64.*('culprit'|Constant|Cast)"):
        HessianOperator(model, "mse", X, Y, check=False).in_float64()


def test_so_is_what_the_parameters_have_no_part_in():
    model = build("float32", lambda: [InFloat32(name="culprit")])
    with pytest.raises(PrecisionError, match="'culprit'"):
        HessianOperator(model, "mse", X, Y, check=False).in_float64()


def test_a_loss_that_rounds_is_not_computed_in_float64():
    model = build("float32", lambda: [layers.Dense(2)])

    def loss(y, p):
        return tf.square(tf.cast(y, tf.float32) - tf.cast(p, tf.float32))

    with pytest.raises(PrecisionError, match="the loss, or an unnamed layer"):
        HessianOperator(model, loss, X, Y, check=False).in_float64()


def test_products_that_cannot_be_made_in_float64_are_refused_by_name():
    model = build("float32", lambda: [])
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    seen = preconditioned(HessianOperator(model, "mse", X, Y), model.optimizer)
    with pytest.raises(TypeError, match="Received: PreconditionedOperator"):
        float64_operator(seen)
    plain = np.eye(3)
    assert float64_operator(plain) is plain


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_computed_in_float32(policy):
    model = build(policy, NETWORKS["plain"])
    same = build("float32", NETWORKS["plain"])
    same.set_weights(model.get_weights())
    mixed, plain = (HessianOperator(m, "mse", X, Y, check=m is model) for m in (model, same))
    np.testing.assert_array_equal(matrix(mixed), matrix(plain))
    assert mixed.loss() == plain.loss()
    assert mixed.verified
    assert {layer.compute_dtype for layer in model.layers} == {policy.removeprefix("mixed_")}


def test_fishers_matrix_of_a_model_in_mixed_precision():
    def ends():
        return [layers.Flatten(), layers.Dense(3), layers.Activation("sigmoid")]

    model, same = build("mixed_float16", ends), build("float32", ends)
    same.set_weights(model.get_weights())
    labels = (Y > 0).astype(np.float32)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    made = (FisherOperator(m, loss, X, labels, check=False) for m in (model, same))
    found, wanted = map(matrix, made)
    np.testing.assert_array_equal(found, wanted)


def test_mixed_precision_that_casts_by_itself_is_refused():
    class Half(layers.Layer):
        def call(self, inputs):
            return keras.ops.cast(keras.ops.cast(inputs, "float16"), "float32")

    model = build("mixed_float16", lambda: [layers.Dense(2), Half(name="half")])
    with pytest.raises(PrecisionError, match=r"float32.*'half'.*Cast"):
        HessianOperator(model, "mse", X, Y) @ np.zeros(model.count_params())


def test_layers_of_integers_are_no_mixed_precision():
    codes = keras.Input((1,), dtype="int64")
    hashed = layers.Hashing(5)
    rows = layers.Flatten()(layers.Embedding(5, 2)(hashed(codes)))
    model = keras.Model(codes, layers.Dense(1)(rows))
    assert needed_type(model) is None
    with computed_in(model, tf.float64):
        assert (hashed.compute_dtype, model.layers[-1].compute_dtype) == ("int64", "float64")


def test_variables_of_16_bits_are_refused_by_name():
    model = build("float16", lambda: [layers.Dense(2, name="narrow")])
    with pytest.raises(ValueError, match=r"narrow/kernel.*float16"):
        HessianOperator(model, "mse", X, Y)
