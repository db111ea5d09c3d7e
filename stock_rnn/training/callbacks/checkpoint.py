"""The state of a training after an epoch, saved and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from stock_rnn.files import write_arrays
from stock_rnn.training.runs.reading import reading


class Checkpoint(keras.callbacks.Callback):
    """Saves after every epoch all that a resumed training needs.

    That is: the weights, the states of the seed generators of dropout, the optimizer's
    variables, the epoch, and the weights of the best epoch. The order of batches is a
    function of seed and epoch, and the learning rate a function of the epoch: neither is
    saved.

    The best epoch has the lowest *training* loss: to choose it by the test loss would
    leak the test set.

    Put it after the callbacks that write files: an epoch that is saved here has then
    been written by all of them.

    Args:
        path: an .npz file, replaced after each epoch.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.epoch = 0
        self.best_loss = np.inf
        self.best_weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the state; take the weights as the best ones if the loss is the lowest yet."""
        self.epoch = epoch + 1
        loss = float((logs or {})["loss"])
        if loss < self.best_loss:
            self.best_loss = loss
            self.best_weights = [variable.numpy() for variable in self.model.weights]
        arrays: dict[str, Any] = {"epoch": self.epoch, "best_loss": self.best_loss}
        arrays |= {f"best/{i}": values for i, values in enumerate(self.best_weights)}
        arrays |= {f"state/{i}": v.numpy() for i, v in enumerate(self._state())}
        write_arrays(self.path, arrays)

    def restore(self, model: keras.Model) -> None:
        """Put a model into the saved state.

        Args:
            model: compiled, with its optimizer built, of the shape that was saved.

        Raises:
            UserError: the file cannot be read, is damaged or does not fit the model.
        """
        self.set_model(model)
        with (
            reading(self.path, "start the run again with --overwrite"),
            np.load(self.path, allow_pickle=False) as arrays,
        ):
            self.epoch, self.best_loss = int(arrays["epoch"]), float(arrays["best_loss"])
            self.best_weights = [arrays[f"best/{i}"] for i in range(len(model.weights))]
            for i, variable in enumerate(self._state()):
                variable.assign(arrays[f"state/{i}"])

    def _state(self) -> list[keras.Variable]:
        # `variables` has the seed generators' states; `weights` has not.
        return [*self.model.variables, *self.model.optimizer.variables]
