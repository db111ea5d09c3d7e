"""Losses of a network on whole sets, with dropout off and on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stock_rnn.data.dataset import StockDataSet

Array = NDArray[np.float64]


class Losses:
    """Mean squared errors over whole sets, with dropout off and on.

    The report's code tests with dropout on. The masks come from the model's own seed
    generators. They are set from (seed, epoch) and restored afterwards, so that measuring
    does not change the masks of the training.

    Args:
        model: the network.
        dataset: its training and test set.
        seed: of the masks.
    """

    def __init__(self, model: keras.Model, dataset: StockDataSet, seed: int) -> None:
        self._forward = tf.function(model, reduce_retracing=True)
        self._generators = [
            layer.seed_generator.state
            for layer in model.layers
            if isinstance(layer, keras.layers.Dropout)
        ]
        sets = {"train": dataset.train, "test": dataset.test}
        self._x = {name: tf.constant(dataset.inputs(of), tf.float32) for name, of in sets.items()}
        self._y = {name: dataset.labels(of) for name, of in sets.items()}
        self._seed = seed

    def measure(self, epoch: int) -> dict[str, float]:
        """Column name -> loss: training and test set, dropout off and on."""
        losses = {}
        for name in self._x:
            losses[f"{name}_loss"] = self._error(name, self.predict(name))
            dropped = self.predict_with_dropout(name, epoch)
            losses[f"{name}_loss_dropout"] = self._error(name, dropped)
        return losses

    def predict(self, name: str) -> Array:
        """Predictions (k, N) of the set "train" or "test", dropout off."""
        return np.asarray(self._forward(self._x[name], training=False), np.float64)

    def predict_with_dropout(self, name: str, epoch: int) -> Array:
        """Predictions (k, N) of the set "train" or "test", dropout on."""
        with self._masks_of(epoch):
            return np.asarray(self._forward(self._x[name], training=True), np.float64)

    def _error(self, name: str, predicted: Array) -> float:
        return float(np.mean((predicted - self._y[name]) ** 2))

    @contextlib.contextmanager
    def _masks_of(self, epoch: int) -> Iterator[None]:
        kept = [state.numpy() for state in self._generators]
        for layer, state in enumerate(self._generators):
            # Large numbers, unlike the seeds that Keras draws for its own streams.
            drawn = np.random.SeedSequence([self._seed, epoch, layer]).generate_state(2)
            state.assign(drawn.astype(kept[layer].dtype))
        yield
        for state, value in zip(self._generators, kept, strict=True):
            state.assign(value)
