"""The state of a training after an epoch, saved and restored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stock_rnn.files import write_arrays
from stock_rnn.training.runs.reading import reading

# A kill costs at most the epochs of so many seconds.
_SECONDS = 1.0


class Checkpoint(keras.callbacks.Callback):
    """Saves all that a resumed training needs, at most once a second.

    That is: the weights, the optimizer's variables, the epoch, and the weights of the best
    epoch. The order of batches and the dropout masks are functions of seed and epoch, and
    the learning rate one of the epoch: none is saved.

    The best epoch has the lowest validation loss or, without a validation set, the lowest
    *training* loss: to choose it by the test loss would leak the test set. The training loss is the
    mean over the epoch's steps, with dropout; the weights after them may be worse.

    Put it after the callbacks that write files: an epoch that is saved here has then
    been written by all of them.

    Args:
        path: an .npz file, replaced at each save.
        monitor: the loss that the best epoch has least of: "loss" or "val_loss".
        before: called before each save, to write other files of the same epoch: event
            files, measurements.
        always_every: save after every so many epochs in any case; 0: by time only. The
            file of a `SharpnessCallback` has the eigenvectors of its last steps only,
            so an epoch that it measures is saved.

    Attributes:
        epoch: epochs done, as of the last one that ended.
        best_epoch, best_loss, best_weights: of the best epoch so far.
    """

    def __init__(
        self,
        path: Path,
        *,
        monitor: str = "loss",
        before: Sequence[Callable[[], None]] = (),
        always_every: int = 0,
    ) -> None:
        super().__init__()
        self.path = path
        self.epoch = self.best_epoch = 0
        self.best_loss = np.inf
        self.best_weights: list[np.ndarray] = []
        self._monitor, self._before, self._always_every = monitor, before, always_every
        self._saved_epoch, self._saved_at = 0, -np.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Take the weights as the best ones if the loss is the lowest yet; save if it is due."""
        self.epoch = epoch + 1
        loss = float((logs or {})[self._monitor])
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
            self.best_weights = [variable.numpy() for variable in self.model.weights]
        always = self._always_every and self.epoch % self._always_every == 0
        if always or time.monotonic() - self._saved_at >= _SECONDS:
            self._save()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Save the last epoch."""
        if self.epoch > self._saved_epoch:
            self._save()

    def _save(self) -> None:
        for write in self._before:
            write()
        best = {"epoch": self.best_epoch, "loss": self.best_loss}
        arrays: dict[str, Any] = {"epoch": self.epoch}
        arrays |= {f"best_{name}": value for name, value in best.items()}
        arrays |= {f"best/{i}": values for i, values in enumerate(self.best_weights)}
        arrays |= {f"state/{i}": v.numpy() for i, v in enumerate(self._state())}
        write_arrays(self.path, arrays)
        self._saved_epoch, self._saved_at = self.epoch, time.monotonic()

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
            # Versions before 0.2 did not save it, and had no use for it.
            self.best_epoch = int(arrays.get("best_epoch", self.epoch))
            self.best_weights = [arrays[f"best/{i}"] for i in range(len(model.weights))]
            for i, variable in enumerate(self._state()):
                variable.assign(arrays[f"state/{i}"])
            self._saved_epoch = self.epoch

    def _state(self) -> list[keras.Variable]:
        # `variables` has the states of the dropout layers' generators, which are not used.
        # They stay in the file for its order, which older versions wrote.
        return [*self.model.variables, *self.model.optimizer.variables]
