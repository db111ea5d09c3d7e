"""Keras callbacks of a training, one a file."""

from stock_rnn.training.callbacks.checkpoint import Checkpoint
from stock_rnn.training.callbacks.learning_rate_decay import (
    LearningRateDecay,
    decayed_learning_rate,
)
from stock_rnn.training.callbacks.progress import Progress
from stock_rnn.training.callbacks.stop_on_divergence import StopOnDivergence
from stock_rnn.training.callbacks.stop_on_interrupt import StopOnInterrupt
from stock_rnn.training.callbacks.tensorboard import RunTensorBoard

__all__ = [
    "Checkpoint",
    "LearningRateDecay",
    "Progress",
    "RunTensorBoard",
    "StopOnDivergence",
    "StopOnInterrupt",
    "decayed_learning_rate",
]
