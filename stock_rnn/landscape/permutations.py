"""The units of a network's hidden layers in another order: the same function, other weights.

Let P be a permutation of the units of one layer. With its columns of kernel, recurrent kernel and
bias permuted in each gate, W → W P, U → Pᵀ U P, b → b P, its state and its output are h → h P. The
next layer's kernel, or the head's, whose rows are permuted too, W' → Pᵀ W', reads the same as
before. So the loss is the same, and each network stands at ∏ (units of a layer)! places.

Source: the report, section 4.3.4, and the lecture, "Optimization for Training Deep Models"
(permutation symmetry); Hecht-Nielsen, "On the Algebraic Structure of Feedforward Network Weight
Spaces", 1990.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stock_rnn.curvature.operators.blocks import GRU_GATES, LSTM_GATES
from stock_rnn.errors import UserError

Array = NDArray[np.float64]

#: For each hidden layer (units,): the unit that comes first, second, ...
Orders: TypeAlias = Sequence[NDArray[np.integer]]

# Cell -> its gates.
_GATES: dict[type[keras.layers.Layer], int] = {
    keras.layers.LSTMCell: len(LSTM_GATES),
    keras.layers.GRUCell: len(GRU_GATES),
    keras.layers.SimpleRNNCell: 1,
}


@dataclass(frozen=True)
class _Part:
    """A variable's place in the weights, in a shape that has units on axes of their own."""

    place: slice
    shape: tuple[int, ...]
    layers: dict[int, int]  # axis -> the hidden layer whose units lie along it


