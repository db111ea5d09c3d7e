"""Optimizers by name, and those that Keras lacks."""

import stock_rnn.curvature  # noqa: F401  Says so if Keras has another backend than TensorFlow.
from stock_rnn.optimizers.by_name import make_optimizer
from stock_rnn.optimizers.perturbed import Perturbed
from stock_rnn.optimizers.rmsprop_tf1 import RMSPropTF1
from stock_rnn.optimizers.second_order import (
    Newton,
    SaddleFreeNewton,
    SecondOrder,
    newton_step,
    saddle_free_step,
)

__all__ = [
    "Newton",
    "Perturbed",
    "RMSPropTF1",
    "SaddleFreeNewton",
    "SecondOrder",
    "make_optimizer",
    "newton_step",
    "saddle_free_step",
]
