"""Fitting the network: Keras's `fit` with the callbacks of a run."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from stock_rnn.config import Config
from stock_rnn.curvature import HessianCallback
from stock_rnn.data.dataset import StockDataSet
from stock_rnn.errors import UserError
from stock_rnn.files import replacing
from stock_rnn.network.model import build_model
from stock_rnn.optimizers import make_optimizer
from stock_rnn.training.callbacks.checkpoint import Checkpoint
from stock_rnn.training.callbacks.learning_rate_decay import LearningRateDecay
from stock_rnn.training.epochs import EpochModel, held_out, training_epochs
from stock_rnn.training.runs import Run
from stock_rnn.training.tensorboard import RunTensorBoard, write_hparams

_log = logging.getLogger("stock_rnn.training.fit")


def fit(run: Run, config: Config, dataset: StockDataSet) -> None:
    """Train from the run's checkpoint, or from the start, and save the models.

    Raises:
        UserError: the checkpoint is damaged, or the loss diverges.
    """
    model, trainer = compiled(config, dataset)
    checkpoint = Checkpoint(run.checkpoint)
    if run.checkpoint.exists():
        checkpoint.restore(trainer)
        _log.info("going on after epoch %d", checkpoint.epoch)
    _keep_rows(run.history, checkpoint.epoch)
    write_hparams(run.logs, config)
    fit_epochs(
        trainer,
        config,
        dataset,
        _callbacks(run, config, dataset, checkpoint),
        first_epoch=checkpoint.epoch,
    )
    _save(run, model, checkpoint)


def compiled(config: Config, dataset: StockDataSet) -> tuple[keras.Model, EpochModel]:
    """The network of a configuration, and the model that trains it.

    Everything that is random about a training is seeded here, for the process.

    Returns:
        The model to save, and one that shares its layers, compiled, its optimizer built.
    """
    # Seeds first: everything below draws from them, in this order.
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    model = build_model(
        input_size=config.input_size,
        num_steps=config.num_steps,
        num_layers=config.num_layers,
        lstm_size=config.lstm_size,
        keep_prob=config.keep_prob,
        cell=config.cell,
        init=config.init,
    )
    trainer = EpochModel(model.inputs, model.outputs, name="trainer")
    trainer.attach(dataset)
    optimizer = make_optimizer(config.optimizer, config.init_learning_rate)
    trainer.compile(optimizer=optimizer, loss="mse", jit_compile=False)
    optimizer.build(trainer.trainable_variables)
    return model, trainer


def fit_epochs(
    trainer: EpochModel,
    config: Config,
    dataset: StockDataSet,
    callbacks: list[keras.callbacks.Callback],
    *,
    first_epoch: int = 0,
) -> None:
    """Keras's `fit` over the configuration's epochs, from `first_epoch` on."""
    trainer.fit(
        training_epochs(
            dataset,
            batch_size=config.batch_size,
            shuffle=config.shuffle,
            seed=config.seed,
            first_epoch=first_epoch,
        ),
        steps_per_epoch=1,
        initial_epoch=first_epoch,
        epochs=config.max_epoch,
        validation_data=held_out(dataset),
        validation_steps=1,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )


def _callbacks(
    run: Run, config: Config, dataset: StockDataSet, checkpoint: Checkpoint
) -> list[keras.callbacks.Callback]:
    # Those that add to `logs` first, those that write them after, then the checkpoint.
    return [
        learning_rate_decay(config),
        StopOnDivergence(config.init_learning_rate),
        *_curvature(run, config, dataset),
        keras.callbacks.CSVLogger(str(run.history), append=True),
        RunTensorBoard(run.logs, dataset, config.max_epoch),
        Progress(checkpoint.epoch, config.max_epoch),
        checkpoint,
        StopOnInterrupt(),
    ]


def learning_rate_decay(config: Config) -> LearningRateDecay:
    """The schedule of a configuration."""
    return LearningRateDecay(
        config.init_learning_rate, config.learning_rate_decay, config.init_epoch
    )


def _curvature(run: Run, config: Config, dataset: StockDataSet) -> list[HessianCallback]:
    if config.hessian_every == 0:
        return []
    examples = dataset.spaced_examples(config.hessian_samples)
    return [
        HessianCallback(
            dataset.inputs(examples).astype(np.float32),
            dataset.labels(examples).astype(np.float32),
            every=config.hessian_every,
            tol=config.hessian_tol,
            log_dir=run.logs / "hessian",
            spectrum_path=run.spectrum,
            seed=config.seed,
        )
    ]


def _keep_rows(history: Path, epoch: int) -> None:
    """Drop what an interrupted training wrote after its last checkpoint."""
    if not history.exists():
        return
    # A kill may have cut the last row short, so rows are kept as text.
    rows = history.read_text(encoding="utf-8").splitlines(keepends=True)
    with replacing(history) as temporary:
        temporary.write_text("".join(rows[: epoch + 1] if epoch else []), encoding="utf-8")


def _save(run: Run, model: keras.Model, checkpoint: Checkpoint) -> None:
    """Save the best epoch's model, then the last one, which completes the run."""
    last = model.get_weights()
    model.set_weights(checkpoint.best_weights)
    with replacing(run.best_model) as temporary:
        model.save(temporary)
    model.set_weights(last)
    with replacing(run.model) as temporary:
        model.save(temporary)


