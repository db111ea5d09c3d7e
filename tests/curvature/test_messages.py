"""What cannot be measured ends in one sentence with the remedy; what can be, is measured."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from stock_rnn.curvature import (
    GaussNewtonOperator,
    HessianCallback,
    HessianOperator,
    NonFiniteError,
    RestrictedOperator,
    SecondDerivativeError,
    block_heterogeneity,
    exact_hessian,
    exact_spectrum,
    extreme_eigenpairs,
    preconditioned,
    sampling_error,
    spectral_density,
    top_eigenpairs,
    trace,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 1))


def model(*middle):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), *middle, layers.Dense(1)])


def one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_streams_of_batches_are_to_be_gathered_for_resampling():
    stream = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    with pytest.raises(ValueError, match="gather") as error:
        sampling_error(HessianOperator(model(), "mse", X, Y).with_data, stream, Y, folds=2)
    one_sentence(error, "x must be an array", "np.concatenate")


def test_nested_lists_of_numbers_are_to_be_made_arrays():
    with pytest.raises(ValueError, match="nested lists") as error:
        HessianOperator(model(), "mse", X.tolist(), Y)
    one_sentence(error, "np.asarray(x)")


def test_a_strategy_spreads_the_hessian_over_arrays_only():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with pytest.raises(ValueError, match="the Hessian only") as error:
        GaussNewtonOperator(model(), "mse", X, Y, strategy=strategy)
    one_sentence(error, "MirroredStrategy of a GaussNewtonOperator")
    stream = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    with pytest.raises(ValueError, match="divides arrays") as error:
        HessianOperator(model(), "mse", stream, strategy=strategy)
    one_sentence(error, "pass arrays")


@pytest.mark.parametrize("loss", [["mse"], {"output": "mse"}, [keras.losses.MeanSquaredError()]])
def test_a_loss_in_a_list_or_dict_of_one_is_that_loss(loss):
    same = model()
    assert HessianOperator(same, loss, X, Y).loss() == HessianOperator(same, "mse", X, Y).loss()


def test_a_block_can_be_preconditioned():
    trained = model()
    trained.compile(keras.optimizers.RMSprop(0.01), "mse")
    trained.fit(X, Y, verbose=0)
    whole = HessianOperator(trained, "mse", X, Y)
    block = whole.block(trained.layers[0])
    found = preconditioned(block, trained.optimizer)
    expected = preconditioned(whole, trained.optimizer) @ np.eye(21)
    np.testing.assert_allclose(found @ np.eye(16), expected[:16, :16], rtol=1e-4, atol=1e-5)
    assert found.loss() == whole.loss()
    np.testing.assert_allclose(
        found.gradient(), whole.gradient()[:16] / np.sqrt(found.diagonal), rtol=1e-6
    )


def test_what_knows_no_model_has_no_layers_and_no_preconditioner():
    with pytest.raises(TypeError, match="Layers are those of") as error:
        block_heterogeneity(np.eye(4))
    one_sentence(error, "pass blocks=", "Received: ndarray")
    block = RestrictedOperator(RestrictedOperator(np.eye(4), [0, 1, 2]), [0, 1])
    with pytest.raises(TypeError, match="Keras model's variables") as error:
        preconditioned(block, keras.optimizers.SGD(0.1))
    one_sentence(error, "Received: a block of a ndarray")


@pytest.mark.parametrize("batch_size", [None, 2])
def test_data_that_are_masked_altogether_have_no_spectrum(batch_size):
    net = keras.Sequential([keras.Input((2, 3)), layers.Masking(), layers.Dense(1)])
    nothing, y = np.zeros((4, 2, 3)), np.ones((4, 2, 1))
    hessian = HessianOperator(net, "mse", nothing, y, batch_size=batch_size, check=False)
    for ask in (lambda: hessian @ np.eye(4), lambda: extreme_eigenpairs(hessian)):
        with pytest.raises(ValueError, match="keep no entry") as error:
            ask()
        one_sentence(error, "no mean loss")


class Recomputes(layers.Layer):
    def build(self, shape):
        self.inner = layers.Dense(4, "tanh")
        self.inner.build(shape)

    def call(self, inputs):
        return tf.recompute_grad(lambda x: self.inner(x))(inputs)


def test_recomputed_gradients_are_refused():
    with pytest.raises(SecondDerivativeError) as error:
        HessianOperator(model(Recomputes()), "mse", X, Y).prepare()
    one_sentence(error, "tf.recompute_grad", "without it")


def test_ctc_is_refused():
    net = keras.Sequential([keras.Input((6, 3)), layers.Dense(5)])
    x, y = RNG.normal(size=(4, 6, 3)), RNG.integers(1, 4, size=(4, 2))
    with pytest.raises(SecondDerivativeError) as error:
        HessianOperator(net, keras.losses.CTC(), x, y).prepare()
    one_sentence(error, "the loss", "plain operations")


@pytest.mark.parametrize("shape", [(2, 3), (0, 0)])
@pytest.mark.parametrize(
    "ask",
    [
        extreme_eigenpairs,
        exact_spectrum,
        exact_hessian,
        trace,
        spectral_density,
        lambda matrix: top_eigenpairs(matrix, 1),
    ],
)
def test_operators_that_are_not_square_or_empty_are_refused(ask, shape):
    with pytest.raises(ValueError, match="square matrix with at least one row"):
        ask(np.ones(shape))


@pytest.mark.parametrize(
    "ask", [extreme_eigenpairs, exact_spectrum, exact_hessian, trace, spectral_density]
)
def test_products_that_are_no_numbers_are_refused(ask):
    with pytest.raises(NonFiniteError, match="not finite"):
        ask(np.full((3, 3), np.nan))


def test_a_displacement_of_another_shape_is_refused():
    operator = HessianOperator(model(), "mse", X, Y)
    for wrong in (0.0, np.zeros(1), np.zeros((21, 1))):
        with pytest.raises(ValueError, match=r"must be \(21,\)"):
            operator.loss_at(wrong)


def two_outputs():
    inputs = keras.Input((3,))
    return keras.Model(inputs, [layers.Dense(1, name=name)(inputs) for name in "ab"])


STREAM = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)
# Seven batches: that two orders are the same is unlikely.
SHUFFLED = STREAM.unbatch().batch(1).shuffle(9)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ((STREAM, Y), {}, ("BatchDataset", "leave y out")),
        ((STREAM,), {"batch_size": 2}, ("leave batch_size out",)),
        ((STREAM.repeat(),), {}, ("never ends", "steps=")),
        (
            (SHUFFLED,),
            {},
            ("shuffling", "reshuffle_each_iteration=False"),
        ),
        ((STREAM,), {"steps": 4}, ("ends after 3 batches", "steps=4")),
        ((X, Y), {"steps": 2}, ("steps is for data sets",)),
        ((X, Y), {"class_weight": [1.0, 2.0]}, ("{0: 1.0, 1: 3.0}", "[1.0, 2.0]")),
        ((X, Y), {"class_weight": {}, "sample_weight": Y[:, 0]}, ("one of sample_weight",)),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda data, **options: HessianOperator(model(), "mse", *data, **options),
        lambda data, **options: HessianCallback(*data, **options),
    ],
    ids=["operator", "callback"],
)
def test_data_that_do_not_fit_are_refused(make, data, options, words):
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        make(data, **options)
    one_sentence(error, *words)


@pytest.mark.parametrize(
    ("loss", "options", "words"),
    [
        (["mse"] * 3, {}, ("2 outputs", "loss must be", "3 parts")),
        ({"a": "mse", "c": "mse"}, {}, ("'c'", "outputs are 'a', 'b'")),
        ("mse", {"loss_weights": {"a": 1.0, "c": 2.0}}, ("loss_weights", "'c'", "'a', 'b'")),
        ("mse", {"loss_weights": {"a": 1.0}}, ("loss_weights", "a number for each output")),
        ("mse", {"loss_weights": [1.0, "2"]}, ("loss_weights", "a number for each output")),
        (["mse", 3], {}, ("loss must be a name", "loss=3")),
    ],
)
def test_losses_that_do_not_fit_the_outputs_are_refused(loss, options, words):
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        HessianOperator(two_outputs(), loss, X, [Y, Y], **options)
    one_sentence(error, *words)


@pytest.mark.parametrize(
    ("y", "options", "words"),
    [
        (Y, {}, ("2 outputs", "y must be a list of 2 parts")),
        ({"a": Y, "c": Y}, {}, ("y", "'c'", "'a', 'b'")),
        ({"a": Y}, {}, ("no targets for output 1",)),
        (None, {}, ("2 outputs", "y must be a list")),
        ([Y, Y], {"sample_weight": [Y, Y, Y]}, ("sample_weight", "3 parts")),
    ],
)
def test_targets_that_do_not_fit_the_outputs_are_refused(y, options, words):
    operator = HessianOperator(two_outputs(), "mse", X, y, **options)
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        operator.loss()
    one_sentence(error, *words)


def test_a_model_without_any_loss_is_refused():
    with pytest.raises(ValueError, match="There is no loss") as error:
        HessianOperator(model(), None, X, Y).loss()
    one_sentence(error, "loss=...")
    with pytest.raises(ValueError, match="no targets") as error:
        HessianOperator(model(), "mse", X).loss()
    one_sentence(error, "output 0")
