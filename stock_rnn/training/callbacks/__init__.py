"""Keras callbacks of a training, one a file."""

from stock_rnn.training.callbacks.checkpoint import Checkpoint
from stock_rnn.training.callbacks.early_stopping import EarlyStopping
from stock_rnn.training.callbacks.gradients import Gradients
from stock_rnn.training.callbacks.history import History
from stock_rnn.training.callbacks.keep_weights import KeepWeights
from stock_rnn.training.callbacks.learning_rate_decay import (
    LearningRateDecay,
    decayed_learning_rate,
)
from stock_rnn.training.callbacks.persistence import Persistence
from stock_rnn.training.callbacks.progress import Progress
from stock_rnn.training.callbacks.stop_on_divergence import DivergedError, StopOnDivergence
from stock_rnn.training.callbacks.stop_on_interrupt import StopOnInterrupt
from stock_rnn.training.callbacks.tensorboard import RunTensorBoard

__all__ = [
    "Checkpoint",
    "DivergedError",
    "EarlyStopping",
    "Gradients",
    "History",
    "KeepWeights",
    "LearningRateDecay",
    "Persistence",
    "Progress",
    "RunTensorBoard",
    "StopOnDivergence",
    "StopOnInterrupt",
    "decayed_learning_rate",
]
