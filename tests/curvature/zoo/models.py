"""Whole models: ways of putting layers together, and two of keras.applications."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L
from keras import ops

from tests.curvature.zoo.subject import EXAMPLES, Case, Subject, draw

MODELS: dict[str, Callable[[], Case]] = {}
HEAVY = {"EfficientNetB0", "MobileNetV2"}
# TensorFlow's bilinear resizing answers in float32 whatever it is given.
FLOAT32 = {"U-Net, bilinear upsampling"}


def model(name: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Enter a function that builds a case under a name."""

    def enter(build: Callable[[], Case]) -> Callable[[], Case]:
        MODELS[name] = build
        return build

    return enter


def subjects() -> list[Subject]:
    """A subject for every model of this file."""
    return [
        Subject("models", name, how, name in HEAVY, "float32" if name in FLOAT32 else "float64")
        for name, how in sorted(MODELS.items())
    ]


def regression(network: keras.Model, x: Any) -> Case:
    """Mean squared error to random targets."""
    shape = network.output_shape[1:]
    return Case(network, keras.losses.MeanSquaredError(), x, draw(len(x), *shape, seed=1))


def application(make: Callable[..., keras.Model], scale: float, **options: Any) -> Case:
    """A network for images of 32 x 32 pixels, two classes, on two examples."""
    network = make(input_shape=(32, 32, 3), weights=None, classes=2, **options)
    y = np.eye(2, dtype=keras.config.floatx())
    return Case(network, keras.losses.CategoricalCrossentropy(), scale * draw(2, 32, 32, 3), y)


@model("MobileNetV2")
def mobilenet() -> Case:
    return application(keras.applications.MobileNetV2, 1.0, alpha=0.35)


@model("EfficientNetB0")
def efficientnet() -> Case:
    return application(keras.applications.EfficientNetB0, 60.0)


def encoder_block(h: Any, **norm: Any) -> Any:
    h = L.LayerNormalization(**norm)(h + L.MultiHeadAttention(2, 2)(h, h))
    return L.LayerNormalization(**norm)(h + L.Dense(4)(L.Dense(6, "gelu")(h)))


