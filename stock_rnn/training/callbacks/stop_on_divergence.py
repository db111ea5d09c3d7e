"""Ending a training whose loss diverges."""

from __future__ import annotations

import keras
import numpy as np

from stock_rnn.errors import UserError
from stock_rnn.optimizers import Newton


class DivergedError(UserError):
    """The loss of a training diverged."""


class StopOnDivergence(keras.callbacks.Callback):
    """Ends a training whose loss is not finite, or has grown a millionfold.

    Args:
        learning_rate: of the first epochs, for the message.
        first_loss: the first epoch's training loss, if the training is resumed.
    """

    # The most that a loss may be, in units of the first epoch's.
    _MAX_GROWTH = 1e6

    def __init__(self, learning_rate: float, first_loss: float | None = None) -> None:
        super().__init__()
        self._learning_rate = learning_rate
        self._first_loss = first_loss

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Check the training and the test loss.

        Raises:
            DivergedError: one of them diverged; the message names the epoch.
        """
        for name in ("loss", "val_loss"):
            loss = float((logs or {})[name])
            if not np.isfinite(loss):
                self._stop(epoch, "is not finite", loss)
        loss = float((logs or {})["loss"])
        if self._first_loss is None:
            self._first_loss = loss
        if loss > self._MAX_GROWTH * self._first_loss:
            self._stop(epoch, f"grew from {self._first_loss:.3g}", loss)

    def _stop(self, epoch: int, what: str, loss: float) -> None:
        advice = f"lower --init-learning-rate (now {self._learning_rate:g})"
        if isinstance(self.model.optimizer, Newton):
            advice = f"raise --damping (now {self.model.optimizer.damping:g})"
        raise DivergedError(
            f"training diverged in epoch {epoch + 1}: the loss {what} ({loss:.3g}); {advice}"
        )
