"""Ending a training at Ctrl-C without losing an epoch."""

from __future__ import annotations

import signal
import threading
from typing import Any

import keras


class StopOnInterrupt(keras.callbacks.Callback):
    """Ctrl-C ends the training after the current epoch; a second Ctrl-C ends it at once.

    By default Python raises KeyboardInterrupt at whatever line it is. If that line is
    in a finalizer, the exception is lost. So the first signal only sets a flag, which is
    read when the epoch is saved.

    Put it last: the callbacks before it have then finished the epoch. Call `restore` when
    the training is over: Keras calls no callback after an exception.

    Attributes:
        asked: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._callers: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Set the handler; Python allows it in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            # None: a handler that was not set from Python.
            self._callers = signal.getsignal(signal.SIGINT) or signal.default_int_handler
            signal.signal(signal.SIGINT, self._remember)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop if Ctrl-C was pressed during the epoch."""
        if self.asked:
            self.model.stop_training = True

    def restore(self) -> None:
        """Restore the caller's handler."""
        if self._callers is not None:
            signal.signal(signal.SIGINT, self._callers)
            self._callers = None

    def _remember(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
