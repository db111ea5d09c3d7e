"""Fitting the network: Keras's `fit` with the callbacks of a run."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import keras
import tensorflow as tf

from stock_rnn.config import Config
from stock_rnn.curvature import HessianCallback
from stock_rnn.curvature.tracking.callback import DEFAULT_NAME
from stock_rnn.curvature.tracking.measurement import SCALARS
from stock_rnn.data import StockDataSet
from stock_rnn.files import atomic_write
from stock_rnn.network import build_model
from stock_rnn.optimizers import make_optimizer
from stock_rnn.training.callbacks import (
    Checkpoint,
    LearningRateDecay,
    Progress,
    RunTensorBoard,
    StopOnDivergence,
    StopOnInterrupt,
)
from stock_rnn.training.epoch_model import EpochModel, training_epochs, validation_epochs
from stock_rnn.training.hparams import write_hparams
from stock_rnn.training.runs import Run

_log = logging.getLogger("stock_rnn.training.fit")


def fit(run: Run, config: Config, dataset: StockDataSet) -> None:
    """Train from the run's checkpoint if it has one, else from the start; save the models.

    Args:
        run: a created run, locked by the caller; its files are written.
        config, dataset: what it was created with.

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

    Seeds Python's, NumPy's and Keras's random generators, and switches on TensorFlow's
    deterministic operations, for the whole process.

    Returns:
        The model to save, and an `EpochModel` that shares its layers: compiled, with its
        optimizer built.
    """
    # Seeds come first: what follows draws from them, in this order.
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
    """Keras's `fit` over a configuration's epochs.

    Args:
        trainer: from `compiled`.
        config, dataset: what it was compiled with.
        callbacks: in the order in which they are called.
        first_epoch: epochs already done.
    """
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
        validation_data=validation_epochs(dataset),
        validation_steps=1,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )


def _callbacks(
    run: Run, config: Config, dataset: StockDataSet, checkpoint: Checkpoint
) -> list[keras.callbacks.Callback]:
    # Callbacks that add to `logs`, then those that write `logs`, then the checkpoint.
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
    """The learning-rate schedule of a configuration."""
    return LearningRateDecay(
        config.init_learning_rate, config.learning_rate_decay, config.init_epoch
    )


def _curvature(run: Run, config: Config, dataset: StockDataSet) -> list[HessianCallback]:
    if config.hessian_every == 0:
        return []
    inputs, labels = dataset.curvature_sample(config.hessian_samples)
    return [
        HessianCallback(
            inputs,
            labels,
            every=config.hessian_every,
            tol=config.hessian_tol,
            log_dir=run.logs / "hessian",
            spectrum_path=run.spectrum,
            seed=config.seed,
        )
    ]


def _keep_rows(history: Path, epoch: int) -> None:
    """Drop the rows that an interrupted training wrote after its last checkpoint."""
    if not history.exists():
        return
    # As text: a kill may have cut the last row short.
    with history.open(encoding="utf-8", newline="") as file:
        rows = file.readlines()
    with atomic_write(history) as part:
        kept = _renamed(rows[: epoch + 1]) if epoch else []
        part.write_text("".join(kept), encoding="utf-8", newline="")


def _renamed(rows: list[str]) -> list[str]:
    """Rows of a history with the columns of this version, in the order of Keras's logger.

    Versions before 0.2 called the curvature's columns without their prefix.
    """
    header, *values = list(csv.reader(rows))
    names = [f"{DEFAULT_NAME}_{name}" if name in SCALARS else name for name in header]
    if names == header:
        return rows
    order = [0, *sorted(range(1, len(names)), key=names.__getitem__)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[row[k] for k in order] for row in (names, *values)])
    return text.getvalue().splitlines(keepends=True)


def _save(run: Run, model: keras.Model, checkpoint: Checkpoint) -> None:
    """Save the best epoch's model, then the last one: with it the run is complete."""
    last = model.get_weights()
    model.set_weights(checkpoint.best_weights)
    with atomic_write(run.best_model) as part:
        model.save(part)
    model.set_weights(last)
    with atomic_write(run.model) as part:
        model.save(part)
