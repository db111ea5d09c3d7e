"""The report's network."""

import stock_rnn.curvature  # noqa: F401  Says so if Keras has another backend than TensorFlow.
from stock_rnn.network.layer_norm import LayerNormalization
from stock_rnn.network.model import EMBEDDING, JOINED, LAST_OUTPUT, build_model
from stock_rnn.network.tt_lstm import TTLSTMCell

__all__ = [
    "EMBEDDING",
    "JOINED",
    "LAST_OUTPUT",
    "LayerNormalization",
    "TTLSTMCell",
    "build_model",
]