class StopOnDivergence(keras.callbacks.Callback):
    """Ends a training whose loss is not finite, or a million times the first epoch's.

    Args:
        learning_rate: for the message.
    """

    _MOST_GROWTH = 1e6

    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self._learning_rate = learning_rate
        self._first_loss: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Check both losses.

        Raises:
            UserError: one of them diverged.
        """
        for name in ("loss", "val_loss"):
            loss = float((logs or {})[name])
            if not np.isfinite(loss):
                self._stop(epoch, "is not finite", loss)
        loss = float((logs or {})["loss"])
        if self._first_loss is None:
            self._first_loss = loss
        if loss > self._MOST_GROWTH * self._first_loss:
            self._stop(epoch, f"grew from {self._first_loss:.3g}", loss)

    def _stop(self, epoch: int, what: str, loss: float) -> None:
        raise UserError(
            f"training diverged in epoch {epoch + 1}: the loss {what} ({loss:.3g}); "
            f"lower --init-learning-rate (now {self._learning_rate:g})"
        )


class StopOnInterrupt(keras.callbacks.Callback):
    """Ends a training at Ctrl-C once the epoch is done and saved; at a second one, at once.

    Python raises KeyboardInterrupt wherever it happens to be, and where that is a
    finalizer of some library the exception is lost. A flag is not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked = False

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Listen; only the main thread is told of signals."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._remember)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop if asked to.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed during the epoch.
        """
        if self._asked:
            raise KeyboardInterrupt

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Listen no more."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _remember(self, number: int, frame: Any) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Progress(keras.callbacks.Callback):
    """A bar with the time left on a terminal, plain lines elsewhere; both on stderr."""

    _LINES = 10

    def __init__(self, first_epoch: int, max_epoch: int) -> None:
        super().__init__()
        self._max_epoch = max_epoch
        self._line_every = max(1, max_epoch // self._LINES)
        self._bar: Any = tqdm.tqdm(
            initial=first_epoch, total=max_epoch, unit="epoch", disable=not sys.stderr.isatty()
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the losses."""
        logs = logs or {}
        losses = f"train {logs['loss']:.6f}, test {logs['val_loss']:.6f}"
        if not self._bar.disable:
            self._bar.set_postfix_str(losses)
            self._bar.update()
        elif (epoch + 1) % self._line_every == 0 or epoch + 1 == self._max_epoch:
            print(f"epoch {epoch + 1}/{self._max_epoch}: {losses}", file=sys.stderr)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
