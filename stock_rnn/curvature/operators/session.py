"""The conversation between one TensorFlow call and a routine that asks for products.

Products are cheapest where the loss is differentiated once and all of them follow
inside the same TensorFlow call. But the next vector is the routine's to choose, in
Python. So the call asks Python for it:

    TensorFlow, one call                        Python
    --------------------                        ------
    loss, gradient g = ∂L/∂θ    -- L, g -->     make_routine(L, g) -> its first vector v
    H v = ∂⟨g, v⟩/∂θ            <-- v ----
                                -- H v -->      routine.send(H v) -> its next vector
    ...                         <-- v ----
                                -- H v -->      the routine returns: no more vectors
    end of the loop             <-- stop --
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.differentiable import twice_differentiable
from stock_rnn.curvature.operators.errors import (
    NoGradientError,
    NonFiniteError,
    SecondDerivativeError,
)
from stock_rnn.curvature.operators.graph_scan import (
    GraphScan,
    explain_missing_gradient,
    scan_gradient,
)
from stock_rnn.curvature.operators.heap import keep_freed_memory
from stock_rnn.curvature.operators.protocol import (
    Array,
    MatvecRoutine,
    all_finite,
    column_by_column,
)

# What the operation that hands a product to Python is called in the graph.
ASK = "ask_python"

# (loss, gradient (n,)) -> the routine that then asks for products with vectors (n,).
MakeRoutine = Callable[[float, Array], MatvecRoutine[None]]


class ParameterVector:
    """θ: the values of some variables as one flat vector of length n.

    Args:
        variables: in the order in which they lie in the vector.
        dtype: the floating type of all values; None: each variable's own.
    """

    def __init__(self, variables: Sequence[keras.Variable], dtype: tf.DType | None = None) -> None:
        self.variables = list(variables)
        self.sizes = [int(np.prod(v.shape)) for v in variables]
        self.size = sum(self.sizes)
        self.types = [tf.as_dtype(dtype or v.dtype) for v in variables]
        self.dtype = max(self.types, key=lambda kind: kind.size)

    def split(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """A vector (n,) as one tensor a variable, in its shape and type."""
        parts = zip(tf.split(vector, self.sizes), self.variables, self.types, strict=True)
        return [tf.cast(tf.reshape(part, v.shape), kind) for part, v, kind in parts]

    def join(self, parts: Sequence[Any]) -> tf.Tensor:
        """One tensor a variable as a vector (n,); where one is None, zeros."""
        dense = [
            tf.zeros(v.shape, kind) if part is None else densified(part)
            for part, v, kind in zip(parts, self.variables, self.types, strict=True)
        ]
        return tf.concat([tf.reshape(tf.cast(part, self.dtype), [-1]) for part in dense], 0)

    def displaced(self, displacement: tf.Tensor) -> list[tf.Tensor]:
        """θ + displacement (n,) float64: summed in float64, rounded to the type of each."""
        parts = zip(self.variables, tf.split(displacement, self.sizes), self.types, strict=True)
        return [
            tf.cast(tf.cast(v.value, tf.float64) + tf.reshape(part, v.shape), kind)
            for v, part, kind in parts
        ]


@dataclass(frozen=True)
class Derivatives:
    """A loss, its gradient, and its products with vectors, as tensors of one graph."""

    loss: tf.Tensor  # scalar
    count: tf.Tensor  # scalar: what the micro-batch counts; see `BatchLoss`
    gradients: list[Any]  # one a variable, None where no gradient reaches it
    product: Callable[[tf.Tensor], tf.Tensor]  # v -> A v, both (n,)


@dataclass(frozen=True)
class OnBatch:
    """A loss and its derivatives on one micro-batch; means over what it counts."""

    count: float  # see `BatchLoss`
    loss: float
    gradient: Array  # (n,) float64
    products: Array  # H V, (n, k) float64


class ProductSession:
    """The TensorFlow graph that differentiates a loss on one micro-batch and multiplies.

    Built for a given signature of micro-batches, for the variables' live values.

    Args:
        batch_loss: the loss.
        parameters: what it is differentiated by.
        signature: nested `tf.TensorSpec` of a micro-batch (x, y, sample weights).

    Attributes:
        scan: what the graph tells of its second derivative.
        unreached: the variables that no gradient reaches.

    Raises:
        NoGradientError: No gradient reaches any variable.
        SecondDerivativeError: An operation has none.
    """

    def __init__(self, batch_loss: BatchLoss, parameters: ParameterVector, signature: Any) -> None:
        self._batch_loss = batch_loss
        self._parameters = parameters
        self._reply: Callable[[float, Array], Array | None] = _no_routine
        self._failure: BaseException | None = None
        self.scan: GraphScan
        self.unreached: list[keras.Variable] = []
        displacement = tf.TensorSpec([parameters.size], tf.float64)
        keep_freed_memory()
        with twice_differentiable():
            self._graph = tf.function(self._multiply, autograph=False).get_concrete_function(
                signature, displacement
            )

    @property
    def graph(self) -> Any:
        """The `tf.Graph`, with all that it computes."""
        return self._graph.graph

    def converse(
        self, batch: Any, make_routine: MakeRoutine, displacement: Array | None = None
    ) -> tuple[float, int]:
        """Answer a routine for one micro-batch, at θ + displacement.

        Returns:
            What the batch counts (see `BatchLoss`), and how many products were made.

        Raises:
            NonFiniteError: The gradient or a product is not finite.
            SecondDerivativeError: A function in the graph has none.
        """
        routine: list[MatvecRoutine[None]] = []

        def reply(loss: float, vector: Array) -> Array | None:
            if not all_finite(vector):
                what = "A product" if routine else "The gradient"
                raise NonFiniteError(f"{what} is not finite. The loss is {loss}.")
            try:
                if routine:
                    return routine[0].send(vector)
                routine.append(make_routine(loss, vector))
                return next(routine[0])
            except StopIteration:
                return None

        at = np.zeros(self._parameters.size) if displacement is None else displacement
        self._reply, self._failure = reply, None
        try:
            count, products = self._graph(batch, tf.constant(at, tf.float64))
        except tf.errors.NotFoundError as error:
            # What TensorFlow writes for the gradient of a function that has none.
            if "SymbolicGradient" not in str(error):
                raise
            raise SecondDerivativeError(
                "TensorFlow has no second derivative of a function in the loss or in a layer: "
                f"{_node(error)}. Replace it by plain operations."
            ) from error
        finally:
            self._reply = _no_routine
        if self._failure is not None:
            raise self._failure
        return float(count), int(products)

    def derivatives(self, batch: Any, columns: Array) -> OnBatch:
        """The loss, the gradient and the products with columns (n, k) on a micro-batch.

        Raises:
            NonFiniteError, SecondDerivativeError: As `converse`.
        """
        found: list[Any] = []

        def ask(loss: float, gradient: Array) -> MatvecRoutine[None]:
            found.extend((loss, gradient))
            found.append((yield from column_by_column(columns)))

        count, _ = self.converse(batch, ask)
        return OnBatch(count, *found)

    def _ask_python(self, loss: Any, vector: Any) -> tuple[np.bool_, Any]:
        """Give a product to the routine; return whether it asks for another, and the vector."""
        try:
            question = self._reply(float(loss), vector.astype(np.float64))
        except BaseException as error:  # TensorFlow would turn it into one of its own
            self._failure, question = error, None
        if question is None:
            return np.False_, vector
        return np.True_, np.asarray(question, self._parameters.dtype.as_numpy_dtype)

    def _multiply(self, batch: Any, displacement: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The graph, or why there is none."""
        try:
            return self._multiply_on_demand(batch, displacement)
        except NotImplementedError as error:
            if "recompute_grad" not in str(error):
                raise
            raise SecondDerivativeError(
                "tf.recompute_grad has no second derivative: build the model without it."
            ) from error
        except LookupError as error:
            raise SecondDerivativeError(
                explain_missing_gradient(error, self._batch_loss.model)
            ) from error

    def _multiply_on_demand(
        self, batch: Any, displacement: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Differentiate once, then multiply for as long as Python asks."""
        parameters = self._parameters
        values = parameters.displaced(displacement)
        found = self._differentiate(values, batch)
        self._note_unreached(found.gradients)
        self.scan = scan_gradient(values, found.gradients)
        loss = found.loss

        def ask(vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            more, question = tf.numpy_function(
                self._ask_python,
                [loss, vector],
                [tf.bool, parameters.dtype],
                stateful=True,
                name=ASK,
            )
            return tf.ensure_shape(more, []), tf.ensure_shape(question, [parameters.size])

        more, vector = ask(parameters.join(found.gradients))
        _, _, products = tf.while_loop(
            lambda more, vector, k: more,
            lambda more, vector, k: (*ask(found.product(vector)), k + 1),
            (more, vector, tf.constant(0)),
            parallel_iterations=1,
        )
        return found.count, products

    def _differentiate(self, values: list[tf.Tensor], batch: Any) -> Derivatives:
        """The gradient at some values of the parameters, and how to multiply from there."""
        parameters = self._parameters
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                loss, count = self._batch_loss(parameters.variables, values, batch)
            gradients = [densified(g) for g in inner.gradient(loss, values)]

        def product(vector: tf.Tensor) -> tf.Tensor:
            return parameters.join(
                differentiate_along(outer, gradients, values, parameters.split(vector))
            )

        return Derivatives(loss, count, gradients, product)

    def _note_unreached(self, gradients: Sequence[Any]) -> None:
        pairs = zip(self._parameters.variables, gradients, strict=True)
        self.unreached = [variable for variable, g in pairs if g is None]
        if len(self.unreached) == len(gradients):
            raise NoGradientError(
                "No gradient of the loss reaches any of the parameters. Is the loss a metric, or "
                "does a layer compute outside of TensorFlow, or read a variable's private value?"
            )


def differentiate_along(
    tape: tf.GradientTape, targets: Sequence[Any], sources: Sequence[Any], along: Sequence[Any]
) -> list[Any]:
    """Σₖ (∂targetₖ/∂source)ᵀ alongₖ, one a source; None where no target depends on it.

    Args:
        tape: a persistent one that has recorded the targets.
        targets: tensors, or None for those that count nothing.
        sources: tensors that the tape knows.
        along: a tensor for each target, of its shape, or None for zero.
    """
    pairs = zip(targets, along, strict=True)
    reached = [(t, a) for t, a in pairs if t is not None and a is not None]
    if not reached:
        return [None] * len(sources)
    found = tape.gradient([t for t, _ in reached], sources, [a for _, a in reached])
    return [densified(g) for g in found]


def densified(gradient: Any) -> Any:
    """A gradient of an embedding as a plain tensor; anything else as it is."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _node(error: Exception) -> str:
    """The operation that an error of TensorFlow's is about."""
    found = re.search(r"\{\{node (?:gradient_tape/)?(\S+?)/?\}\}", str(error))
    return found[1] if found else "an unnamed operation"


def _no_routine(loss: float, vector: Array) -> None:
    raise RuntimeError("TensorFlow asked for a vector while no routine was running.")
