"""The weights after each epoch, for pictures of the path that a training took."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from stock_rnn.curvature.operators.blocks import flat_weights
from stock_rnn.training.runs.kept_weights import kept_epochs, kept_every, write_weights


class KeepWeights(keras.callbacks.Callback):
    """Writes the trainable weights after epochs, in at most `MOST_EPOCHS` and `MOST_BYTES`.

    Each epoch has a file of its own, so an epoch that is trained again after a kill writes the
    same bits in the same place. Put it before the checkpoint.

    Args:
        folder: `Run.weights`.
        first_epoch: epochs already done.
        max_epoch: epochs of the whole training.
    """

    def __init__(self, folder: Path, first_epoch: int, max_epoch: int) -> None:
        super().__init__()
        self._folder, self._first_epoch, self._max_epoch = folder, first_epoch, max_epoch

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keep the initial weights; of a longer training than before, remove what is too much."""
        self._every = kept_every(self._max_epoch, self.model.count_params())
        if self._first_epoch == 0:
            self._write(0)
        for epoch, path in kept_epochs(self._folder).items():
            if epoch % self._every:
                path.unlink()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the weights if the epoch is due."""
        if (epoch + 1) % self._every == 0 or epoch + 1 == self._max_epoch:
            self._write(epoch + 1)

    def _write(self, epoch: int) -> None:
        weights = flat_weights(self.model.trainable_variables).astype(np.float32)
        write_weights(self._folder, epoch, weights)
