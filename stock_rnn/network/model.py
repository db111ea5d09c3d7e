"""The report's network: stacked recurrent cells, dropout, a linear head."""

from __future__ import annotations

import math

import keras

#: The layer whose output TensorBoard shows as a histogram.
LAST_OUTPUT = "last_lstm_output"

# Up to this many cell calls the graph is unrolled: faster, as there is no
# while loop, but its size and compile time grow with every call.
_MOST_UNROLLED_CELLS = 30

_CELLS = {
    "lstm": keras.layers.LSTMCell,
    "gru": keras.layers.GRUCell,
    "simple_rnn": keras.layers.SimpleRNNCell,
}


def build_model(
    *,
    input_size: int = 1,
    num_steps: int = 30,
    num_layers: int = 1,
    lstm_size: int = 128,
    keep_prob: float = 0.8,
    cell: str = "lstm",
    init: str = "keras",
    unroll: bool | None = None,
) -> keras.Model:
    """(batch, T, N) -> (batch, N): the report's section 4.3.3.

    Each layer is a recurrent cell followed by dropout on its output, with a
    fresh mask at every time step; the recurrent state is never dropped. The
    head is linear, its weights truncated-normal with standard deviation 1, its
    bias 0.1. Dropout is `layers.Dropout` between the layers and not the cell's
    own: that one drops inputs, with one mask for all steps.

    An LSTM layer of size S on inputs of width D has 4·S·(D + S + 1)
    parameters, the head (S + 1)·N.

    Args:
        input_size: N.
        num_steps: T.
        num_layers, lstm_size: layers, and units in each.
        keep_prob: share of outputs kept; 1 builds no dropout layer.
        cell: "lstm", "gru" or "simple_rnn".
        init: "keras", or "tf1" for TensorFlow 1's initial LSTM weights.
        unroll: whether time steps are unrolled in the graph; None decides by
            the graph's size.

    Returns:
        A plain functional Keras model, which loads without this package.
    """
    if unroll is None:
        unroll = num_steps * num_layers <= _MOST_UNROLLED_CELLS
    inputs = keras.Input((num_steps, input_size), name="windows")
    x = inputs
    for layer in range(num_layers):
        width = input_size if layer == 0 else lstm_size
        last = layer == num_layers - 1
        x = keras.layers.RNN(
            _make_cell(cell, width, lstm_size, init),
            return_sequences=not last,
            unroll=unroll,
            name=LAST_OUTPUT if last and keep_prob == 1 else f"{cell}_{layer + 1}",
        )(x)
        if keep_prob < 1:
            name = LAST_OUTPUT if last else f"dropout_{layer + 1}"
            x = keras.layers.Dropout(1 - keep_prob, name=name)(x)
    head = keras.layers.Dense(
        input_size,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=1.0),
        bias_initializer=keras.initializers.Constant(0.1),
        name="head",
    )
    return keras.Model(inputs, head(x), name="stock_rnn")


def _make_cell(cell: str, width: int, lstm_size: int, init: str) -> keras.layers.Layer:
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
