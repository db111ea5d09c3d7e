"""A Keras model that trains a whole epoch in one step of `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.data import StockDataSet, epoch_order


class EpochModel(keras.Model):
    """A functional model whose `train_step` runs all batches of an epoch.

    Keras's `fit` runs Python code for every batch, which takes most of the time of a
    small network. Here `fit` is given the order of the examples, and one graph gathers
    each batch's windows, differentiates, and steps. To callbacks an epoch has one step:
    batch callbacks are called once an epoch.

    `EpochModel(model.inputs, model.outputs)` shares the layers of `model`. Train the
    one and save the other. Call `attach` before `compile`. `fit` takes
    `training_epochs`, `evaluate` and `validation_data` take `validation_epochs`.
    """

    def attach(self, dataset: StockDataSet) -> None:
        """Take the data set whose windows, as float32, the examples are gathered from."""
        # In an object of its own: Keras would track a tensor as part of the model.
        self._window_source = _Windows(dataset)
        self._epoch_loss = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The mean loss over the examples, which Keras resets at the start of an epoch."""
        return [self._epoch_loss]

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on every batch of an epoch.

        Args:
            data: (examples, sizes), as `training_epochs` yields them.

        Returns:
            "loss" -> the mean loss over the examples.
        """
        examples, sizes, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables

        def one_batch(batch: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            stop = start + sizes[batch]
            x, y = self._window_source.gather(examples[start:stop])
            with tf.GradientTape() as tape:
                predicted = self(x, training=True)
                loss = self.compute_loss(x=x, y=y, y_pred=predicted, training=True)
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            # Weighted by the batch's size: the epoch's loss is the mean over its examples.
            self._epoch_loss.update_state(loss, sample_weight=tf.cast(stop - start, loss.dtype))
            return batch + 1, stop

        _over_batches(one_batch, sizes)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """The mean loss over examples, dropout off; data as in `train_step`."""
        examples, sizes, _ = keras.utils.unpack_x_y_sample_weight(data)

        def one_batch(batch: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            stop = start + sizes[batch]
            x, y = self._window_source.gather(examples[start:stop])
            predicted = self(x, training=False)
            loss = self.compute_loss(x=x, y=y, y_pred=predicted, training=False)
            self._epoch_loss.update_state(loss, sample_weight=tf.cast(stop - start, loss.dtype))
            return batch + 1, stop

        _over_batches(one_batch, sizes)
        return self.get_metrics_result()


def _over_batches(one_batch: Any, sizes: tf.Tensor) -> None:
    """Call `one_batch(batch, start) -> (batch + 1, stop)` for each batch in turn."""
    tf.while_loop(
        lambda batch, start: batch < tf.size(sizes),
        one_batch,
        (tf.constant(0), tf.constant(0)),
        parallel_iterations=1,
    )


class _Windows:
    """A data set's windows as a tensor, from which examples are gathered."""

    def __init__(self, dataset: StockDataSet) -> None:
        self.windows = tf.constant(dataset.windows, dtype=tf.float32)
        self.num_steps = dataset.num_steps

    def gather(self, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Inputs (k, T, N) and labels (k, N) of k examples."""
        steps = examples[:, None] + tf.range(self.num_steps)
        return tf.gather(self.windows, steps), tf.gather(self.windows, examples + self.num_steps)


def training_epochs(
    dataset: StockDataSet, *, batch_size: int, shuffle: str, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """The training set for `fit(..., steps_per_epoch=1)`: one element an epoch, without end.

    Args:
        dataset: whose training examples are ordered by `epoch_order`.
        batch_size, shuffle, seed: as in `epoch_order`.
        first_epoch: the number of the first element's epoch.

    Returns:
        Elements (examples (n_train,) int32, sizes (batches,) int32).
    """

    def elements() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch = first_epoch
        while True:
            order, sizes = epoch_order(
                len(dataset.train), batch_size, shuffle=shuffle, seed=seed, epoch=epoch
            )
            yield dataset.train[order], sizes
            epoch += 1

    vector = tf.TensorSpec((None,), tf.int32)
    return tf.data.Dataset.from_generator(elements, output_signature=(vector, vector))


def validation_epochs(dataset: StockDataSet, *, batch_size: int = 4096) -> tf.data.Dataset:
    """The test set for `fit(validation_data=..., validation_steps=1)`: one element, repeated.

    Returns:
        Elements (examples (n_test,) int32, sizes (batches,) int32).
    """
    count = len(dataset.test)
    sizes = np.minimum(batch_size, count - np.arange(0, count, batch_size)).astype(np.int32)
    return tf.data.Dataset.from_tensors((dataset.test, sizes)).repeat()
