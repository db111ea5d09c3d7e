"""Learning-rate decay: the schedule, and the callback that applies it."""

from __future__ import annotations

from typing import Any

import keras


def decayed_learning_rate(
    epoch: int, *, init_learning_rate: float, learning_rate_decay: float, init_epoch: int
) -> float:
    """init · decay ** max(epoch + 1 - init_epoch, 0), epochs counted from 0.

    Constant for the first `init_epoch` epochs, then multiplied by
    `learning_rate_decay` each epoch. Source: the report's appendix.
    """
    return init_learning_rate * learning_rate_decay ** max(epoch + 1 - init_epoch, 0)


class LearningRateDecay(keras.callbacks.Callback):
    """Sets the learning rate before each epoch; adds `learning_rate` to the logs.

    The rate depends on the epoch's number alone, so a resumed training has the right
    one. The arguments are those of `decayed_learning_rate`.
    """

    def __init__(
        self, init_learning_rate: float, learning_rate_decay: float, init_epoch: int
    ) -> None:
        super().__init__()
        self._schedule: dict[str, Any] = {
            "init_learning_rate": init_learning_rate,
            "learning_rate_decay": learning_rate_decay,
            "init_epoch": init_epoch,
        }

    def rate(self, epoch: int) -> float:
        """The learning rate of one epoch, counted from 0."""
        return decayed_learning_rate(epoch, **self._schedule)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set the learning rate."""
        self.model.optimizer.learning_rate = self.rate(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the rate that the epoch was trained with."""
        if logs is not None:
            logs["learning_rate"] = self.rate(epoch)
