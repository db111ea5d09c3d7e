"""A model's loss computed in another floating type than the model's own, same weights and data.

Keras's layers compute in the type of their policy. Within `computed_in` that is another one,
and the variables' values are handed in that type, so no copy of the model is built: layers of
one's own, lambda layers, shared and nested ones take part as they are. Data are rounded as the
model reads them, to the type of its variables. So in float64 it is the same function,
with less rounding; of a model in mixed precision it is the function without the rounding to
16 bits.

A layer may still compute in a narrower type, by a cast that is written out. Nothing that is
then called float64 would be. So the whole traced graph is searched, loops and branches
included: an operation that gives narrower numbers, and does more than hand them on, is an
error that names it.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from stock_rnn.curvature.keras_private import all_layers
from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.errors import NoGradientError, PrecisionError
from stock_rnn.curvature.operators.graph_scan import graph_operations, layers_of
from stock_rnn.curvature.operators.session import ASK, ProductSession

# Operations that hand on numbers as they are, or choose among them: no rounding in any type.
_HAND_ON = frozenset(
    [
        *("Placeholder", "PlaceholderWithDefault", "Const", "ReadVariableOp", "ResourceGather"),
        *("Identity", "IdentityN", "StopGradient", "PreventGradient", "EnsureShape", "Reshape"),
        *("ExpandDims", "Squeeze", "Transpose", "Slice", "StridedSlice", "StridedSliceGrad"),
        *("Gather", "GatherV2", "GatherNd", "ConcatV2", "Pack", "Unpack", "Split", "SplitV"),
        *("Tile", "BroadcastTo", "Fill", "ZerosLike", "OnesLike", "Pad", "PadV2", "ReverseV2"),
        *("OneHot", "Select", "SelectV2", "TensorListStack", "TensorListGetItem"),
        "TensorListConcatV2",
        # Their bodies are searched by themselves.
        *("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"),
        *("PartitionedCall", "StatefulPartitionedCall"),
    ]
)

# What they compute is not to be seen.
_OPAQUE = frozenset({"PyFunc", "EagerPyFunc", "PyFuncStateless"})


@contextlib.contextmanager
def computed_in(model: keras.Model, dtype: tf.DType) -> Iterator[None]:
    """The model's layers compute in this type in the block; its variables stay as they are.

    Layers of integers and text (`Hashing`) are left alone. For one thread: another one that
    calls the model meanwhile would compute in this type too.
    """
    layers = [layer for layer in all_layers(model) if _is_floating(layer)]
    policies = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = keras.DTypePolicy(dtype.name)
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


def needed_type(model: keras.Model) -> tf.DType | None:
    """The type to compute a model in mixed precision in: its widest variable's; else None.

    Raises:
        ValueError: floating variables of another type than float32 or float64.
    """
    for variable in model.variables:
        if tf.as_dtype(variable.dtype).is_floating and not _is_wide(variable.dtype):
            raise ValueError(
                "Second derivatives need variables of float32 or float64: load the weights into "
                f"a model of one of them. Received: {variable.path!r} of {variable.dtype}"
            )
    floating = filter(_is_floating, all_layers(model))
    if all(_is_wide(layer.dtype_policy.compute_dtype) for layer in floating):
        return None
    return _widest(model)


def _is_floating(layer: keras.layers.Layer) -> bool:
    """Whether a layer computes in a floating type; None: in that of its inputs."""
    dtype = layer.dtype_policy.compute_dtype
    return dtype is None or bool(tf.as_dtype(dtype).is_floating)


def _is_wide(dtype: str) -> bool:
    return dtype in ("float32", "float64")


def _widest(model: keras.Model) -> tf.DType:
    """The type of the widest variable."""
    kinds = [tf.as_dtype(v.dtype) for v in model.variables]
    return max((d for d in kinds if d.is_floating), key=lambda d: d.size, default=tf.float32)


def loss_in_type(batch_loss: BatchLoss, dtype: tf.DType) -> BatchLoss:
    """A copy of a loss of any class that is computed in one floating type throughout.

    Args:
        batch_loss: the loss.
        dtype: tf.float32 or tf.float64.
    """
    made = copy.copy(batch_loss)
    if not isinstance(made, _LossInType):
        own = type(batch_loss)
        made.__class__ = type(f"{own.__name__}InType", (_LossInType, own), {})
    assert isinstance(made, _LossInType)
    made.dtype = dtype
    return made


class _LossInType(BatchLoss):
    """What `loss_in_type` puts before a loss's own class."""

    dtype: tf.DType

    def _run(
        self, variables: Sequence[keras.Variable], values: Sequence[Any], batch: Any, held: Any
    ) -> Any:
        dtype = held or self.dtype
        with computed_in(self.model, dtype):
            return super()._run(variables, values, self._as_read(batch), dtype)

    def _data_loss(self, predicted: Any, batch: Any) -> Any:
        return super()._data_loss(predicted, self._as_read(batch))

    def _as_read(self, batch: Any) -> Any:
        """The micro-batch, its floats rounded to the type in which the model reads them."""
        read = _widest(self.model)

        def rounded(tensor: Any) -> Any:
            wider = tensor.dtype.is_floating and tensor.dtype.size > read.size
            return tf.cast(tensor, read) if wider else tensor

        return keras.tree.map_structure(rounded, batch)


