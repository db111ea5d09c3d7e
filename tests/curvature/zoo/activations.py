"""Every activation that Keras exports, between and in trainable layers."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from tests.curvature.zoo.subject import EXAMPLES, Case, Subject, draw, exported

# A name with a comma is one more way of using the function before the comma.
FURTHER: dict[str, Any] = {
    "gelu, approximate": lambda h: keras.activations.gelu(h, approximate=True),
    "relu, leaking and bounded": lambda h: keras.activations.relu(
        h, negative_slope=0.2, max_value=1.0, threshold=0.1
    ),
    "threshold": lambda h: keras.activations.threshold(h, threshold=0.1, default_value=0.2),
}


def subjects() -> list[Subject]:
    """A subject for every exported function of a tensor."""
    functions = exported(keras.activations, is_activation) | FURTHER
    return [
        Subject("activations", name, lambda f=function: case(f))
        for name, function in sorted(functions.items())
    ]


def is_activation(thing: Any) -> bool:
    """Whether it is a function whose first argument is the tensor."""
    return inspect.isfunction(thing) and next(iter(inspect.signature(thing).parameters)) == "x"


def case(function: Any) -> Case:
    """Two layers with that activation, and a smooth one after them."""
    below = keras.layers.Dense(6, name="below")
    inputs = keras.Input((2,))
    # A Lambda and not Dense(activation=...): `glu` changes the shape.
    h = keras.layers.Lambda(function)(below(inputs))
    h = keras.layers.Lambda(function)(keras.layers.Dense(4)(h))
    outputs = keras.layers.Dense(1)(keras.layers.Dense(2, "tanh")(h))
    return Case(
        keras.Model(inputs, outputs),
        keras.losses.MeanSquaredError(),
        draw(EXAMPLES, 2),
        draw(EXAMPLES, 1, seed=1),
        below,
    )
