"""The loss at displaced parameters: means over micro-batches, without any derivative."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.many_losses import AT_ONCE, trace_many_losses
from stock_rnn.curvature.operators.protocol import Array
from stock_rnn.curvature.operators.replicas import Replicas
from stock_rnn.curvature.operators.session import ParameterVector

# A mean over examples is the same of batches and of their halves, but for rounding.
_SAME = 1e-4


class Losses:
    """L(θ + d) = Σ cᵦ Lᵦ(θ + d) / Σ cᵦ over micro-batches b, with counts cᵦ (see `BatchLoss`).

    The sum θ + d is made in float64 and rounded to the variables' type. The variables are left
    alone. A graph is built when it is first needed.

    Args:
        batch_loss: of one micro-batch.
        theta: the parameters that are displaced.
        replicas: compute the micro-batches, if the data are spread over several devices.

    Attributes:
        traces: TensorFlow graphs built so far.
    """

    def __init__(
        self, batch_loss: BatchLoss, theta: ParameterVector, replicas: Replicas | None = None
    ) -> None:
        self._batch_loss, self._theta, self._replicas = batch_loss, theta, replicas
        self._graph: Callable[..., Any] | None = None
        self._graph_of_many: Callable[..., Any] | None = None
        self.traces = 0

    def at(self, batches: Iterable[Any], spec: Any, displacement: Array) -> float:
        """L(θ + displacement).

        Args:
            batches: the micro-batches, as tensors.
            spec: nested `tf.TensorSpec` that every one of them fits.
            displacement: float64 (n,).

        Raises:
            ValueError: a displacement of another shape, or nothing counts.
        """
        if np.shape(displacement) != (self._theta.size,):
            raise ValueError(
                f"The displacement must be ({self._theta.size},). "
                f"Received: shape={np.shape(displacement)}"
            )
        pairs = [self._loss_and_count(batch, spec, displacement) for batch in batches]
        losses, counts = (np.array([float(pair[k]) for pair in pairs]) for k in (0, 1))
        return float(losses @ counts / nonzero(float(counts.sum())))

    def at_many(self, read: Callable[[], Iterable[Any]], spec: Any, displacements: Array) -> Array:
        """L(θ + d) for each row d of (k, n): float64 (k,).

        Args:
            read: begins a new pass over the micro-batches.
            spec: as in `at`.
            displacements: the rows.

        Raises:
            ValueError: displacements of another shape, or nothing counts.
        """
        rows = np.asarray(displacements, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self._theta.size:
            raise ValueError(
                f"The displacements must be (k, {self._theta.size}). Received: shape={rows.shape}"
            )
        if self._replicas is not None:
            return np.array([self.at(read(), spec, row) for row in rows])
        if self._graph_of_many is None:
            self.traces += 1
            self._graph_of_many = trace_many_losses(self._batch_loss, self._theta, spec)
        total, weights = np.zeros(len(rows)), np.zeros(len(rows))
        for batch in read():
            for first in range(0, len(rows), AT_ONCE):
                part = slice(first, first + AT_ONCE)
                found = self._graph_of_many(batch, tf.constant(rows[part]))
                losses, counts = (np.asarray(of, np.float64) for of in found)
                total[part] += losses * counts
                weights[part] += counts
        return np.asarray(total / nonzero(weights))

    def _loss_and_count(self, batch: Any, spec: Any, displacement: Array) -> Any:
        if self._replicas is not None:
            return self._replicas.loss(batch, displacement)
        if self._graph is None:
            self._graph = self._trace(spec)
        return self._graph(batch, tf.constant(displacement, tf.float64))

    def _trace(self, spec: Any) -> Callable[..., Any]:
        self.traces += 1

        def loss(batch: Any, displacement: tf.Tensor) -> Any:
            values = self._theta.displaced(displacement)
            return self._batch_loss(self._theta.variables, values, batch)

        displacement = tf.TensorSpec([self._theta.size], tf.float64)
        function = tf.function(loss, autograph=False)
        return function.get_concrete_function(spec, displacement)


def nonzero(count: Any) -> Any:
    """A count, or several, to divide by.

    Raises:
        ValueError: one is zero.
    """
    if not np.all(count):
        raise ValueError("Masks or weights keep no entry of the data: there is no mean loss.")
    return count


def warn_of_no_mean(
    together: float, apart: float, *, batch_size: int, examples: int | None
) -> None:
    """Warn if a loss is no mean over examples: then it depends on how the data are cut.

    Args:
        together: the loss over batches.
        apart: the loss over halves of them.
        batch_size: examples in the largest batch.
        examples: in all micro-batches of arrays; None: the batches are those of a data set.
    """
    if not abs(together - apart) > _SAME * abs(together):
        return
    consequence = (
        f"The Hessian is that of {together:.6g}, which evaluate reports for these batches "
        "of the data set; pass arrays for that of all examples in one batch."
        if examples is None
        else f"So the Hessian depends on {batch_size=}. Pass batch_size={examples} for all in one."
    )
    warnings.warn(
        f"The loss is no mean over examples: batches of at most {batch_size} have the "
        f"loss {together:.6g} on average, halves of them {apart:.6g}. {consequence}",
        stacklevel=3,
    )
