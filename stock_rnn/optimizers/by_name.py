"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from stock_rnn.config import HYPERPARAMETERS, OPTIMIZERS, Config
from stock_rnn.optimizers.perturbed import PERTURBED
from stock_rnn.optimizers.rmsprop_tf1 import RMSPropTF1
from stock_rnn.optimizers.second_order import Newton, SaddleFreeNewton, SecondOrder

# Name -> the class, and the arguments that the name stands for.
_OPTIMIZERS: dict[str, tuple[type[keras.optimizers.Optimizer], dict[str, Any]]] = {
    # Gradient descent is SGD on a batch of all examples: `stock_rnn.training` makes the batch.
    "gd": (keras.optimizers.SGD, {}),
    "sgd": (keras.optimizers.SGD, {}),
    "momentum": (keras.optimizers.SGD, {}),
    "nesterov": (keras.optimizers.SGD, {"nesterov": True}),
    "adagrad": (keras.optimizers.Adagrad, {}),
    "rmsprop": (keras.optimizers.RMSprop, {}),
    "rmsprop-tf1": (RMSPropTF1, {}),
    "adam": (keras.optimizers.Adam, {}),
    "newton": (Newton, {}),
    "saddle-free-newton": (SaddleFreeNewton, {}),
}
assert tuple(_OPTIMIZERS) == OPTIMIZERS, "config.OPTIMIZERS lists the names for the flags"


def make_optimizer(
    name: str,
    learning_rate: float,
    *,
    perturbation: Mapping[str, Any] | None = None,
    clipping: Mapping[str, float] | None = None,
    **hyperparameters: float,
) -> keras.optimizers.Optimizer:
    """The optimizer of that name.

    With gradient g, learning rate lr, everything but w from zero if nothing else is said:

    - gd, sgd: w <- w - lr·g
    - momentum: v <- momentum·v - lr·g; w <- w + v
    - nesterov: v as above; w <- w + momentum·v - lr·g. These w are the lecture's points
      w + momentum·v, at which it takes the gradient.
    - adagrad: r <- r + g², from `initial_accumulator_value`; w <- w - lr·g / √(r + epsilon)
    - rmsprop: r <- rho·r + (1 - rho)·g²; w <- w - lr·g / √(r + epsilon)
    - rmsprop-tf1: as rmsprop, r from one; see `RMSPropTF1`
    - adam, in step t: v <- beta_1·v + (1 - beta_1)·g; r <- beta_2·r + (1 - beta_2)·g²;
      w <- w - lr·√(1 - beta_2ᵗ) / (1 - beta_1ᵗ)·v / (√r + epsilon)
    - newton, saddle-free-newton: by `SecondOrder.step`; see `newton_step`, `saddle_free_step`

    Sources: Goodfellow, Bengio, Courville, "Deep Learning", 2016, algorithms 8.1 to 8.7;
    docs/deviations.md says where Keras's forms are others.

    Args:
        name: one of `config.OPTIMIZERS`.
        learning_rate: of the first step.
        perturbation: arguments of `Perturbed`, for noise on the gradient; None or empty: none.
        clipping: "clipnorm" or "clipvalue", as Keras's optimizers take them: g is a weight's
            gradient with its noise, shortened to a norm, or its entries cut to a size.
        hyperparameters: those of `config.HYPERPARAMETERS` that the optimizer has; the
            defaults are those of `Config`.

    Raises:
        ValueError: the name is unknown, the optimizer has no such hyperparameter, or it takes no
            noise or no clipping.

    >>> make_optimizer("momentum", 0.01, momentum=0.8).momentum
    0.8
    """
    if name not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(_OPTIMIZERS)}. Received: {name!r}")
    for given in hyperparameters:
        if name not in HYPERPARAMETERS.get(given, ()):
            raise ValueError(f"{name} has no hyperparameter {given}")
    arguments: dict[str, Any] = {**Config(optimizer=name).hyperparameters(), **hyperparameters}
    kind, fixed = _OPTIMIZERS[name]
    if perturbation and kind not in PERTURBED:
        raise ValueError(f"{name} takes no noise")
    if clipping and issubclass(kind, SecondOrder):
        raise ValueError(f"{name} makes whole steps: it takes no clipping")
    if perturbation:
        kind, fixed = PERTURBED[kind], {**fixed, **perturbation}
    return kind(learning_rate=learning_rate, **fixed, **arguments, **(clipping or {}))