class Units:
    """Where the units of each hidden layer lie in a network's weights.

    Args:
        model: a chain of `keras.layers.RNN` of one LSTM, GRU or SimpleRNN cell each, layers
            without weights, and a dense head, as `build_model` makes it.

    Attributes:
        sizes: the units of each hidden layer.

    Raises:
        UserError: the model has weights in another layer or cell.
    """

    def __init__(self, model: keras.Model) -> None:
        self.sizes: list[int] = []
        self._parts: list[_Part] = []
        variables: list[keras.Variable] = []
        start = 0
        for layer in model.layers:
            for variable, shape, layers in self._of_layer(layer):
                place = slice(start, start + int(np.prod(variable.shape)))
                self._parts.append(_Part(place, shape, layers))
                variables.append(variable)
                start = place.stop
        if list(map(id, variables)) != list(map(id, model.trainable_variables)):
            raise UserError(
                "the units of this network cannot be permuted: its weights lie in another order"
            )

    def _of_layer(
        self, layer: keras.layers.Layer
    ) -> Iterator[tuple[keras.Variable, tuple[int, ...], dict[int, int]]]:
        """The variables of a layer, their shapes by gates and units, and whose units these are."""
        below = {0: len(self.sizes) - 1} if self.sizes else {}
        if isinstance(layer, keras.layers.RNN) and type(layer.cell) in _GATES:
            cell, own = layer.cell, len(self.sizes)
            gates, size = _GATES[type(cell)], int(cell.units)
            self.sizes.append(size)
            yield cell.kernel, (-1, gates, size), {**below, 2: own}
            yield cell.recurrent_kernel, (size, gates, size), {0: own, 2: own}
            # A GRU of Keras has two biases.
            yield cell.bias, (-1, gates, size), {2: own}
        elif isinstance(layer, keras.layers.Dense):
            yield layer.kernel, tuple(layer.kernel.shape), below
            yield layer.bias, tuple(layer.bias.shape), {}
        elif layer.trainable_variables:
            cell = getattr(layer, "cell", layer)
            raise UserError(
                f"the units of this network cannot be permuted: how is known for "
                f"{', '.join(kind.__name__ for kind in _GATES)} and dense layers, and "
                f"{layer.name} is a {type(cell).__name__}"
            )

    def permuted(self, weights: Array, orders: Orders) -> Array:
        """The weights with each layer's units in another order: the same function.

        Args:
            weights: (n,), as `flat_weights` of the trainable variables.
            orders: a permutation for each hidden layer.
        """
        result = np.array(weights, np.float64)
        for part in self._parts:
            result[part.place] = _ordered(part, weights[part.place], orders).ravel()
        return result

    def random_orders(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """A random permutation of each layer's units."""
        return [rng.permutation(size) for size in self.sizes]

    def exchange(self, layer: int, one: int, other: int) -> list[NDArray[np.int64]]:
        """The permutation that exchanges two units of one layer."""
        orders = [np.arange(size) for size in self.sizes]
        orders[layer][[one, other]] = orders[layer][[other, one]]
        return orders

    def aligned(self, weights: Array, others: Array) -> list[NDArray[np.int64]]:
        """The orders in which the units of other weights lie close to those of the weights.

        Weight matching: minimizes ‖θ - π(θ')‖² over the permutations π, a layer at a time. With
        the orders of all other layers held, the best one of a layer maximizes Σᵢ S[i, order[i]],
        a linear assignment problem: S[i, j] is the product of all weights of unit i in θ and of
        unit j in θ'. A recurrent kernel has the layer's units on both sides; one side is held,
        and an order is taken only if it comes closer. This starts from two orders, and the closer
        end is taken: from the units as they are, and from a first round, upwards, that reads what
        does not depend on orders yet unknown.

        It ends in an order that no such step betters, which need not be the closest of all; it
        is never farther than the units as they are.

        Source: Ainsworth, Hayase, Srinivasa, "Git Re-Basin: Merging Models modulo Permutation
        Symmetries", ICLR 2023, "weight matching"; the rule for recurrent kernels and the starts
        are added here. `scipy.optimize.linear_sum_assignment` solves each problem.

        Args:
            weights, others: (n,), of two networks of one shape.

        Returns:
            The orders to be given to `permuted` with `others`.
        """
        as_they_are: list[NDArray[np.int64]] = [np.arange(size) for size in self.sizes]
        upwards = list(as_they_are)
        for layer in range(len(upwards)):
            known = set(range(layer))
            upwards[layer] = self._best_order(layer, weights, others, upwards, known)
        starts = (self._descended(weights, others, orders) for orders in (upwards, as_they_are))
        return min(starts, key=lambda orders: self._distance(weights, others, orders))

    def _descended(
        self, weights: Array, others: Array, orders: list[NDArray[np.int64]]
    ) -> list[NDArray[np.int64]]:
        """Orders that come closer a layer at a time, until none does."""
        distance = self._distance(weights, others, orders)
        improved = True
        while improved:
            improved = False
            for layer in range(len(orders)):
                found = list(orders)
                found[layer] = self._best_order(layer, weights, others, orders)
                # By more than rounding, so that it ends.
                if (now := self._distance(weights, others, found)) < distance * (1 - 1e-12):
                    orders, distance, improved = found, now, True
        return orders

    def _distance(self, weights: Array, others: Array, orders: Orders) -> float:
        return float(np.sum((weights - self.permuted(others, orders)) ** 2))

    def _best_order(
        self,
        layer: int,
        weights: Array,
        others: Array,
        orders: Orders,
        known: set[int] | None = None,
    ) -> NDArray[np.int64]:
        """The best order of one layer with the others held.

        Args:
            layer: whose order is looked for.
            weights, others, orders: as in `aligned`.
            known: the layers whose orders count; weights that depend on others are left out.
        """
        size = self.sizes[layer]
        likeness = np.zeros((size, size))
        for part in self._parts:
            for axis in (a for a, of in part.layers.items() if of == layer):
                held = {a: of for a, of in part.layers.items() if a != axis}
                if known is not None and not set(held.values()) <= known:
                    continue
                ours = weights[part.place].reshape(part.shape)
                theirs = _ordered(_Part(part.place, part.shape, held), others[part.place], orders)
                by_unit = (np.moveaxis(of, axis, 0).reshape(size, -1) for of in (ours, theirs))
                likeness += np.matmul(next(by_unit), next(by_unit).T)
        return np.asarray(linear_sum_assignment(likeness, maximize=True)[1], np.int64)


def _ordered(part: _Part, values: Array, orders: Orders) -> Array:
    """A variable's values in its shape by units, these in the given orders."""
    array = values.reshape(part.shape)
    for axis, layer in part.layers.items():
        array = np.take(array, orders[layer], axis)
    return array
