"""The callback says so when fit minimizes another loss than is measured."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from stock_rnn.curvature import HessianCallback

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3)).astype("f4"), RNG.normal(size=(24, 1)).astype("f4")
WEIGHTS = np.linspace(0, 4, 24)


def build(kind=keras.Model, loss="mse"):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    model = kind(inputs, layers.Dense(1)(layers.Dense(4, "tanh")(inputs)))
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def fit(model, callback, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[callback], **options)
    return [str(w.message) for w in caught if "Hessian" in str(w.message)]


class DoublesTheLoss(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2 * super().compute_loss(x, y, y_pred, sample_weight, training)


class StepsOnItsOwn(keras.Model):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(self(x, training=True) - y)) * 100
        self.optimizer.apply(
            tape.gradient(loss, self.trainable_variables), self.trainable_variables
        )
        return {"loss": loss}


class StepsAsKerasDoes(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


def test_an_overridden_compute_loss_is_told_with_both_losses():
    model = build(DoublesTheLoss)
    loss = model.evaluate(X, Y, verbose=0) / 2
    (message,) = fit(model, HessianCallback(X, Y))
    assert f"is that of a loss of {loss:.3g}" in message.replace(f"{loss:.6g}", f"{loss:.3g}")
    assert f"compute_loss gives {2 * loss:.3g}" in message.replace(
        f"{2 * loss:.6g}", f"{2 * loss:.3g}"
    )


def test_a_train_step_with_a_loss_of_its_own_is_told():
    (message,) = fit(build(StepsOnItsOwn), HessianCallback(X, Y))
    assert "fit may minimize another loss" in message


@pytest.mark.parametrize(
    "options", [{"sample_weight": WEIGHTS}, {"class_weight": dict.fromkeys(range(2), 2.0)}]
)
def test_weights_given_to_fit_alone_are_told(options):
    model = build()
    if "class_weight" in options:
        model = build(loss="binary_crossentropy")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        targets = (Y > 0).astype("f4") if "class_weight" in options else Y
        model.fit(X, targets, verbose=0, callbacks=[HessianCallback(X, targets)], **options)
    (message,) = [str(w.message) for w in caught if "Hessian" in str(w.message)]
    assert "fit weighs its examples" in message
    assert "sample_weight=" in message


@pytest.mark.parametrize("kind", [keras.Model, StepsAsKerasDoes])
def test_ordinary_training_is_told_nothing(kind):
    assert fit(build(kind), HessianCallback(X, Y)) == []


@pytest.mark.parametrize("regularizer", ["kernel_regularizer", "activity_regularizer"])
def test_a_regularized_model_is_told_nothing(regularizer):
    first = layers.Dense(4, "tanh", **{regularizer: keras.regularizers.L2(0.5)})
    model = keras.Sequential([keras.Input((3,)), first, layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    assert fit(model, HessianCallback(X, Y)) == []


def test_weights_given_to_both_are_measured_and_told_nothing():
    callback = HessianCallback(X, Y, sample_weight=WEIGHTS)
    model = build()
    assert fit(model, callback, sample_weight=WEIGHTS) == []
    expected = model.evaluate(X, Y, sample_weight=WEIGHTS, batch_size=24, verbose=0)
    assert callback.measurements[-1].loss == pytest.approx(expected, rel=1e-5)


def test_the_model_is_left_as_it_was():
    model = build()
    fit(model, HessianCallback(X, Y))
    assert "compute_loss" not in vars(model)


class Interrupts(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_an_interrupted_fit_leaves_the_model_as_it_was():
    model = build()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[HessianCallback(X, Y), Interrupts()])
    assert "compute_loss" not in vars(model)


def test_another_loss_or_a_frozen_layer_makes_another_operator():
    model, callback = build(), HessianCallback(X, Y)
    fit(model, callback)
    model.compile(keras.optimizers.SGD(0.01), "mae")
    fit(model, callback)
    expected = model.evaluate(X, Y, verbose=0)
    assert callback.measurements[-1].loss == pytest.approx(expected, rel=1e-5)
    before = callback.operator.parameters
    model.layers[1].trainable = False
    model.compile(keras.optimizers.SGD(0.01), "mae")
    model.fit(X, Y, initial_epoch=2, epochs=3, verbose=0, callbacks=[callback])
    assert callback.operator.parameters == before - 16
    assert len(callback.measurements[-1].extremes.vectors) == before - 16


def test_two_callbacks_keep_apart_by_their_names():
    seen = {}
    first, second = HessianCallback(X, Y), HessianCallback(X[:5], Y[:5], name="few")
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.update(logs))
    model = build()
    model.fit(X, Y, verbose=0, callbacks=[first, second, note])
    assert seen["hessian_lambda_max"] == first.measurements[-1].extremes.lambda_max
    assert seen["few_lambda_max"] == second.measurements[-1].extremes.lambda_max
    with pytest.raises(ValueError, match="Two HessianCallbacks are called 'hessian'"):
        model.fit(X, Y, verbose=0, callbacks=[HessianCallback(X, Y), HessianCallback(X, Y)])


def test_weights_in_a_later_fit_are_told_too():
    # Keras uses the training function of the first fit again, and calls nothing in Python.
    model = build()
    model.fit(X, Y, sample_weight=WEIGHTS * 10, verbose=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, sample_weight=WEIGHTS * 10, verbose=0, callbacks=[HessianCallback(X, Y)])
    (message,) = [str(w.message) for w in caught if "Hessian" in str(w.message)]
    assert "as sample_weight=" in message