@contextlib.contextmanager
def said_of_failures() -> Iterator[None]:
    """What fails in this block, fails as the loss is computed in float64.

    Raises:
        PrecisionError: in place of TensorFlow's and Keras's own errors.
    """
    try:
        yield
    except (PrecisionError, NoGradientError):
        raise
    except (tf.errors.OpError, LookupError, TypeError, ValueError) as error:
        words = str(error).strip().splitlines() or [""]
        raise PrecisionError(
            "The loss cannot be computed in float64: a layer, the loss or TensorFlow is not made "
            f"for it. {type(error).__name__}: {words[0]}"
        ) from error


def check_precision(session: ProductSession, model: keras.Model, dtype: tf.DType) -> None:
    """Make sure that everything in a session's graph is computed in a type, or a wider one.

    Raises:
        PrecisionError: it is not; with the layers and operations where.
    """
    found = _narrow_operations(session.graph, dtype)
    if not found:
        return
    names = ", ".join(f"{layer.name!r}" for layer in layers_of(model, found))
    kinds = ", ".join(sorted({operation.type for operation in found}))
    raise PrecisionError(
        f"The model cannot be computed in {dtype.name} throughout: "
        f"{f'layer {names}' if names else 'the loss, or an unnamed layer,'} has operations of "
        f"another type, or that cannot be looked into ({kinds}). Let it compute in the type of "
        "its inputs."
    )


def _narrow_operations(graph: Any, dtype: tf.DType) -> list[Any]:
    return [
        operation
        for operation in graph_operations(graph)
        if (operation.type in _OPAQUE and ASK not in operation.name)
        or (
            any(_is_narrower(t.dtype, dtype) for t in operation.outputs)
            and operation.type not in _HAND_ON
            and not _reads(operation, graph)
        )
    ]


def _is_narrower(given: tf.DType, wanted: tf.DType) -> bool:
    if given.is_complex:
        return bool(given.size < 2 * wanted.size)
    return bool(given.is_floating and given.size < wanted.size)


def _reads(operation: Any, graph: Any) -> bool:
    """Whether it is a cast that loses nothing, or that reads the data, before any arithmetic."""
    if operation.type != "Cast":
        return False
    source = operation.inputs[0]
    if not source.dtype.is_floating or source.dtype.size <= operation.outputs[0].dtype.size:
        return True
    while source.op.type in ("Cast", "Identity"):
        source = source.op.inputs[0]
    return bool(source.op.type == "Placeholder" and source.graph is graph)
