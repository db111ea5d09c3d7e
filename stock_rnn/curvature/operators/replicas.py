"""The loss, its gradient and Hessian products with the data spread over several devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.errors import ReplicaLostError
from stock_rnn.curvature.operators.protocol import Array
from stock_rnn.curvature.operators.session import OnBatch, ParameterVector, differentiate_along


class Replicas:
    """Sums over the replicas of a `tf.distribute` strategy, each with its rows of a micro-batch.

    With cᵣ what replica r's rows count (see `BatchLoss`) and H_r their Hessian, a micro-batch has

        c = Σᵣ cᵣ,   c L = Σᵣ cᵣ Lᵣ,   c g = Σᵣ cᵣ gᵣ,   c H v = Σᵣ cᵣ (H_r v),

    summed by `strategy.reduce`. That is exact for shards of any lengths, none included. With
    several processes each of them reads all micro-batches and takes its own rows; all get the
    same sums, so that a routine makes the same decisions in each.

    A product differentiates the loss anew, as `HessianOperator` does over micro-batches.

    Args:
        strategy: its scope is where the model was built.
        batch_loss, theta: the loss, and what it is differentiated by.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, batch_loss: BatchLoss, theta: ParameterVector
    ) -> None:
        self.strategy = strategy
        self._batch_loss, self._theta = batch_loss, theta
        self._sum_losses = tf.function(self._losses, autograph=False, reduce_retracing=True)
        self._sum_gradients = tf.function(self._gradients, autograph=False, reduce_retracing=True)
        self._sum_products = tf.function(self._products, autograph=False, reduce_retracing=True)

    def loss(self, batch: Any, displacement: Array) -> tuple[float, float]:
        """L(θ + displacement) of a micro-batch, and its count."""
        with _one_line_of_lost_workers():
            sums = self._sum_losses(*self._shards(batch), tf.constant(displacement, tf.float64))
        count, loss = map(float, sums)
        return loss / _divisor(count), count

    def derivatives(self, batch: Any, columns: Array) -> OnBatch:
        """The loss, the gradient and the products with columns (n, k) on a micro-batch."""
        shards = self._shards(batch)
        vectors = tf.constant(columns.T, self._theta.dtype)
        with _one_line_of_lost_workers():
            sums = [np.asarray(of, np.float64) for of in self._sum_gradients(*shards)]
            products = [self._sum_products(*shards, vector).numpy() for vector in vectors]
        count, loss, gradient = sums
        made = np.array(products, np.float64).reshape(columns.T.shape).T
        by = _divisor(float(count))
        return OnBatch(float(count), float(loss) / by, gradient / by, made / by)

    def _shards(self, batch: Any) -> tuple[Any, Any]:
        """Each replica's rows, and whether it has any: one without is lent the first row."""
        size = len(keras.tree.flatten(batch)[0])
        ends = np.linspace(0, size, self.strategy.num_replicas_in_sync + 1).astype(int)

        def rows(context: Any) -> slice:
            replica = context.replica_id_in_sync_group
            return slice(ends[replica], ends[replica + 1])

        def shard(array: Any) -> Any:
            def of(context: Any) -> tf.Tensor:
                part = rows(context)
                return tf.constant(array[part] if part.stop > part.start else array[:1])

            return self.strategy.experimental_distribute_values_from_function(of)

        def present(context: Any) -> tf.Tensor:
            part = rows(context)
            return tf.constant(float(part.stop > part.start), self._theta.dtype)

        shards = keras.tree.map_structure(shard, batch)
        return shards, self.strategy.experimental_distribute_values_from_function(present)

    # TensorFlow's graphs

    def _losses(self, batch: Any, present: Any, displacement: tf.Tensor) -> list[tf.Tensor]:
        def local(batch: Any, present: tf.Tensor, displacement: tf.Tensor) -> list[tf.Tensor]:
            values = self._theta.displaced(displacement)
            loss, count = self._batch_loss(self._theta.variables, values, batch)
            return _weighted(tf.cast(count, present.dtype) * present, loss)

        return self._summed(local, batch, present, displacement)

    def _gradients(self, batch: Any, present: Any) -> list[tf.Tensor]:
        def local(batch: Any, present: tf.Tensor) -> list[tf.Tensor]:
            _, _, loss, count, gradients = self._differentiate(batch, present)
            return _weighted(count, loss, self._theta.join(gradients))

        return self._summed(local, batch, present)

    def _products(self, batch: Any, present: Any, vector: tf.Tensor) -> tf.Tensor:
        def local(batch: Any, present: tf.Tensor, vector: tf.Tensor) -> list[tf.Tensor]:
            tape, values, _, count, gradients = self._differentiate(batch, present)
            along = self._theta.split(vector)
            product = self._theta.join(differentiate_along(tape, gradients, values, along))
            return _weighted(count, product)

        return self._summed(local, batch, present, vector)[1]

    def _differentiate(self, batch: Any, present: tf.Tensor) -> tuple[Any, ...]:
        variables = self._theta.variables
        values = [tf.convert_to_tensor(v.value) for v in variables]
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                loss, count = self._batch_loss(variables, values, batch)
            gradients = inner.gradient(loss, values)
        return outer, values, loss, tf.cast(count, present.dtype) * present, gradients

    def _summed(self, local: Any, *of: Any) -> list[tf.Tensor]:
        found = self.strategy.run(local, args=of)
        return [self.strategy.reduce("SUM", part, axis=None) for part in found]


def _divisor(count: float) -> float:
    """A count, or 1 where nothing counts: all sums are then zero."""
    return count or 1.0


def _weighted(count: tf.Tensor, *parts: tf.Tensor) -> list[tf.Tensor]:
    """The count, and count × each part; a lent row is infinite times nothing: nothing."""
    return [count, *(tf.math.multiply_no_nan(tf.cast(p, count.dtype), count) for p in parts)]


@contextlib.contextmanager
def _one_line_of_lost_workers() -> Iterator[None]:
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as error:
        if "ollective" not in str(error):
            raise
        raise ReplicaLostError(
            "A worker of the strategy was lost while a Hessian product was summed over all of "
            "them. TensorFlow cannot go on without it: start all workers again."
        ) from error
