"""Recurrent cells by name, with Keras's or TensorFlow 1's initial weights."""

from __future__ import annotations

import math

import keras

_CELLS = {
    "lstm": keras.layers.LSTMCell,
    "gru": keras.layers.GRUCell,
    "simple_rnn": keras.layers.SimpleRNNCell,
}


def make_cell(cell: str, width: int, lstm_size: int, init: str) -> keras.layers.Layer:
    """A cell that reads inputs (batch, width) and has a state of `lstm_size` units.

    Raises:
        ValueError: `cell` or `init` is unknown, or "tf1" is asked for another cell.
    """
    if cell not in _CELLS:
        raise ValueError(f"cell must be one of {', '.join(_CELLS)}. Received: {cell!r}")
    if init == "keras":
        return _CELLS[cell](lstm_size, name="cell")
    if init != "tf1" or cell != "lstm":
        raise ValueError(
            f"init must be 'keras', or 'tf1' with cell 'lstm'. Received: {init!r} with {cell!r}"
        )
    # TF1 keeps one matrix of shape (width + size, 4 * size) for input and state,
    # drawn Glorot-uniform as a whole; Keras keeps two, drawn here from that range.
    limit = math.sqrt(6.0 / (width + lstm_size + 4 * lstm_size))
    return keras.layers.LSTMCell(
        lstm_size,
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        recurrent_initializer=keras.initializers.RandomUniform(-limit, limit),
        # TF1 adds 1 to the forget gate when it runs: the same function and gradient.
        unit_forget_bias=True,
        name="cell",
    )
