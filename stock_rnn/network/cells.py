"""Recurrent cells by name, with Keras's or TensorFlow 1's initial weights."""

from __future__ import annotations

import math
from typing import Any

import keras

from stock_rnn.network.tt_lstm import ForgetBias, TTLSTMCell

_CELLS = {
    "lstm": keras.layers.LSTMCell,
    "gru": keras.layers.GRUCell,
    "simple_rnn": keras.layers.SimpleRNNCell,
}


def make_cell(
    cell: str,
    width: int,
    lstm_size: int,
    init: str,
    *,
    activation: str = "tanh",
    kernel_initializer: str = "glorot_uniform",
    recurrent_initializer: str = "orthogonal",
    forget_bias: float = 1.0,
    tt_rank: int = 4,
) -> keras.layers.Layer:
    """A cell that reads inputs (batch, width) and has a state of `lstm_size` units.

    Args:
        cell: "lstm", "gru", "simple_rnn" or "tt-lstm"; see `TTLSTMCell`.
        width, lstm_size: as above.
        init: "keras", or "tf1" for TensorFlow 1's initial LSTM weights.
        activation: by Keras's name; that of the gates is the sigmoid.
        kernel_initializer, recurrent_initializer: by Keras's name; of the weights of inputs and
            of states. Not of "tt-lstm", and not with "tf1".
        forget_bias: of "lstm" and "tt-lstm".
        tt_rank: of "tt-lstm".

    Raises:
        ValueError: `cell` or `init` is unknown, "tf1" is asked for another cell, or the rank does
            not fit.
    """
    names = (*_CELLS, "tt-lstm")
    if cell not in names:
        raise ValueError(f"cell must be one of {', '.join(names)}. Received: {cell!r}")
    if init != "keras" and (init != "tf1" or cell != "lstm"):
        raise ValueError(
            f"init must be 'keras', or 'tf1' with cell 'lstm'. Received: {init!r} with {cell!r}"
        )
    if cell == "tt-lstm":
        return TTLSTMCell(lstm_size, tt_rank, activation, forget_bias, name="cell")
    weights: dict[str, Any] = {"kernel_initializer": kernel_initializer}
    weights |= {"recurrent_initializer": recurrent_initializer}
    if init == "tf1":
        # TF1 keeps one matrix of shape (width + size, 4 * size) for input and state,
        # drawn Glorot-uniform as a whole; Keras keeps two, drawn here from that range.
        limit = math.sqrt(6.0 / (width + lstm_size + 4 * lstm_size))
        weights = {name: keras.initializers.RandomUniform(-limit, limit) for name in weights}
    if cell == "lstm" and forget_bias != 1.0:
        weights |= {"unit_forget_bias": False, "bias_initializer": ForgetBias(forget_bias)}
    # Keras's LSTM has a forget bias that begins at 1; TF1 adds 1 to the gate when it runs: the
    # same function and gradient.
    return _CELLS[cell](lstm_size, activation=activation, **weights, name="cell")
