"""Optimizers by name, and those that Keras lacks."""

import stock_rnn.curvature  # noqa: F401  Says so if Keras has another backend than TensorFlow.
from stock_rnn.optimizers.by_name import make_optimizer
from stock_rnn.optimizers.perturbed import Perturbed
from stock_rnn.optimizers.rmsprop_tf1 import RMSPropTF1

__all__ = ["Perturbed", "RMSPropTF1", "make_optimizer"]
