"""Parts of a model's parameters, and the diagonal block of H that belongs to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeGuard

import keras
import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.keras_private import all_layers
from stock_rnn.curvature.operators.operator import Operator
from stock_rnn.curvature.operators.protocol import (
    Array,
    MatvecRoutine,
    Result,
    SymmetricOperator,
    adapt_routine,
    float64_operator,
    is_verified,
    loss_operator,
    product_error,
    relative_rounding,
    run_routine,
)

Indices = NDArray[np.int64]

# In this order the gates lie along the last axis of each of the cell's weights.
LSTM_GATES = ("i", "f", "c", "o")
GRU_GATES = ("z", "r", "h")


class HasBlocks(Protocol):
    """An operator that knows which variables its vectors are made of."""

    model: keras.Model
    variables: list[keras.Variable]
    blocks: Mapping[str, slice]


def has_blocks(operator: object) -> TypeGuard[HasBlocks]:
    """Whether an operator knows which variables its vectors are made of."""
    return all(hasattr(operator, name) for name in ("model", "variables", "blocks"))


class RestrictedOperator(Operator):
    """The diagonal block A[S, S] = Eᵀ A E, where E puts a short vector at the indices S.

    It is a `LossOperator` if A is one: the loss as a function of the parameters at S,
    all others held.

    Args:
        operator: A, symmetric (n, n).
        indices: S: distinct integers from 0 to n - 1, or a mask (n,) of booleans.

    Raises:
        ValueError: Indices that are none of these.
    """

    def __init__(self, operator: SymmetricOperator, indices: Any) -> None:
        self.operator = operator
        self.indices = _as_indices(indices, operator.shape[0])
        self.shape = (len(self.indices), len(self.indices))

    @property
    def relative_rounding(self) -> float:
        """That of A; relative to ‖A‖ and not to the block's own norm."""
        return relative_rounding(self.operator)

    @property
    def verified(self) -> bool:
        """Whether A is."""
        return is_verified(self.operator)

    def product_error(self, norm: float) -> float:
        """That of A, of whose products these are parts; `norm` is about the block's own."""
        return product_error(self.operator, norm)

    def __matmul__(self, vectors: Array, /) -> Array:
        """A[S, S] v for v of shape (|S|,) or (|S|, k)."""
        return np.asarray((self.operator @ self.embed(vectors))[self.indices])

    def run_routine(self, routine: MatvecRoutine[Result]) -> Result:
        """Answer a routine on the block by one on the whole matrix."""

        def answer(vectors: Array) -> MatvecRoutine[Array]:
            return (yield self.embed(vectors))[self.indices]

        return run_routine(self.operator, adapt_routine(routine, answer))

    def in_float64(self) -> RestrictedOperator:
        """The same block of A computed in float64; see `float64_operator` for the errors."""
        return RestrictedOperator(float64_operator(self.operator), self.indices)

    def embed(self, vectors: Array) -> Array:
        """E v: zeros but for the indices S."""
        whole = np.zeros((self.operator.shape[0], *np.shape(vectors)[1:]))
        whole[self.indices] = vectors
        return whole

    def loss(self) -> float:
        """L(θ)."""
        return loss_operator(self.operator).loss()

    def gradient(self) -> Array:
        """The gradient's entries at S: float64 (|S|,)."""
        return np.asarray(loss_operator(self.operator).gradient()[self.indices])

    def loss_at(self, displacement: Array) -> float:
        """L(θ + E displacement), for a displacement of shape (|S|,)."""
        return loss_operator(self.operator).loss_at(self.embed(displacement))


def blocks_of(variables: Sequence[keras.Variable]) -> dict[str, slice]:
    """Where each variable lies in θ, by its path; a repeated path gets a number."""
    blocks: dict[str, slice] = {}
    start = 0
    for variable in variables:
        name, k = variable.path, 1
        while name in blocks:
            k += 1
            name = f"{variable.path}#{k}"
        blocks[name] = slice(start, start + int(np.prod(variable.shape)))
        start = blocks[name].stop
    return blocks


def select_variables(model: keras.Model, select: Any) -> list[keras.Variable]:
    """The variables that are meant, in the model's order.

    Args:
        model: The model.
        select: A layer or a glob on `variable.path` ("lstm/*", "kernel"), which mean
            trainable variables; a variable; a sequence of these; None for all
            trainable ones. A glob is held against the whole path and against what
            follows any of its slashes.

    Raises:
        ValueError: Something that means no variable of the model.
    """
    items = select if isinstance(select, Sequence) and not isinstance(select, str) else [select]
    chosen: set[int] = set()
    for item in items:
        meant = {id(v) for v in model.variables if _is_meant(v, item)}
        if not meant:
            paths = ", ".join(v.path for v in model.trainable_variables) or "none"
            raise ValueError(
                f"No such variable. The model's trainable ones are {paths}. Received: {item!r}"
            )
        chosen |= meant
    return [v for v in model.variables if id(v) in chosen]


