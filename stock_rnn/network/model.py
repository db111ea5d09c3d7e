"""The report's network: stacked recurrent cells, dropout, a linear head."""

from __future__ import annotations

from typing import Any

import keras

from stock_rnn.network.cells import make_cell
from stock_rnn.network.layer_norm import LayerNormalization

#: The layer whose weights are the embedding of stocks, and the one that joins it to the windows.
EMBEDDING, JOINED = "symbol_embedding", "windows_and_symbol"

#: The layer whose output TensorBoard shows as a histogram.
LAST_OUTPUT = "last_lstm_output"

# The most time steps x layers that are unrolled. An unrolled graph has no while loop
# and is faster, but its size and its compile time grow with every cell.
_MAX_UNROLLED_CELLS = 30


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
    norm: str = "none",
    symbols: int = 0,
    embed_size: int = 0,
    **cell_options: Any,
) -> keras.Model:
    """(batch, T, N) -> (batch, N): the network of the report's section 4.3.3.

    Each layer is a recurrent cell followed by dropout on its output, with a fresh mask
    at every time step; the recurrent state is never dropped. So dropout is a layer of
    its own: a Keras cell's `dropout` drops inputs, with one mask for all steps. The head
    is linear; its weights are truncated-normal with standard deviation 1, its bias 0.1.

    With `norm` the outputs are normalized before dropout, and so each layer's inputs but the
    first's, which may have a width of one. "layer": over the units, see `LayerNormalization`.
    "batch": over the examples and the time steps, by Keras's layer (Ioffe and Szegedy 2015); where
    the network is not trained it has the moving means, and is linear.

    An LSTM layer of size S on inputs of width D has 4·S·(D + S + 1)
    parameters, the head (S + 1)·N.

    Args:
        input_size: N.
        num_steps: T.
        num_layers, lstm_size: layers, and units in each.
        keep_prob: share of outputs kept; 1 builds no dropout layer.
        cell: "lstm", "gru", "simple_rnn" or "tt-lstm".
        init: "keras", or "tf1" for TensorFlow 1's initial LSTM weights.
        unroll: whether time steps are unrolled in the graph; None decides by the size
            of the graph.
        norm: "none", "layer" or "batch".
        symbols, embed_size: n and E. If both are above 0, there is a second input, (batch,)
            int32: a row of a trained embedding (n + 1, E), initially U(-1, 1). The row is repeated
            over the T steps and joined to the windows, so that the first layer reads N + E numbers
            a step. Row 0 is for stocks that are not among the n.
        cell_options: those of `make_cell` that have a default there.

    Returns:
        A functional Keras model, float32, of Keras's own layers: it loads without this
        package. With "tt-lstm", "layer" or another forget bias than 1 it needs
        `stock_rnn.network` to be imported.

    Raises:
        ValueError: `cell`, `init` or `norm` is unknown, or as `make_cell`.
    """
    if unroll is None:
        unroll = num_steps * num_layers <= _MAX_UNROLLED_CELLS
    inputs = keras.Input((num_steps, input_size), name="windows")
    x, read, first_width = inputs, inputs, input_size
    if symbols and embed_size:
        x, read = _joined(inputs, symbols, embed_size)
        first_width += embed_size
    for layer in range(num_layers):
        width = first_width if layer == 0 else lstm_size
        last = layer == num_layers - 1
        x = keras.layers.RNN(
            make_cell(cell, width, lstm_size, init, **cell_options),
            return_sequences=not last,
            unroll=unroll,
            name=LAST_OUTPUT if last and keep_prob == 1 else f"{cell}_{layer + 1}",
        )(x)
        if norm != "none":
            x = _norm(norm, f"norm_{layer + 1}")(x)
        if keep_prob < 1:
            name = LAST_OUTPUT if last else f"dropout_{layer + 1}"
            x = keras.layers.Dropout(1 - keep_prob, name=name)(x)
    head = keras.layers.Dense(
        input_size,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=1.0),
        bias_initializer=keras.initializers.Constant(0.1),
        name="head",
    )
    return keras.Model(read, head(x), name="stock_rnn")


def _norm(norm: str, name: str) -> keras.layers.Layer:
    """A normalization by its name.

    Raises:
        ValueError: it is unknown.
    """
    norms = {"layer": LayerNormalization, "batch": keras.layers.BatchNormalization}
    if norm not in norms:
        raise ValueError(f"norm must be one of none, {', '.join(norms)}. Received: {norm!r}")
    return norms[norm](name=name)


def _joined(windows: keras.KerasTensor, symbols: int, embed_size: int) -> tuple[Any, Any]:
    """The windows with the embedding of their stock at each step; and both inputs."""
    symbol = keras.Input((), dtype="int32", name="symbol")
    embedding = keras.layers.Embedding(
        symbols + 1,
        embed_size,
        embeddings_initializer=keras.initializers.RandomUniform(-1.0, 1.0),
        name=EMBEDDING,
    )
    tiled = keras.layers.RepeatVector(windows.shape[1], name="symbol_tiled")(embedding(symbol))
    joined = keras.layers.Concatenate(name=JOINED)([windows, tiled])
    return joined, [windows, symbol]
