"""Fitting the network: the training loop with the callbacks of a run."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from stock_rnn.config import SECOND_ORDER, Config
from stock_rnn.curvature import HessianCallback, SharpnessCallback, load_steps
from stock_rnn.curvature.tracking.callback import DEFAULT_NAME
from stock_rnn.curvature.tracking.measurement import SCALARS, load_measurements
from stock_rnn.data import StockDataSet, StocksDataSet
from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write
from stock_rnn.optimizers import make_optimizer
from stock_rnn.training import runs
from stock_rnn.training.callbacks import (
    Checkpoint,
    DivergedError,
    EarlyStopping,
    Gradients,
    History,
    KeepWeights,
    LearningRateDecay,
    Persistence,
    Progress,
    RunTensorBoard,
    StopOnDivergence,
    StopOnInterrupt,
)
from stock_rnn.training.embedding import set_unseen_row, write_projector
from stock_rnn.training.epochs import EpochTrainer
from stock_rnn.training.hparams import write_hparams
from stock_rnn.training.network import inputs_of, network_of
from stock_rnn.training.runs import Run
from stock_rnn.training.runs.reading import reading
from stock_rnn.training.second_order import SecondOrderTrainer

_log = logging.getLogger("stock_rnn.training.fit")

#: What is minimized, and what the curvature is measured of.
LOSS = "mse"

# What trains an epoch.
Trainer = EpochTrainer | SecondOrderTrainer


def fit(run: Run, config: Config, dataset: StockDataSet) -> None:
    """Train from the run's checkpoint if it has one, else from the start; save the models.

    Args:
        run: a created run, locked by the caller; its files are written.
        config, dataset: what it was created with.

    Raises:
        UserError: the checkpoint or the spectrum is damaged; more eigenvalues to track than
            weights.
        DivergedError: the loss diverges; the run is marked so.
        OSError: a file cannot be written.
    """
    model, trainer = compiled(config, dataset)
    board = RunTensorBoard(run.logs, dataset, config.max_epoch)
    measured = _curvature(run, config, model, dataset)
    checkpoint = Checkpoint(
        run.checkpoint,
        monitor="val_loss" if config.validation_ratio else "loss",
        before=[board.flush, *(each.save for each in measured)],
        always_every=config.hessian_every if config.hessian_track else 0,
    )
    if run.checkpoint.exists():
        checkpoint.restore(trainer.model)
        _check_spectrum(run, config)
        _log.info("going on after epoch %d", checkpoint.epoch)
    persistence = Persistence(dataset)
    first_loss = _keep_rows(run.history, checkpoint.epoch, persistence)
    interrupt = StopOnInterrupt()
    callbacks = [
        # Those that add to `logs`, then those that write `logs`, then those that stop.
        learning_rate_decay(config),
        persistence,
        StopOnDivergence(config.init_learning_rate, first_loss),
        *measured,
        *_sharpness(run, config, model, measured),
        *_gradients(run, config, dataset, board),
        History(str(run.history)),
        board,
        *_kept_weights(run, config, checkpoint.epoch),
        Progress(dataset, checkpoint.epoch, config.max_epoch),
        checkpoint,
        *([EarlyStopping(checkpoint, config.early_stopping)] if config.early_stopping else []),
        interrupt,
    ]
    with _as_os_errors(run.logs):
        write_hparams(run.logs, config)
        try:
            fit_epochs(trainer, config, callbacks, first_epoch=checkpoint.epoch)
        except DivergedError as error:
            runs.mark_diverged(run, str(error))
            raise
        finally:
            interrupt.restore()
            board.close()
            for each in measured:
                each.save()
    if interrupt.asked:
        raise KeyboardInterrupt
    if checkpoint.epoch < config.max_epoch:
        _log.info(
            "stopped after epoch %d: the validation loss was lowest after epoch %d",
            checkpoint.epoch,
            checkpoint.best_epoch,
        )
    _save(run, model, checkpoint, dataset)


@contextlib.contextmanager
def _as_os_errors(logs: Path) -> Iterator[None]:
    """Raise as OSError what TensorFlow raises if it cannot write the event files."""
    try:
        yield
    except tf.errors.OpError as error:
        # It has a class for a full memory or disk, and only the text says which.
        if str(logs) not in error.message:
            raise
        text = re.sub(r"{{.*?}}", "", error.message).strip()
        raise OSError(None, text.splitlines()[0]) from error


def compiled(config: Config, dataset: StockDataSet) -> tuple[keras.Model, Trainer]:
    """The network of a configuration, and the model that trains it.

    Seeds Python's, NumPy's and Keras's random generators, and switches on TensorFlow's
    deterministic operations, for the whole process.

    Returns:
        The model to save, and what trains a compiled model that shares its layers.
    """
    # Seeds come first: what follows draws from them, in this order.
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    model = network_of(config, dataset)
    trained = keras.Model(model.inputs, model.outputs, name="trainer")
    optimizer = make_optimizer(
        config.optimizer,
        config.init_learning_rate,
        perturbation=config.perturbation(),
        clipping=config.clipping(),
        **config.hyperparameters(),
    )
    trained.compile(optimizer=optimizer, loss=LOSS, jit_compile=False)
    optimizer.build(trained.trainable_variables)
    if config.optimizer in SECOND_ORDER:
        return model, SecondOrderTrainer(trained, dataset, loss=LOSS, check=not config.has_kinks)
    trainer = EpochTrainer(
        trained,
        dataset,
        batch_size=len(dataset.train) if config.optimizer == "gd" else config.batch_size,
        shuffle=config.shuffle,
        seed=config.seed,
    )
    return model, trainer


def fit_epochs(
    trainer: Trainer,
    config: Config,
    callbacks: list[keras.callbacks.Callback],
    *,
    first_epoch: int = 0,
) -> None:
    """Train over a configuration's epochs, with Keras's callbacks.

    To callbacks it is Keras's `fit` without batches. A callback ends it by setting
    `model.stop_training`.

    Args:
        trainer: from `compiled`.
        config: what it was compiled with.
        callbacks: in the order in which they are called.
        first_epoch: epochs already done.
    """
    called = keras.callbacks.CallbackList(callbacks, model=trainer.model)
    trainer.model.stop_training = False
    called.on_train_begin()
    for epoch in range(first_epoch, config.max_epoch):
        if trainer.model.stop_training:
            break
        called.on_epoch_begin(epoch)
        called.on_epoch_end(epoch, trainer.train(epoch))
    called.on_train_end()


def learning_rate_decay(config: Config) -> LearningRateDecay:
    """The learning-rate schedule of a configuration."""
    return LearningRateDecay(
        config.init_learning_rate, config.learning_rate_decay, config.init_epoch
    )


def _curvature(
    run: Run, config: Config, model: keras.Model, dataset: StockDataSet
) -> list[HessianCallback]:
    if config.hessian_every == 0:
        return []
    if config.has_kinks:
        _log.info(
            "--activation %s has a kink: products with the Hessian are not checked, and no "
            "sign of an eigenvalue is called resolved",
            config.activation,
        )
    _, labels = dataset.curvature_sample(config.hessian_samples)
    inputs = inputs_of(model, dataset, dataset.spaced_examples(config.hessian_samples))
    return [
        HessianCallback(
            inputs,
            labels,
            every=config.hessian_every,
            loss=LOSS,
            tol=config.hessian_tol,
            log_dir=run.logs / "hessian",
            spectrum_path=run.spectrum,
            save_always=False,
            split=config.hessian_split,
            verify="float64" if config.hessian_verify else None,
            check=not config.has_kinks,
            seed=config.seed,
        )
    ]


def _sharpness(
    run: Run, config: Config, model: keras.Model, measured: list[HessianCallback]
) -> list[SharpnessCallback]:
    if not config.hessian_track or not measured or config.optimizer in SECOND_ORDER:
        return []
    if config.hessian_track > model.count_params():
        raise UserError(
            f"--hessian-track {config.hessian_track} is more than the network's "
            f"{model.count_params()} weights: take fewer"
        )
    (source,) = measured
    return [
        SharpnessCallback(
            # The data are those of the source.
            None,
            None,
            config.hessian_track,
            every=config.hessian_every,
            source=source,
            tol=config.hessian_tol,
            log_dir=run.logs / "hessian",
            path=run.sharpness,
            seed=config.seed,
        )
    ]


def _kept_weights(run: Run, config: Config, first_epoch: int) -> list[KeepWeights]:
    return [KeepWeights(run.weights, first_epoch, config.max_epoch)] * config.keep_weights


def _gradients(
    run: Run, config: Config, dataset: StockDataSet, board: RunTensorBoard
) -> list[Gradients]:
    if config.gradient_every == 0:
        return []
    return [Gradients(dataset, board, every=config.gradient_every, title=run.name)]


def _check_spectrum(run: Run, config: Config) -> None:
    """Check that the measurements that a resumed training continues can be read.

    Raises:
        UserError: they cannot.
    """
    if config.hessian_every and run.spectrum.exists():
        advice = (
            f"remove it, and --resume goes on without the eigenvalues so far; {run.history} has "
            "the smallest and the largest"
        )
        with reading(run.spectrum, advice):
            load_measurements(run.spectrum)
    if config.hessian_track and run.sharpness.exists():
        advice = "remove it, and --resume goes on without the tracked eigenvalues so far"
        with reading(run.sharpness, advice):
            load_steps(run.sharpness)


def _keep_rows(history: Path, epoch: int, persistence: Persistence) -> float | None:
    """Drop the rows that an interrupted training wrote after its last checkpoint.

    The rows that stay get the columns and the line ends of this version.

    Returns:
        The training loss of the first epoch; None if there is none.
    """
    if not history.exists():
        return None
    # As text: a kill may have cut the last row short.
    with history.open(encoding="utf-8", newline="") as file:
        lines = file.readlines()
    rows = [
        {**_of_this_version(row, persistence), "epoch": number}
        for number, row in enumerate(csv.DictReader(lines[: epoch + 1] * bool(epoch)), 1)
    ]
    text = io.StringIO(newline="")
    if rows:
        # As Keras's logger, which appends to them.
        writer = csv.DictWriter(text, ["epoch", *sorted(rows[0].keys() - {"epoch"})])
        writer.writeheader()
        writer.writerows(rows)
    with atomic_write(history) as part:
        part.write_text(text.getvalue(), encoding="utf-8", newline="")
    return float(rows[0]["loss"]) if rows else None


def _of_this_version(row: dict[str, str], persistence: Persistence) -> dict[str, Any]:
    """A row of a history with the columns of this version.

    Versions before 0.2 called the curvature's columns without their prefix, had none of
    `Persistence`, and counted epochs from 0.
    """
    added = persistence.values(float(row["loss"]), float(row["val_loss"]))
    named = {
        f"{DEFAULT_NAME}_{name}" if name in SCALARS else name: value for name, value in row.items()
    }
    return {**added, **named}


def _save(run: Run, model: keras.Model, checkpoint: Checkpoint, dataset: StockDataSet) -> None:
    """Save the best epoch's model, then the last one: with it the run is complete."""
    last = model.get_weights()
    model.set_weights(checkpoint.best_weights)
    set_unseen_row(model)
    with atomic_write(run.best_model) as part:
        model.save(part)
    model.set_weights(last)
    set_unseen_row(model)
    if isinstance(dataset, StocksDataSet):
        write_projector(run.logs, model, dataset.symbols, dataset.sectors)
    with atomic_write(run.model) as part:
        model.save(part)