def select_indices(operator: HasBlocks, select: Any) -> Indices:
    """Where the selected variables lie in the operator's vectors.

    Args:
        operator: A `HessianOperator`.
        select: As for `select_variables`; or indices, or a mask, taken as they are.

    Raises:
        ValueError: Nothing, or what the operator's vectors do not hold.
    """
    if isinstance(select, np.ndarray | slice):
        n = sum(b.stop - b.start for b in operator.blocks.values())
        return _as_indices(select, n)
    meant = {id(v) for v in select_variables(operator.model, select)}
    parts = [
        np.arange(block.start, block.stop)
        for variable, block in zip(operator.variables, operator.blocks.values(), strict=True)
        if id(variable) in meant
    ]
    if not parts:
        raise ValueError(f"The operator does not differentiate by these. Received: {select!r}")
    return np.concatenate(parts)


def layer_blocks(operator: HasBlocks) -> dict[str, Indices]:
    """The indices of each layer's (or recurrent cell's) variables, by the layer's path."""
    parts: dict[str, list[Indices]] = {}
    for name, block in operator.blocks.items():
        layer = name.rpartition("/")[0] or name
        parts.setdefault(layer, []).append(np.arange(block.start, block.stop))
    return {layer: np.concatenate(indices) for layer, indices in parts.items()}


def gate_blocks(operator: HasBlocks) -> dict[str, Indices]:
    """The indices of each gate of each LSTM and GRU cell, by "path of the cell/gate".

    Gates are i, f, c, o of an LSTM and z, r, h of a GRU: equal parts, in this order,
    of the last axis of kernel, recurrent kernel and bias.
    """
    place = {id(v): b for v, b in zip(operator.variables, operator.blocks.values(), strict=True)}
    found: dict[str, Indices] = {}
    for cell in all_layers(operator.model):
        gates = _gates(cell)
        for weight in cell.trainable_variables if gates else ():
            block = place.get(id(weight), slice(0, 0))
            indices = np.arange(block.start, block.stop)
            if not len(indices):
                continue
            parts = np.split(indices.reshape(weight.shape), len(gates), axis=-1)
            path = weight.path.rpartition("/")[0]
            for gate, part in zip(gates, parts, strict=True):
                so_far = found.get(f"{path}/{gate}", np.empty(0, np.int64))
                found[f"{path}/{gate}"] = np.append(so_far, part)
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


def filter_blocks(operator: HasBlocks) -> list[Indices]:
    """The indices of each filter: the weights of one matrix that lead into one unit.

    A filter is a column of a kernel or a recurrent kernel: in a recurrent cell, what leads into
    one gate of one unit, from below or from the step before. Both are filters of their own. Of
    arrays with more axes it is what has one index of the last axis. Biases, and all else that is
    one-dimensional, are in no filter.

    Source: Li et al. 2018 (see `stock_rnn.curvature.analysis.planes.filter_normalized`), for
    convolutions and dense layers; for recurrent kernels the choice is made here.
    """
    found: list[Indices] = []
    for variable, block in zip(operator.variables, operator.blocks.values(), strict=True):
        if len(variable.shape) > 1 and not variable.path.endswith("bias"):
            columns = np.arange(block.start, block.stop).reshape(-1, variable.shape[-1])
            found += list(columns.T)
    return found


def flat_weights(variables: Sequence[keras.Variable]) -> NDArray[np.float64]:
    """The values of variables as one vector (n,), in the order of an operator's `blocks`."""
    return np.concatenate([np.ravel(v.numpy()).astype(np.float64) for v in variables])


def _gates(layer: keras.layers.Layer) -> tuple[str, ...]:
    if isinstance(layer, keras.layers.LSTMCell):
        return LSTM_GATES
    return GRU_GATES if isinstance(layer, keras.layers.GRUCell) else ()


def _is_meant(variable: keras.Variable, select: Any) -> bool:
    if isinstance(select, keras.Variable):
        return variable is select
    if not variable.trainable:
        return False
    if select is None:
        return True
    if isinstance(select, keras.layers.Layer):
        return any(variable is v for v in select.trainable_variables)
    return isinstance(select, str) and any(
        fnmatchcase(variable.path, glob) for glob in (select, f"*/{select}")
    )


def _as_indices(select: Any, n: int) -> Indices:
    indices = np.arange(n)[select if isinstance(select, slice) else np.asarray(select)]
    if indices.ndim != 1 or not len(indices) or len(np.unique(indices)) != len(indices):
        raise ValueError(
            "Indices must be distinct, at least one, in one dimension. "
            f"Received: {np.shape(select)}"
        )
    return indices
