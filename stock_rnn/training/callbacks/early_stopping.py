"""Ending a training whose validation loss no longer falls."""

from __future__ import annotations

import keras

from stock_rnn.training.callbacks.checkpoint import Checkpoint


class EarlyStopping(keras.callbacks.Callback):
    """Stops after so many epochs without a new best one.

    Keras's own forgets its count when a training is resumed; this one reads it from the
    checkpoint. Put it after the checkpoint.

    Args:
        checkpoint: tells which epoch was the best so far.
        patience: epochs, at least 1.
    """

    def __init__(self, checkpoint: Checkpoint, patience: int) -> None:
        super().__init__()
        self._checkpoint, self._patience = checkpoint, patience

    @property
    def due(self) -> bool:
        """Whether so many epochs have passed."""
        return self._checkpoint.epoch - self._checkpoint.best_epoch >= self._patience

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Stop a resumed training that had stopped already."""
        self.on_epoch_end(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop if it is due."""
        if self.due:
            self.model.stop_training = True
