"""What the zoo consists of: subjects, each of which builds one small case."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

EXAMPLES = 5


@dataclass(frozen=True)
class Case:
    """A built model, its loss and data. `below` is a layer that the gradient must reach."""

    model: keras.Model
    loss: Any
    x: Any
    y: Any
    below: keras.layers.Layer | None = None


@dataclass(frozen=True)
class Subject:
    """One layer, activation, loss or model, in one way of using it.

    `kind` is layers, activations, losses or models. `name` is what Keras calls it, and
    after a comma the way of using it, if it is not the plain one. `heavy` ones take more
    than a few seconds. `dtype` is float32 where TensorFlow knows nothing else.
    """

    kind: str
    name: str
    build: Callable[[], Case]
    heavy: bool = False
    dtype: str = "float64"

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def seed(self) -> int:
        """A number that stays the same when other subjects come and go."""
        return zlib.crc32(self.id.encode())


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers, in Keras's current precision."""
    return np.random.default_rng(seed).standard_normal(shape).astype(keras.config.floatx())


def exported(module: Any, wanted: Callable[[Any], bool]) -> dict[str, Any]:
    """What a module exports, by name, each thing once: an alias is not another thing.

    The name is the thing's own one where it is exported under that too.
    """
    found: dict[int, tuple[str, Any]] = {}
    for name in sorted(n for n in dir(module) if not n.startswith("_")):
        thing = getattr(module, name)
        if wanted(thing) and (id(thing) not in found or name == thing.__name__):
            found[id(thing)] = name, thing
    return dict(found.values())
