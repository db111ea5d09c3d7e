"""The progress of a training, shown on stderr."""

from __future__ import annotations

import sys
from typing import Any

import keras
import tqdm

from stock_rnn.data import StockDataSet
from stock_rnn.optimizers import SecondOrder


class Progress(keras.callbacks.Callback):
    """Shows epochs and losses on stderr: a bar on a terminal, about ten lines elsewhere.

    Put it after `Persistence`, whose losses it shows beside the others.

    Args:
        dataset: names the monitored set.
        first_epoch: epochs already done.
        max_epoch: epochs of the whole training.
    """

    _LINES = 10

    def __init__(self, dataset: StockDataSet, first_epoch: int, max_epoch: int) -> None:
        super().__init__()
        self._monitored = dataset.monitored_name
        self._max_epoch = max_epoch
        self._line_every = max(1, max_epoch // self._LINES)
        self._bar: Any = tqdm.tqdm(
            initial=first_epoch, total=max_epoch, unit="epoch", disable=not sys.stderr.isatty()
        )

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Say what the losses are."""
        dropped = any(isinstance(layer, keras.layers.Dropout) for layer in self.model.layers)
        if dropped and not isinstance(self.model.optimizer, SecondOrder):
            message = "mean squared errors; dropout is on in those of train, off in the others"
            tqdm.tqdm.write(message, file=sys.stderr)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the losses and the skill."""
        logs = logs or {}
        losses = (
            f"train {logs['loss']:.6f}, {self._monitored} {logs['val_loss']:.6f}; "
            f"persistence {logs['persistence_loss']:.6f}, {logs['val_persistence_loss']:.6f}; "
            f"{self._monitored} skill {logs['val_skill']:+.3f}"
        )
        if not self._bar.disable:
            self._bar.set_postfix_str(losses)
            self._bar.update()
        elif (epoch + 1) % self._line_every == 0 or epoch + 1 == self._max_epoch:
            print(f"epoch {epoch + 1}/{self._max_epoch}: {losses}", file=sys.stderr)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """End the bar's line."""
        self._bar.close()
