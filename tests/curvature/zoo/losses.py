"""Every loss that Keras exports, classes and functions, on the data that it is made for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import losses as K

from tests.curvature.zoo.subject import EXAMPLES, Case, Subject, draw, exported

CLASSES = 3


@dataclass(frozen=True)
class Data:
    """What a loss compares: the head's activation, its units, and the targets."""

    activation: str
    units: int
    targets: Callable[[], np.ndarray]
    steps: int | None = None  # of a sequence


def labels() -> np.ndarray:
    return np.arange(EXAMPLES, dtype="int32") % CLASSES


def one_hot() -> np.ndarray:
    return np.eye(CLASSES, dtype=keras.config.floatx())[labels()]


def shares() -> np.ndarray:
    return (one_hot() + 0.2) / 1.6


def zeros_and_ones() -> np.ndarray:
    return (draw(EXAMPLES, 2, seed=1) > 0).astype(keras.config.floatx())


def numbers() -> np.ndarray:
    return draw(EXAMPLES, 2, seed=1)


REGRESSION = Data("linear", 2, numbers)
POSITIVE = Data("softplus", 2, lambda: np.abs(numbers()))
SIGNS = Data("linear", 2, lambda: 2 * zeros_and_ones() - 1)
BINARY = Data("sigmoid", 2, zeros_and_ones)
LOGITS = Data("linear", 2, zeros_and_ones)
CATEGORIES = Data("softmax", CLASSES, one_hot)
SPARSE = Data("softmax", CLASSES, labels)

# By the class's name; a function has the data of the class of its name. Regression where
# nothing else is said.
DATA: dict[str, Data] = {
    "BinaryCrossentropy": BINARY,
    "BinaryFocalCrossentropy": BINARY,
    "CTC": Data("linear", CLASSES, lambda: np.array([[1, 2]] * EXAMPLES, "int32"), steps=5),
    "CategoricalCrossentropy": CATEGORIES,
    "CategoricalFocalCrossentropy": CATEGORIES,
    "CategoricalGeneralizedCrossEntropy": SPARSE,
    "CategoricalHinge": Data("linear", CLASSES, one_hot),
    "Circle": Data("linear", 4, labels),
    "Dice": BINARY,
    "Hinge": SIGNS,
    "KLDivergence": Data("softmax", CLASSES, shares),
    "MeanSquaredLogarithmicError": POSITIVE,
    "Poisson": POSITIVE,
    "SparseCategoricalCrossentropy": SPARSE,
    "SquaredHinge": SIGNS,
    "Tversky": BINARY,
}

# Further ways of using a loss, after a comma.
FURTHER: dict[str, tuple[Callable[[], Any], Data]] = {
    "BinaryCrossentropy, from_logits": (
        lambda: K.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
        LOGITS,
    ),
    "CategoricalCrossentropy, from_logits": (
        lambda: K.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        Data("linear", CLASSES, one_hot),
    ),
    "Circle, moderate gamma": (lambda: K.Circle(gamma=2.0), Data("linear", 4, labels)),
    "CosineSimilarity, summed": (lambda: K.CosineSimilarity(reduction="sum"), REGRESSION),
    "MeanSquaredError, summed": (lambda: K.MeanSquaredError(reduction="sum"), REGRESSION),
    "metrics.MeanSquaredError": (keras.metrics.MeanSquaredError, REGRESSION),
    "SparseCategoricalCrossentropy, from_logits": (
        lambda: K.SparseCategoricalCrossentropy(from_logits=True),
        Data("linear", CLASSES, labels),
    ),
}

# Arguments without a default.
ARGUMENTS = {"categorical_generalized_cross_entropy": {"q": 0.5}}

NOT_LOSSES = {"Loss": "the base class; it computes nothing"}


def subjects() -> list[Subject]:
    """A subject for every exported class, function, and further way of using one."""
    found = {name: thing for name, thing in exported(K, is_loss).items() if name not in NOT_LOSSES}
    named = {name: partial(case, name, thing) for name, thing in found.items()}
    further = {name: partial(_below, *how) for name, how in FURTHER.items()}
    return [Subject("losses", name, how) for name, how in sorted((named | further).items())]


def is_loss(thing: Any) -> bool:
    """A class of losses, or a function that starts with targets and predictions."""
    if isinstance(thing, type):
        return issubclass(thing, K.Loss)
    return inspect.isfunction(thing) and list(inspect.signature(thing).parameters)[:2] == [
        "y_true",
        "y_pred",
    ]


def case(name: str, thing: Any) -> Case:
    """The loss on a small network.

    Raises:
        LookupError: The loss cannot be made or does not take the data chosen for it.
    """
    try:
        built = _below(lambda: _made(name, thing), _data(name))
        built.loss(built.y, built.model(built.x))
    except Exception as error:
        raise LookupError(
            f"keras.losses.{name} does not work with its data: add a line to DATA, ARGUMENTS or "
            f"NOT_LOSSES in {__name__}. Keras said: {error}"
        ) from error
    return built


def _made(name: str, thing: Any) -> Any:
    arguments = ARGUMENTS.get(name, {})
    return thing(**arguments) if isinstance(thing, type) else partial(thing, **arguments)


def _data(name: str) -> Data:
    plain = name.replace("_", "").lower()
    return {key.lower(): data for key, data in DATA.items()}.get(plain, REGRESSION)


def _below(make: Callable[[], Any], data: Data) -> Case:
    below = keras.layers.Dense(3, "tanh", name="below")
    shape = (data.steps, 2) if data.steps else (2,)
    model = keras.Sequential(
        [keras.Input(shape), below, keras.layers.Dense(data.units, data.activation)]
    )
    return Case(model, make(), draw(EXAMPLES, *shape), data.targets(), below)
