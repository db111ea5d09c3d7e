"""The history of a training: a row an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras


class History(keras.callbacks.CSVLogger):
    """Keras's `CSVLogger`, with epochs counted from 1.

    The row of epoch k is about the weights after k epochs, as step k is in TensorBoard and
    epoch k in the file of the curvature. The initial weights, 0, have no row.

    Args:
        path: the CSV; rows are added to it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), append=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the row of the epoch with index `epoch`, from 0."""
        super().on_epoch_end(epoch + 1, logs)
