"""A Keras model that trains a whole epoch in one step of `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.data.dataset import StockDataSet, epoch_order


class EpochModel(keras.Model):
    """A functional model whose `train_step` runs all batches of an epoch.

    Keras's `fit` pays for every batch in Python: on small networks most of
    the time goes there. Here `fit` hands over the order of the examples, and
    one graph gathers each batch's windows, differentiates, and steps. To
    callbacks it is an ordinary `fit` with one step an epoch: batch callbacks
    are called once an epoch.

    Built as `EpochModel(model.inputs, model.outputs)`, it shares the layers of
    `model`, which stays the one to save.

    The data of `fit` is what `training_epochs` yields, that of `evaluate` what
    `held_out` does. `attach` says which windows they index.
    """

    def attach(self, dataset: StockDataSet) -> None:
        """Take the windows that examples are gathered from: (W, N) float32."""
        # Keras would track an attribute that holds a tensor as a weight's parent.
        self._window_source = _Windows(dataset)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Every batch of an epoch, in the order given: data = (examples, sizes)."""
        examples, sizes, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables

        def one_batch(batch: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            stop = start + sizes[batch]
            x, y = self._window_source.gather(examples[start:stop])
            with tf.GradientTape() as tape:
                predicted = self(x, training=True)
                loss = self.compute_loss(x=x, y=y, y_pred=predicted, training=True)
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            # Weighted by the examples, so that the epoch's loss is their mean.
            self._loss_tracker.update_state(loss, sample_weight=tf.cast(stop - start, loss.dtype))
            return batch + 1, stop

        _over_batches(one_batch, sizes)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """The loss of the examples given, dropout off: data = (examples, sizes)."""
        examples, sizes, _ = keras.utils.unpack_x_y_sample_weight(data)

        def one_batch(batch: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            stop = start + sizes[batch]
            x, y = self._window_source.gather(examples[start:stop])
            predicted = self(x, training=False)
            loss = self.compute_loss(x=x, y=y, y_pred=predicted, training=False)
            self._loss_tracker.update_state(loss, sample_weight=tf.cast(stop - start, loss.dtype))
            return batch + 1, stop

        _over_batches(one_batch, sizes)
        return self.get_metrics_result()


def _over_batches(one_batch: Any, sizes: tf.Tensor) -> None:
    """Call `one_batch(batch, start) -> (batch + 1, stop)` for every size in turn."""
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
    """What `fit(..., steps_per_epoch=1)` takes: one element an epoch, without end."""

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


def held_out(dataset: StockDataSet, *, batch_size: int = 4096) -> tf.data.Dataset:
    """What `validation_data` with `validation_steps=1` takes: the test set, again and again."""
    count = len(dataset.test)
    sizes = np.minimum(batch_size, count - np.arange(0, count, batch_size)).astype(np.int32)
    return tf.data.Dataset.from_tensors((dataset.test, sizes)).repeat()
