"""Persistence beside every loss."""

from __future__ import annotations

import keras

from stock_rnn.data import StockDataSet


class Persistence(keras.callbacks.Callback):
    """Adds persistence's losses and the skills to the logs of each epoch.

    "persistence_loss" and "val_persistence_loss" are the mean squared errors of the forecast
    that the price stays where it is, on the training and on the monitored examples; they do
    not change. "skill" and "val_skill" are 1 - loss / persistence's loss, NaN where persistence
    makes no error. Dropout is on in the training loss, and so in "skill".

    Put it before the callbacks that write the logs.

    Args:
        dataset: the examples.
    """

    def __init__(self, dataset: StockDataSet) -> None:
        super().__init__()
        self._train = dataset.persistence_loss(dataset.train)
        self._monitored = dataset.persistence_loss(dataset.monitored)

    def values(self, loss: float, val_loss: float) -> dict[str, float]:
        """What it adds to the logs of an epoch with these losses."""
        return {
            "persistence_loss": self._train,
            "val_persistence_loss": self._monitored,
            "skill": 1 - loss / self._train if self._train else float("nan"),
            "val_skill": 1 - val_loss / self._monitored if self._monitored else float("nan"),
        }

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add them."""
        if logs is not None:
            logs.update(self.values(float(logs["loss"]), float(logs["val_loss"])))
