"""The loss at many points in one TensorFlow call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.session import ParameterVector

#: Points that are evaluated at once: more are no faster, and need more memory.
AT_ONCE = 8

_LOOPS = {"While", "StatelessWhile"}


def trace_many_losses(
    batch_loss: BatchLoss, theta: ParameterVector, signature: Any
) -> Callable[[Any, tf.Tensor], Any]:
    """A graph of the losses at many points, on one micro-batch.

    The points become one more axis of every operation (`tf.vectorized_map`), so that small
    matrices are multiplied in batches. TensorFlow cannot do so with loops, as recurrent layers
    have that are not unrolled: then the points are evaluated side by side.

    Args:
        batch_loss: the loss.
        theta: the parameters that are displaced.
        signature: nested `tf.TensorSpec` of a micro-batch.

    Returns:
        (micro-batch, displacements (k, n) float64) -> losses (k,) and counts (k,), as
        `BatchLoss` has them.
    """

    def at(batch: Any, displacement: tf.Tensor) -> Any:
        return batch_loss(theta.variables, theta.displaced(displacement), batch)

    def at_many(batch: Any, displacements: tf.Tensor) -> Any:
        if not loops:
            return tf.vectorized_map(lambda d: at(batch, d), displacements)
        kinds = tuple(tf.TensorSpec((), of.dtype) for of in single.structured_outputs)
        return tf.map_fn(
            lambda d: at(batch, d),
            displacements,
            fn_output_signature=kinds,
            parallel_iterations=AT_ONCE,
        )

    one, many = (tf.TensorSpec(shape, tf.float64) for shape in ([theta.size], [None, theta.size]))
    single = tf.function(at, autograph=False).get_concrete_function(signature, one)
    loops = any(operation.type in _LOOPS for operation in single.graph.get_operations())
    return tf.function(at_many, autograph=False).get_concrete_function(signature, many)
