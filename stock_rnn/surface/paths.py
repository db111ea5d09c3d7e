"""The paths of the package's optimizers on a surface."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stock_rnn.optimizers import SecondOrder, make_optimizer
from stock_rnn.surface.surfaces import Surface

Array = NDArray[np.float64]

#: A path ends where it goes this many times as far out as the window.
FAR = 100.0


def path(surface: Surface, optimizer: str, *, perturb_radius: float = 0.0, seed: int = 0) -> Array:
    """The points that an optimizer goes through.

    Args:
        surface: with the start, the learning rate and the number of steps.
        optimizer: one of `config.OPTIMIZERS`.
        perturb_radius: of the noise on the gradient; 0: none. Optimizers of second order
            have none.
        seed: of the noise.

    Returns:
        (steps + 1, 2) from the start on; shorter where it diverges.
    """
    noise = {"radius": perturb_radius, "noise_seed": seed} if perturb_radius else None
    used = make_optimizer(optimizer, surface.learning_rate, perturbation=noise)
    variable = keras.Variable(np.array(surface.start), dtype="float64")
    used.build([variable])
    step = _step(surface, used, variable)
    points = [np.array(surface.start)]
    for _ in range(surface.steps):
        step()
        point = np.array(variable.numpy())
        # The optimizer has moved it to where nothing is drawn, and soon nothing is finite.
        if not np.abs(point).max() <= FAR * np.abs(surface.window).max():
            break
        points.append(point)
    return np.array(points)


def _step(surface: Surface, used: keras.Optimizer, variable: keras.Variable) -> Any:
    """What makes one step."""
    if isinstance(used, SecondOrder):
        return lambda: used.step(surface.at(variable.numpy()), [variable])

    def by_gradient() -> None:
        used.apply([surface.graph(variable.value)[1]], [variable])

    # As a concrete function: of calls of one `tf.function` an optimizer TensorFlow would warn, as
    # it takes them for retracings of one.
    return tf.function(by_gradient).get_concrete_function()
