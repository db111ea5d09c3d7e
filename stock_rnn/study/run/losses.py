"""Losses of a network on whole sets, with dropout off and on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stock_rnn.data.dataset import StockDataSet

Array = NDArray[np.float64]

#: Draws of dropout's masks that a loss is averaged over.
MASKS = 32


class Losses:
    """Mean squared errors over whole sets, with dropout off and on.

    The report's code tests with dropout on. The masks come from the model's own seed
    generators. They are set from (seed, epoch, layer, draw) and restored afterwards, so that
    measuring does not change the masks of the training. What comes before the first dropout
    is computed once for all draws.

    Args:
        model: the network, a chain of layers.
        dataset: its training and test set, and its validation set if it has one.
        seed: of the masks.
    """

    def __init__(self, model: keras.Model, dataset: StockDataSet, seed: int) -> None:
        self._forward = tf.function(model, reduce_retracing=True)
        self._dropouts = [at for at in model.layers if isinstance(at, keras.layers.Dropout)]
        self._generators = [layer.seed_generator.state for layer in self._dropouts]
        first = model.layers.index(self._dropouts[0]) if self._dropouts else len(model.layers)
        self._before, self._after = model.layers[1:first], model.layers[first:]
        self._begin = tf.function(self._run_before, reduce_retracing=True)
        self._end = tf.function(self._run_after, reduce_retracing=True)
        sets = {"train": dataset.train, "test": dataset.test}
        if len(dataset.validation):
            sets["validation"] = dataset.validation
        self._x = {name: tf.constant(dataset.inputs(of), tf.float32) for name, of in sets.items()}
        self._y = {name: dataset.labels(of) for name, of in sets.items()}
        self._seed = seed

    def measure(self, epoch: int, masks: int) -> dict[str, float]:
        """Column name -> loss: of every set, dropout off and on.

        Args:
            epoch: of the masks.
            masks: draws that the losses with dropout are averaged over; "dropout_masks".
        """
        losses: dict[str, float] = {"dropout_masks": masks if self._dropouts else 1}
        for name in self._x:
            losses[f"{name}_loss"] = self._error(name, self.predict(name))
            losses[f"{name}_loss_dropout"] = float(
                np.mean([self._error(name, p) for p in self.draws(name, epoch, masks)])
            )
        return losses

    def train_loss(self) -> float:
        """The training loss, dropout off."""
        return self.loss("train")

    def loss(self, name: str) -> float:
        """The loss of the set "train", "test" or "validation", dropout off."""
        return self._error(name, self.predict(name))

    def predict(self, name: str) -> Array:
        """Predictions (k, N) of the set "train", "test" or "validation", dropout off."""
        return np.asarray(self._forward(self._x[name], training=False), np.float64)

    def draws(self, name: str, epoch: int, masks: int) -> Iterator[Array]:
        """Predictions (k, N) of a set, named as for `predict`, dropout on; one for each draw."""
        if not self._dropouts:
            yield self.predict(name)
            return
        outputs = self._begin(self._x[name])
        for draw in range(masks):
            with self._masks_of(epoch, draw):
                predicted = np.asarray(self._end(outputs), np.float64)
            yield predicted

    def _run_before(self, x: Any) -> Any:
        for layer in self._before:
            x = layer(x)
        return x

    def _run_after(self, x: Any) -> Any:
        for layer in self._after:
            x = layer(x, training=True) if layer in self._dropouts else layer(x)
        return x

    def _error(self, name: str, predicted: Array) -> float:
        return float(np.mean((predicted - self._y[name]) ** 2))

    @contextlib.contextmanager
    def _masks_of(self, epoch: int, draw: int) -> Iterator[None]:
        kept = [state.numpy() for state in self._generators]
        for layer, state in enumerate(self._generators):
            # Large numbers, unlike the seeds that Keras draws for its own streams.
            entropy = [self._seed, epoch, layer, draw]
            state.assign(
                np.random.SeedSequence(entropy).generate_state(2).astype(kept[layer].dtype)
            )
        yield
        for state, value in zip(self._generators, kept, strict=True):
            state.assign(value)
