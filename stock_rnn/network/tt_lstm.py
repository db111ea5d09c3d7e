"""The LSTM with kernels in tensor-train form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from stock_rnn.network.tensor_train import (
    CORES,
    Array,
    core_shapes,
    full_ranks,
    modes_of,
    tt_matrix,
    tt_product,
    tt_svd,
)

GATES = 4


def kernel_modes(width: int, units: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How a kernel (width, 4·units) is split into modes.

    Both sizes are split by `modes_of`. The first column mode has the four gates too: they stay
    the most significant digit of the column, as in Keras's kernel.

    >>> kernel_modes(128, 128)
    ((4, 4, 8), (16, 4, 8))
    """
    first, *others = modes_of(units)
    return modes_of(width), (GATES * first, *others)


def highest_rank(units: int) -> int:
    """The lowest rank at which every recurrent kernel (units, 4·units) has a train.

    >>> highest_rank(32), highest_rank(2048)
    (16, 256)
    """
    return max(full_ranks(*kernel_modes(units, units)))


@keras.saving.register_keras_serializable(package="stock_rnn")
class TTLSTMCell(keras.layers.Layer):
    """An LSTM cell whose two kernels are tensor trains: the report's section 4.3.4.

    The equations are those of Keras's `LSTMCell`, gates in the order i, f, c, o:

        z = x·W + h·U + b;  c <- σ(z_f)·c + σ(z_i)·φ(z_c);  h <- σ(z_o)·φ(c)

    with W (width, 4·units) and U (units, 4·units) as `tt_matrix` of three cores each. They are
    never made: see `tt_product`. It has Σ r_{k-1}·m_k·n_k parameters a kernel in place of M·N,
    and 4·units of the bias; see `core_shapes` and `kernel_modes`.

    The cores' entries are normal and independent, of the standard deviation that gives the
    entries of W the variance of Glorot's distribution, 2 / (width + 4·units), and those of U that
    of an orthogonal matrix, 1 / (4·units). The forget gate's bias begins at `forget_bias`.

    Args:
        units: of the state, h and c each.
        rank: of the bonds; a bond has its full rank where that is lower.
        activation: φ, by Keras's name.
        forget_bias: what the forget gate's bias begins at.
        options: as `keras.layers.Layer`.

    Raises:
        ValueError: the rank is not from 1 to `highest_rank(units)`.

    Sources: the report, section 4.3.4; Novikov et al. 2015 (layers); Yang, Krompass, Tresp,
    "Tensor-Train Recurrent Neural Networks for Video Classification", ICML 2017, section 3.
    """

    def __init__(
        self,
        units: int,
        rank: int,
        activation: str = "tanh",
        forget_bias: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 1 <= rank <= highest_rank(units):
            raise ValueError(
                f"rank must be from 1 to {highest_rank(units)}, the highest of a tensor train of "
                f"{units} units. Received: {rank}"
            )
        self.units, self.rank, self.forget_bias = units, rank, forget_bias
        self.activation = keras.activations.get(activation)
        self.state_size, self.output_size = [units, units], units

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the cores and the bias."""
        width, units = int(input_shape[-1] or 0), self.units
        self.cores = self._train("kernel", width, 2.0 / (width + GATES * units))
        self.recurrent_cores = self._train("recurrent_kernel", units, 1.0 / (GATES * units))
        self.bias = self.add_weight(
            shape=(GATES * units,), name="bias", initializer=ForgetBias(self.forget_bias)
        )
        self.built = True

    def _train(self, name: str, width: int, variance: float) -> list[keras.Variable]:
        """The cores of a kernel (width, 4·units) whose entries have a variance."""
        shapes = core_shapes(*kernel_modes(width, self.units), self.rank)
        # An entry is a sum over all bonds of products of one entry of each core.
        terms = math.prod(shape[0] for shape in shapes)
        stddev = (variance / terms) ** (0.5 / CORES)
        return [
            self.add_weight(
                shape=shape,
                name=f"{name}_core_{k}",
                initializer=keras.initializers.RandomNormal(stddev=stddev),
            )
            for k, shape in enumerate(shapes, 1)
        ]

    def call(
        self, inputs: Any, states: Sequence[Any], training: bool | None = None
    ) -> tuple[Any, list[Any]]:
        """One time step.

        Args:
            inputs: (batch, width).
            states: h and c, (batch, units) each.
            training: not used; Keras's layers have it.

        Returns:
            h, and the new states.
        """
        h, c = states
        z = tt_product(inputs, self.cores) + tt_product(h, self.recurrent_cores) + self.bias
        z_i, z_f, z_c, z_o = ops.split(z, GATES, axis=-1)
        c = ops.sigmoid(z_f) * c + ops.sigmoid(z_i) * self.activation(z_c)
        h = ops.sigmoid(z_o) * self.activation(c)
        return h, [h, c]

    def kernels(self) -> tuple[Array, Array]:
        """W and U as matrices, float64."""
        trains = (self.cores, self.recurrent_cores)
        w, u = (tt_matrix([core.numpy() for core in cores]) for cores in trains)
        return w, u

    @classmethod
    def from_dense(cls, cell: keras.layers.LSTMCell, rank: int | None = None) -> TTLSTMCell:
        """The cell whose trains are those of a dense cell's kernels, cut to a rank.

        Args:
            cell: built, without dropout.
            rank: of the bonds; None: `highest_rank`, at which it is the dense cell to rounding.

        Returns:
            A built cell, its cores by `tt_svd`.

        Raises:
            ValueError: the dense cell is not built or is not of the equations above, or the rank
                does not fit.
        """
        if not cell.built:
            raise ValueError("the dense cell must be built: call it once, or cell.build(shape)")
        gate = keras.activations.serialize(cell.recurrent_activation)
        if gate != "sigmoid" or cell.dropout or cell.recurrent_dropout:
            raise ValueError(
                "the dense cell must have sigmoid gates and no dropout. Received: "
                f"{gate}, dropout={cell.dropout}, recurrent_dropout={cell.recurrent_dropout}"
            )
        own = cls(
            cell.units,
            highest_rank(cell.units) if rank is None else rank,
            activation=keras.activations.serialize(cell.activation),
        )
        own.build((None, cell.kernel.shape[0]))
        for cores, dense in (
            (own.cores, cell.kernel),
            (own.recurrent_cores, cell.recurrent_kernel),
        ):
            modes = kernel_modes(dense.shape[0], cell.units)
            for core, found in zip(cores, tt_svd(dense.numpy(), *modes, own.rank), strict=True):
                core.assign(found)
        own.bias.assign(cell.bias.numpy() if cell.use_bias else np.zeros(GATES * cell.units))
        return own

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this cell."""
        own: dict[str, Any] = {"units": self.units, "rank": self.rank}
        own |= {"activation": keras.activations.serialize(self.activation)}
        return {**super().get_config(), **own, "forget_bias": self.forget_bias}


@keras.saving.register_keras_serializable(package="stock_rnn")
class ForgetBias(keras.initializers.Initializer):
    """An LSTM's bias: `value` for the forget gate, 0 for the others.

    At 1 it is Keras's `unit_forget_bias` (Jozefowicz, Zaremba, Sutskever 2015). Where nothing else
    moves the gate it is σ(value): log T keeps T/(T + 1) of the cell in a step, and e⁻¹ in T steps.
    """

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """(4·units,) in the gates' order i, f, c, o."""
        (size,) = shape
        return ops.convert_to_tensor(np.repeat([0.0, self.value, 0.0, 0.0], size // GATES), dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this initializer."""
        return {"value": self.value}
