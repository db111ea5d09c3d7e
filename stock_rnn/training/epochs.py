"""An epoch of training in one graph call."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stock_rnn.curvature.keras_private import forgotten_gradients
from stock_rnn.data import StockDataSet, StocksDataSet, epoch_order
from stock_rnn.data.splits import IntArray
from stock_rnn.network import EMBEDDING, JOINED

# Dropout masks are drawn for many batches at once, in at most so many bytes.
_MASK_BYTES = 2**26

#: From this epoch on XLA compiles the training of a network that is unrolled in few cells.
#: Compiling takes as long as it saves in about so many epochs: no training takes twice as long
#: as by the better choice. The epoch's number alone decides, so that a resumed training has the
#: bits of an uninterrupted one.
COMPILED_FROM = 200
_COMPILED_CELLS = 15

# Small networks with a loop over the time steps gain more, and compile sooner.
_LOOP_COMPILED_FROM = 10
_LOOP_COMPILED_WEIGHTS = 20_000

# Of so many batches an epoch is what these numbers count: 1,131 examples in batches of 64. Several
# stocks make more, and so they compile in an earlier epoch, but after the same number of batches.
_BATCHES_OF_ONE_STOCK = 18

# Examples in a batch of the validation or test set.
_MONITORED_BATCH = 4096


class EpochTrainer:
    """Trains a network an epoch at a time.

    Keras's `fit` runs Python code for every batch, which takes most of the time of a small
    network. Here one graph gathers each batch's windows, differentiates and steps.

    The order of an epoch's examples and its dropout masks are functions of (seed, epoch)
    alone: a resumed training draws what the uninterrupted one would have drawn. A short last
    batch is filled up with examples of weight zero.

    Args:
        model: a chain of layers, or an embedding and a chain, as `build_model` makes it; compiled,
            with its optimizer built. Its mean squared error is minimized.
        dataset: what it is trained and tested on.
        batch_size, shuffle, seed: as in `epoch_order`.

    Attributes:
        model: that of the arguments.
    """

    def __init__(
        self, model: keras.Model, dataset: StockDataSet, *, batch_size: int, shuffle: str, seed: int
    ) -> None:
        self.model = model
        self._train_examples = dataset.train
        self._order: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed}
        self._seed = seed
        self._width = min(batch_size, len(dataset.train))
        self._windows = tf.constant(dataset.windows, dtype=tf.float32)
        self._embedding: keras.layers.Embedding | None = None
        self._chain = model.layers[1:]
        if len(model.inputs) > 1:
            self._read_symbols(dataset)
        self._num_steps = dataset.num_steps
        self._dropouts = [at for at in model.layers if isinstance(at, keras.layers.Dropout)]
        values = sum(int(np.prod(layer.output.shape[1:])) for layer in self._dropouts)
        fitting = _MASK_BYTES // max(1, 4 * self._width * values)
        self._chunk = min(max(1, fitting), -(-len(dataset.train) // self._width))
        count = len(dataset.monitored)
        width = min(_MONITORED_BATCH, count)
        self._monitored = in_batches(dataset.monitored, _sizes(count, width), width)
        self._monitored_count = count
        self._build_graphs()
        self._compiled_from = _compiled_from(model)
        if isinstance(dataset, StocksDataSet):
            batches = -(-len(dataset.train) // self._width)
            self._compiled_from *= _BATCHES_OF_ONE_STOCK / batches
        self._compiled_step: Any = None

    def _read_symbols(self, dataset: StockDataSet) -> None:
        """Prepare for a model with an embedding: its rows, and the chain after it."""
        assert isinstance(dataset, StocksDataSet)
        self._rows = tf.constant(dataset.rows_of_windows())
        self._embedding = self.model.get_layer(EMBEDDING)
        joined = self.model.get_layer(JOINED)
        self._chain = self.model.layers[self.model.layers.index(joined) + 1 :]

    def _build_graphs(self) -> None:
        rows = (self._chunk, self._width)
        number = tf.TensorSpec((), tf.int32)
        examples, weights = tf.TensorSpec(rows, tf.int32), tf.TensorSpec(rows)
        masks = [tf.TensorSpec((*rows, *at.output.shape[1:]), tf.bool) for at in self._dropouts]
        self._step_specs = (examples, weights, masks, number)
        self._step = _graph(self._train_batches, *self._step_specs)
        rows = self._monitored[0].shape
        examples, weights = tf.TensorSpec(rows, tf.int32), tf.TensorSpec(rows)
        self._error = _graph(self._error_of_batches, examples, weights)

    def train(self, epoch: int) -> dict[str, float]:
        """Train one epoch, then validate or test.

        Args:
            epoch: its number, counted from 0.

        Returns:
            "loss", the mean over the training examples while they were trained on, dropout
            on; "val_loss", the mean over the monitored examples afterwards, dropout off.
        """
        order, sizes = epoch_order(len(self._train_examples), epoch=epoch, **self._order)
        examples, weights = in_batches(self._train_examples[order], sizes, self._width)
        total = 0.0
        for first in range(0, len(sizes), self._chunk):
            masks = [tf.constant(mask) for mask in self.masks(epoch, first)]
            count = min(self._chunk, len(sizes) - first)
            batches = slice(first, first + count)
            rows = (_lengthened(of[batches], self._chunk) for of in (examples, weights))
            error = self._step_of(epoch)(*map(tf.constant, rows), masks, tf.constant(count))
            total += float(error)
        return {"loss": total / len(self._train_examples), "val_loss": self.test()}

    def _step_of(self, epoch: int) -> Any:
        """The graph that trains an epoch."""
        if epoch < self._compiled_from:
            return self._step
        if self._compiled_step is None:
            self._compiled_step = _graph(self._train_batches, *self._step_specs, compiled=True)
        return self._compiled_step

    def test(self) -> float:
        """The mean loss over the monitored examples, dropout off."""
        return float(self._error(*map(tf.constant, self._monitored))) / self._monitored_count

    def masks(self, epoch: int, first: int = 0) -> list[NDArray[np.bool_]]:
        """Which outputs of layers dropout keeps, in some batches of an epoch.

        Drawn by NumPy: TensorFlow's generator takes five times as long, and in a compiled
        graph twenty times.

        Args:
            epoch: counted from 0.
            first: the first of the batches, counted from 0.

        Returns:
            For each dropout layer (batches, examples, T or none, units), independent.
        """
        # The third number keeps it apart from the generator of `epoch_order`.
        rng = np.random.default_rng([self._seed, epoch, first])
        return [
            rng.random((self._chunk, self._width, *layer.output.shape[1:]), np.float32)
            >= layer.rate
            for layer in self._dropouts
        ]

    def _train_batches(
        self, examples: tf.Tensor, weights: tf.Tensor, masks: list[tf.Tensor], count: tf.Tensor
    ) -> tf.Tensor:
        """Step over the first `count` batches; the sum of the examples' squared errors."""
        variables = self.model.trainable_variables

        def one_batch(batch: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            x, y = self._gather(examples[batch])
            with tf.GradientTape() as tape:
                predicted = self._forward(x, [mask[batch] for mask in masks], weights[batch] > 0)
                error = tf.reduce_sum(_squared_error(predicted, y) * weights[batch])
                loss = error / tf.reduce_sum(weights[batch])
            # That of an embedding comes in parts, a row for each example. Keras's RMSprop and Adam
            # would square the parts one by one, and not their sum. Others stay as they are.
            gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, variables)]
            self.model.optimizer.apply(gradients, variables)
            return batch + 1, total + error

        return _over_batches(one_batch, count)

    def _forward(self, x: Any, masks: list[tf.Tensor], present: tf.Tensor) -> tf.Tensor:
        """The model's predictions with the given masks in place of its dropout layers.

        Batches are normalized by the examples that are `present`: not by what fills a row up.
        """
        remaining = iter(masks)
        if self._embedding is not None:
            # What Keras's three layers do, in fewer operations.
            windows, rows = x
            each = tf.expand_dims(tf.gather(self._embedding.embeddings.value, rows), 1)
            x = tf.concat([windows, tf.tile(each, [1, self._num_steps, 1])], axis=2)
        for layer in self._chain:
            if layer in self._dropouts:
                x = x * (tf.cast(next(remaining), x.dtype) / (1 - layer.rate))
            elif isinstance(layer, keras.layers.BatchNormalization):
                of_sequences = tf.reshape(present, [-1] + [1] * (len(x.shape) - 2))
                mask = tf.broadcast_to(of_sequences, tf.shape(x)[:-1])
                # A copy: Keras's layers would read the mask from the result.
                x = tf.identity(layer(x, training=True, mask=mask))
            else:
                x = layer(x, training=True)
        return x

    def _error_of_batches(self, examples: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The sum of the examples' squared errors, dropout off."""

        def one_batch(batch: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            x, y = self._gather(examples[batch])
            error = _squared_error(self.model(x, training=False), y)
            return batch + 1, total + tf.reduce_sum(error * weights[batch])

        return _over_batches(one_batch, tf.shape(examples)[0])

    def _gather(self, examples: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Inputs (k, T, N), with the stocks' rows (k,) if there are any; labels (k, N)."""
        steps = examples[:, None] + tf.range(self._num_steps)
        x = tf.gather(self._windows, steps)
        if self._embedding is not None:
            x = [x, tf.gather(self._rows, examples)]
        return x, tf.gather(self._windows, examples + self._num_steps)


def _compiled_from(model: keras.Model) -> float:
    """The epoch from which on XLA compiles the training of a network; infinity for never."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]
    if not all(layer.unroll for layer in layers):
        small = model.count_params() <= _LOOP_COMPILED_WEIGHTS
        return _LOOP_COMPILED_FROM if small else math.inf
    cells = sum(layer.input.shape[1] for layer in layers)
    return COMPILED_FROM if cells <= _COMPILED_CELLS else math.inf


def _graph(function: Any, *specs: Any, compiled: bool = False) -> Any:
    """A function as one graph, for arguments of the given shapes and dtypes.

    Args:
        function: of tensors.
        specs: a `tf.TensorSpec`, or a list of them, for each argument.
        compiled: whether XLA compiles it, when it is first called.
    """
    graph = tf.function(function, autograph=False, jit_compile=compiled)
    with forgotten_gradients():
        return graph.get_concrete_function(*specs)


def _over_batches(one_batch: Any, count: tf.Tensor) -> tf.Tensor:
    """Call `one_batch(batch, total) -> (batch + 1, total)` for each batch; the total."""
    _, total = tf.while_loop(
        lambda batch, total: batch < count,
        one_batch,
        (tf.constant(0), tf.constant(0.0)),
        parallel_iterations=1,
    )
    return total


def _squared_error(predicted: tf.Tensor, actual: tf.Tensor) -> tf.Tensor:
    """(k,): the mean over each example's N prices."""
    return tf.reduce_mean(tf.square(predicted - actual), axis=-1)


def _sizes(count: int, width: int) -> IntArray:
    """The sizes of the batches that `count` examples make."""
    return np.minimum(width, count - np.arange(0, count, width))


def in_batches(
    examples: IntArray, sizes: IntArray, width: int
) -> tuple[IntArray, NDArray[np.float32]]:
    """Batches of different sizes as rows of one length.

    Args:
        examples: (sum of sizes,) int32, in order.
        sizes: (batches,), of at most `width`.
        width: the rows' length.

    Returns:
        (batches, width) int32 and their weights, float32: 1, or 0 where a row is filled up.
    """
    filled = np.arange(width) < sizes[:, None]
    rows = np.zeros(filled.shape, np.int32)
    rows[filled] = examples
    return rows, filled.astype(np.float32)


def _lengthened(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """Rows, filled up with zeros to `count`: a graph is traced for one shape."""
    return np.pad(rows, [(0, count - len(rows)), (0, 0)])
