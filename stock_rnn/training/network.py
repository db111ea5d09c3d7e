"""The network of a configuration."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from stock_rnn.config import Config
from stock_rnn.data import StockDataSet, StocksDataSet
from stock_rnn.data.splits import IntArray
from stock_rnn.errors import UserError
from stock_rnn.network import build_model
from stock_rnn.network.tt_lstm import highest_rank


def network_of(config: Config, dataset: StockDataSet) -> keras.Model:
    """The network of a configuration, its initial weights drawn from Keras's generator.

    Args:
        config: the settings.
        dataset: whose stocks have an embedding, if the configuration asks for it.
    """
    return build_model(
        input_size=config.input_size,
        num_steps=config.num_steps,
        num_layers=config.num_layers,
        lstm_size=config.lstm_size,
        keep_prob=config.keep_prob,
        cell=config.cell,
        init=config.init,
        norm=config.norm,
        symbols=len(dataset.stocks) if isinstance(dataset, StocksDataSet) else 0,
        embed_size=config.embed_size,
        activation=config.activation,
        kernel_initializer=config.kernel_initializer,
        recurrent_initializer=config.recurrent_initializer,
        forget_bias=config.forget_bias,
        tt_rank=config.tt_rank,
    )


def refuse_rank(config: Config) -> None:
    """Refuse a rank that no tensor train of the layers' size has.

    Raises:
        UserError: it is above `highest_rank`.
    """
    highest = highest_rank(config.lstm_size)
    if config.cell == "tt-lstm" and config.tt_rank > highest:
        raise UserError(
            f"--tt-rank must be at most {highest}, at which the tensor trains of --lstm-size "
            f"{config.lstm_size} are any matrix. Received: {config.tt_rank}"
        )


def inputs_of(model: keras.Model, dataset: StockDataSet, examples: IntArray) -> Any:
    """What a network reads of examples (k,): windows (k, T, N) float32, with rows (k,) if it does.

    Args:
        model: with one input, or with an embedding.
        dataset: of one stock, or of the several that the embedding has rows of.
        examples: (k,).
    """
    windows = dataset.inputs(examples).astype(np.float32)
    if len(model.inputs) == 1:
        return windows
    assert isinstance(dataset, StocksDataSet)
    return windows, dataset.rows(examples)
