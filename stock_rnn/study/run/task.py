"""Running one task: a configuration and prices in, a record out."""

from __future__ import annotations

import gc
import logging
import time
from typing import Any

import numpy as np

from stock_rnn.data import dataset_of
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.study.plan import Task
from stock_rnn.study.records import ESCAPED, Record, versions
from stock_rnn.terminal import quiet_import
from stock_rnn.training import runs

#: How far beside the saddle a run starts, along the eigenvector of λ_min.
RADIUS = 1e-3


def run_task(task: Task, prices: Prices) -> Record:
    """Train, measure, and say what came out. On one thread, so that bits are the same.

    Seeds belong to the process: nothing else may draw random numbers in it meanwhile;
    where something does, see `stock_rnn.study.run.isolated`.

    Raises:
        UserError: the prices do not fit the task.
        RuntimeError: TensorFlow has been started with several threads already.
    """
    with quiet_import():
        import keras
    _use_one_thread()
    # Every run builds graphs anew; TensorFlow takes that for a mistake and warns.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return _run(task, prices)
    finally:
        # Graphs of finished runs would fill the memory of a long-lived worker.
        keras.backend.clear_session()
        gc.collect()


def _use_one_thread() -> None:
    import tensorflow as tf

    threads = tf.config.threading
    if threads.get_intra_op_parallelism_threads() == 1:
        return
    try:
        threads.set_intra_op_parallelism_threads(1)
        threads.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise RuntimeError(
            "The study's runs are made on one thread each, and this process has used "
            "TensorFlow with several: start a worker of its own."
        ) from error


def _run(task: Task, prices: Prices) -> Record:
    from stock_rnn.study.run.observing import Losses, Observer, StopWhen
    from stock_rnn.training.callbacks import StopOnDivergence
    from stock_rnn.training.fit import compiled, fit_epochs, learning_rate_decay

    begin = time.perf_counter()
    config = task.config
    dataset = dataset_of(config, prices)
    model, trainer = compiled(config, dataset)
    saddle = _place(model, dataset) if task.start == "saddle" else None
    steps = -(-len(dataset.train) // config.batch_size)
    losses = Losses(model, dataset, config.seed)
    curvature = _curvature(task, dataset)
    observer = Observer(task, losses, curvature, steps, saddle)
    callbacks: list[Any] = [
        learning_rate_decay(config),
        StopOnDivergence(config.init_learning_rate),
        *([curvature] if curvature else []),
        observer,
    ]
    if saddle:
        callbacks.append(StopWhen(observer, escaped))
    diverged = None
    try:
        fit_epochs(trainer, config, dataset, callbacks)
    except UserError:
        # Only divergence ends a fit so; the rows up to it are kept.
        diverged = len(observer.rows)
    return Record(
        key=task.key(prices.sha256, versions()),
        task=task,
        data=runs.describe_data(prices),
        versions=versions(),
        seconds=time.perf_counter() - begin,
        steps_per_epoch=steps,
        diverged=diverged,
        epochs=_columns(observer.rows),
        persistence={
            name: float(np.mean((dataset.labels(of) - dataset.persistence(of)) ** 2))
            for name, of in (("train", dataset.train), ("test", dataset.test))
        },
        predictions={} if saddle or diverged else _predictions(losses, dataset, config.max_epoch),
        saddle={"lambda_min": saddle.eigenvalue, "radius": RADIUS} if saddle else {},
    )


def escaped(rows: list[dict[str, float]]) -> bool:
    """Whether the distance along the negative direction has grown as far as counts."""
    return abs(rows[-1]["displacement"]) >= ESCAPED * abs(rows[0]["displacement"])


def _place(model: Any, dataset: Any) -> Any:
    """Put the model beside the saddle."""
    from stock_rnn.study.run.saddle_start import constructed_saddle

    weights = [weight.astype(np.float64) for weight in model.get_weights()]
    try:
        saddle = constructed_saddle(weights, dataset.train_X, dataset.train_y)
    except ValueError as error:
        raise UserError(f"{error} Leave the starts beside one out by --no-sweeps") from error
    model.set_weights(saddle.beside(RADIUS))
    return saddle


def _curvature(task: Task, dataset: Any) -> Any:
    from stock_rnn.curvature import HessianCallback

    config = task.config
    if config.hessian_every == 0:
        return None
    examples = dataset.spaced_examples(config.hessian_samples)
    return HessianCallback(
        dataset.inputs(examples).astype(np.float32),
        dataset.labels(examples).astype(np.float32),
        every=config.hessian_every,
        tol=config.hessian_tol,
        seed=config.seed,
    )


def _columns(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Rows of some columns each as columns of all rows, NaN where there is no value."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}


def _predictions(losses: Any, dataset: Any, epoch: int) -> dict[str, list[Any]]:
    dates = dataset.label_dates(dataset.test).ravel().astype("datetime64[D]")
    return {
        "dates": dates.astype(str).tolist(),
        "actual": dataset.labels(dataset.test).ravel().tolist(),
        "predicted": losses.predict("test").ravel().tolist(),
        "predicted_dropout": losses.predict_with_dropout("test", epoch).ravel().tolist(),
    }
