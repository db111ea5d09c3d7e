"""All state of a training after an epoch, in one file, and back again."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stock_rnn.errors import UserError
from stock_rnn.files import replacing


class Checkpoint(keras.callbacks.Callback):
    """Saves after every epoch what an uninterrupted training would go on with.

    That is: weights, the random streams of dropout, the optimizer's state, the
    epoch, and the best epoch's weights. The order of batches is a function of
    seed and epoch, and the learning rate one of the epoch: neither is state.

    The best epoch is the one with the lowest *training* loss. Choosing by the
    test loss would be peeking at the test set.

    Put it after the callbacks that write: what they do has then been done for
    every epoch that the checkpoint covers.

    Args:
        path: an .npz file, replaced whole after each epoch.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.epoch = 0
        self.best_loss = np.inf
        self.best_weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save."""
        self.epoch = epoch + 1
        loss = float((logs or {})["loss"])
        if loss < self.best_loss:
            self.best_loss = loss
            self.best_weights = [variable.numpy() for variable in self.model.weights]
        arrays: dict[str, Any] = {"epoch": self.epoch, "best_loss": self.best_loss}
        arrays |= {f"best/{i}": values for i, values in enumerate(self.best_weights)}
        arrays |= {f"state/{i}": v.numpy() for i, v in enumerate(self._state())}
        with replacing(self.path) as temporary:
            np.savez(temporary, **arrays)

    def restore(self, model: keras.Model) -> None:
        """Put a compiled model with a built optimizer into the saved state.

        Raises:
            UserError: the file is damaged or does not fit the model.
        """
        self.set_model(model)
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                self.epoch, self.best_loss = int(arrays["epoch"]), float(arrays["best_loss"])
                self.best_weights = [arrays[f"best/{i}"] for i in range(len(model.weights))]
                for i, variable in enumerate(self._state()):
                    variable.assign(arrays[f"state/{i}"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{self.path} is damaged ({error}); start the run again with --overwrite"
            ) from error

    def _state(self) -> list[keras.Variable]:
        # `variables` holds the seed generators' states, which `weights` leaves out.
        return [*self.model.variables, *self.model.optimizer.variables]
