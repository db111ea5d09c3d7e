"""A row of history.csv an epoch."""

from __future__ import annotations

import keras


class History(keras.callbacks.CSVLogger):
    """Keras's logger, which counts epochs as all else does: row k is "after k epochs".

    Args:
        path: a CSV, to which rows are appended.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, append=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the logs of an epoch."""
        super().on_epoch_end(epoch + 1, logs)