class Positions(L.Layer):
    """Adds a trained vector to each step."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.table = self.add_weight(shape=shape[1:], initializer="uniform")

    def call(self, inputs: Any) -> Any:
        return inputs + self.table


@model("transformer encoder")
def transformer() -> Case:
    words = keras.Input((5,), dtype="int32")
    h = Positions()(L.Embedding(6, 4)(words))
    h = encoder_block(encoder_block(h))
    network = keras.Model(words, L.Dense(1)(L.GlobalAveragePooling1D()(h)))
    return regression(network, np.random.default_rng(0).integers(1, 6, (EXAMPLES, 5)))


@model("transformer encoder, masked")
def masked_transformer() -> Case:
    words = keras.Input((5,), dtype="int32")
    h = encoder_block(L.Embedding(6, 4, mask_zero=True)(words))
    network = keras.Model(words, L.Dense(1)(L.GlobalAveragePooling1D()(h)))
    return regression(network, padded(np.random.default_rng(0).integers(1, 6, (EXAMPLES, 5))))


def padded(steps: np.ndarray) -> np.ndarray:
    """Zeros after the first 1, 2, ... steps of the examples."""
    keep = np.arange(steps.shape[1]) <= np.arange(len(steps))[:, None]
    return steps * keep.reshape(*keep.shape, *[1] * (steps.ndim - 2)).astype(steps.dtype)


def unet(upsampling: Callable[[], Any], activation: str = "swish") -> Case:
    images = keras.Input((8, 8, 1))
    fine = L.Conv2D(2, 3, padding="same", activation=activation)(images)
    coarse = L.Conv2D(3, 3, padding="same", activation=activation)(L.MaxPooling2D()(fine))
    joined = L.Concatenate()([fine, upsampling()(coarse)])
    network = keras.Model(images, L.Conv2D(1, 3, padding="same")(joined))
    return regression(network, draw(3, 8, 8, 1))


MODELS["U-Net"] = lambda: unet(lambda: L.Conv2DTranspose(2, 2, strides=2))
MODELS["U-Net, nearest upsampling, ReLU"] = lambda: unet(lambda: L.UpSampling2D(2), "relu")
MODELS["U-Net, bilinear upsampling"] = lambda: unet(
    lambda: L.UpSampling2D(2, interpolation="bilinear")
)


@model("residual network, batch normalization")
def residual() -> Case:
    images = keras.Input((6, 6, 1))
    h = L.Conv2D(3, 3, padding="same")(images)
    for _ in range(2):
        inner = L.ReLU()(L.BatchNormalization()(L.Conv2D(3, 3, padding="same")(h)))
        h = L.Add()([h, L.BatchNormalization()(L.Conv2D(3, 3, padding="same")(inner))])
    network = keras.Model(images, L.Dense(1)(L.GlobalAveragePooling2D()(h)))
    return regression(network, draw(3, 6, 6, 1))


@model("ConvLSTM")
def conv_lstm() -> Case:
    frames = keras.Input((3, 4, 4, 1))
    h = L.ConvLSTM2D(2, 2, return_sequences=True, padding="same")(frames)
    network = keras.Model(frames, L.Dense(1)(L.Flatten()(L.ConvLSTM2D(1, 2)(h))))
    return regression(network, draw(3, 3, 4, 4, 1))


@model("stacked LSTM")
def stacked_lstm() -> Case:
    layers = [L.LSTM(3, return_sequences=True), L.Dropout(0.2), L.LSTM(2), L.Dense(1)]
    return regression(keras.Sequential([keras.Input((4, 1)), *layers]), draw(EXAMPLES, 4, 1))


@model("masked RNN, a loss a step")
def masked_rnn() -> Case:
    layers = [L.Masking(), L.GRU(2, return_sequences=True), L.Dense(1)]
    network = keras.Sequential([keras.Input((4, 2)), *layers])
    return regression(network, padded(draw(EXAMPLES, 4, 2)))


@model("masked bidirectional RNN")
def masked_bidirectional() -> Case:
    layers = [L.Embedding(5, 2, mask_zero=True), L.Bidirectional(L.LSTM(2)), L.Dense(1)]
    network = keras.Sequential([keras.Input((4,), dtype="int32"), *layers])
    return regression(network, padded(np.random.default_rng(0).integers(1, 5, (EXAMPLES, 4))))


@model("layers shared")
def shared() -> Case:
    twice, left, right = L.Dense(3, "tanh"), keras.Input((3,)), keras.Input((3,))
    h = L.Concatenate()([twice(twice(left)), twice(right)])
    network = keras.Model([left, right], L.Dense(1)(h))
    x = draw(EXAMPLES, 3), draw(EXAMPLES, 3, seed=2)
    return Case(network, keras.losses.MeanSquaredError(), x, draw(EXAMPLES, 1, seed=1))


@model("layers frozen")
def frozen() -> Case:
    layers = [L.Dense(3, "tanh"), L.Dense(3, "tanh", trainable=False), L.Dense(1)]
    return regression(keras.Sequential([keras.Input((2,)), *layers]), draw(EXAMPLES, 2))


@model("models nested")
def nested() -> Case:
    inner = keras.Sequential([keras.Input((3,)), L.Dense(3, "tanh"), L.Dense(2, "swish")])
    middle = keras.Sequential([L.Dense(3, "tanh"), inner])
    inputs = keras.Input((2,))
    return regression(keras.Model(inputs, L.Dense(1)(middle(inputs))), draw(EXAMPLES, 2))


class Gated(keras.Model):
    """A model with its own weight and its own loss."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.head = L.Dense(3, "tanh"), L.Dense(1)

    def build(self, shape: Any) -> None:
        self.first.build(shape)
        self.gate = self.add_weight(shape=(3,), initializer="ones", name="gate")
        self.head.build((None, 3))

    def call(self, x: Any, training: bool = False) -> Any:
        h = self.first(x) * ops.sigmoid(self.gate)
        self.add_loss(0.1 * ops.mean(ops.square(h)))
        return self.head(h)


@model("subclassed, with add_loss")
def subclassed() -> Case:
    network = Gated()
    network(draw(1, 2))
    y = draw(EXAMPLES, 1, seed=1)
    return Case(network, keras.losses.MeanSquaredError(), draw(EXAMPLES, 2), y)


def several(y: Any, predicted: Any) -> Any:
    """Mean squared error of one output plus cross-entropy of the other."""
    squares = ops.mean(ops.square(y[0] - predicted[0]), axis=-1)
    return squares + keras.losses.categorical_crossentropy(y[1], predicted[1])


@model("several inputs and outputs")
def several_ends() -> Case:
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    h = L.Dense(3, "tanh")(L.Concatenate()([one, L.Dense(2, "tanh")(two)]))
    network = keras.Model({"one": one, "two": two}, [L.Dense(1)(h), L.Dense(2, "softmax")(h)])
    x = {"one": draw(EXAMPLES, 2), "two": draw(EXAMPLES, 3, seed=2)}
    categories = np.eye(2, dtype=keras.config.floatx())[np.arange(EXAMPLES) % 2]
    return Case(network, several, x, (draw(EXAMPLES, 1, seed=1), categories))


@model("loaded from disk")
def loaded() -> Case:
    layers = [L.LSTM(2, return_sequences=True), L.Attention(), L.Flatten(), L.Dense(1)]
    inputs = keras.Input((3, 2))
    h = layers[0](inputs)
    network = keras.Model(inputs, layers[3](layers[2](layers[1]([h, h]))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        network.save(path)
        network = keras.models.load_model(path)
    return regression(network, draw(EXAMPLES, 3, 2))
