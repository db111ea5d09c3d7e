"""The report's network."""

import stock_rnn.curvature  # noqa: F401  Says so if Keras has another backend than TensorFlow.
from stock_rnn.network.model import LAST_OUTPUT, build_model

__all__ = ["LAST_OUTPUT", "build_model"]
