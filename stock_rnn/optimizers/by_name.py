"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable

import keras

from stock_rnn.config import OPTIMIZERS
from stock_rnn.optimizers.rmsprop_tf1 import RMSPropTF1

_OPTIMIZERS: dict[str, Callable[[float], keras.optimizers.Optimizer]] = {
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "rmsprop-tf1": RMSPropTF1,
    "adam": keras.optimizers.Adam,
}
assert tuple(_OPTIMIZERS) == OPTIMIZERS, "config.OPTIMIZERS lists the names for the flags"


def make_optimizer(name: str, learning_rate: float) -> keras.optimizers.Optimizer:
    """The optimizer of that name; its other arguments are its defaults.

    Args:
        name: one of `config.OPTIMIZERS`.
        learning_rate: of the first step.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(_OPTIMIZERS)}. Received: {name!r}")
    return _OPTIMIZERS[name](learning_rate)
