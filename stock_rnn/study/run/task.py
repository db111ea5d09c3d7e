"""Run one task: a configuration and prices in, a record out."""

from __future__ import annotations

import datetime
import logging
import time
from typing import Any

import numpy as np

from stock_rnn.data import dataset_of
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.study import registry
from stock_rnn.study.plan import FORMAT, Task
from stock_rnn.study.records import ESCAPE_FACTOR, Record, crossings, versions
from stock_rnn.terminal import quiet_import
from stock_rnn.training import runs
from stock_rnn.workers.environment import use_one_thread

#: Distance of a start from its saddle, along the eigenvector of λ_min.
RADIUS = 1e-3


def run_task(task: Task, prices: Prices) -> Record:
    """Train, measure, and return the record.

    TensorFlow is set to one thread, so that the same task gives the same bits. Seeds belong
    to the process: no other thread of it may draw random numbers meanwhile. Where one does,
    use `stock_rnn.workers.isolated`.

    Raises:
        UserError: the prices do not fit the task.
        RuntimeError: TensorFlow already runs with several threads.
    """
    with quiet_import():
        import keras
    use_one_thread()
    # Every run builds new graphs; TensorFlow would warn that this is a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return _run(task, prices)
    finally:
        # Graphs of finished runs would fill the memory of a long-lived worker.
        keras.backend.clear_session()


def _run(task: Task, prices: Prices) -> Record:
    from stock_rnn.study.run.losses import Losses
    from stock_rnn.study.run.observer import InverseSqrt, Observer, StopWhen
    from stock_rnn.training.callbacks import StopOnDivergence
    from stock_rnn.training.fit import compiled, fit_epochs, learning_rate_decay

    begun, begin = datetime.datetime.now(datetime.timezone.utc), time.perf_counter()
    config = task.config
    dataset = dataset_of(config, prices)
    model, trainer = compiled(config, dataset)
    saddle = _move_to_saddle(model, dataset) if task.start == "saddle" else None
    steps = -(-len(dataset.train) // config.batch_size)
    losses = Losses(model, dataset, config.seed)
    curvature = _curvature_callback(task, dataset)
    observer = Observer(
        task,
        losses,
        curvature,
        steps,
        saddle,
        _objective(task, model, dataset) if saddle is None else None,
        _flow(config, model, dataset),
    )
    callbacks: list[Any] = [
        InverseSqrt(config.init_learning_rate)
        if task.schedule == "inverse_sqrt"
        else learning_rate_decay(config),
        StopOnDivergence(config.init_learning_rate),
        *([curvature] if curvature else []),
        observer,
    ]
    if saddle:
        callbacks.append(StopWhen(observer, escaped))
    diverged = None
    try:
        fit_epochs(trainer, config, callbacks)
    except UserError:
        # Raised for divergence only. The rows before it are kept.
        diverged = len(observer.rows)
    predictions = {} if saddle or diverged else _predictions(losses, dataset, config.max_epoch)
    return Record(
        format=FORMAT,
        registry=registry.name(),
        begun=begun.isoformat(timespec="seconds"),
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
            for name, of in (
                ("train", dataset.train),
                ("test", dataset.test),
                *([("validation", dataset.validation)] if len(dataset.validation) else []),
            )
        },
        predictions=predictions,
        ends=_crossings(losses, predictions, config.max_epoch) if predictions else {},
        saddle={"lambda_min": saddle.eigenvalue, "radius": RADIUS} if saddle else {},
    )


def escaped(rows: list[dict[str, float]]) -> bool:
    """Whether the distance from the saddle has grown by `ESCAPE_FACTOR` since the first row."""
    return abs(rows[-1]["displacement"]) >= ESCAPE_FACTOR * abs(rows[0]["displacement"])


def _move_to_saddle(model: Any, dataset: Any) -> Any:
    """Set the model's weights next to a saddle; return the saddle."""
    from stock_rnn.study.run.saddle_start import constructed_saddle

    weights = [weight.astype(np.float64) for weight in model.get_weights()]
    try:
        saddle = constructed_saddle(weights, dataset.train_X, dataset.train_y)
    except ValueError as error:
        raise UserError(f"{error} --no-sweeps leaves out the starts at a saddle") from error
    model.set_weights(saddle.weights_at(RADIUS))
    return saddle


def _objective(task: Task, model: Any, dataset: Any) -> Any:
    """The training's own objective, where it is measured and has a closed form; else None."""
    from stock_rnn.study.run.objective import Objective

    config = task.config
    if config.num_layers > 1 or not (config.hessian_every or task.schedule != "decay"):
        return None
    inputs, labels = dataset.curvature_sample(config.hessian_samples)
    return Objective(model, inputs, labels, config.seed)


def _flow(config: Any, model: Any, dataset: Any) -> Any:
    """The probe of the gradient's flow through time, where it is asked for; else None."""
    from stock_rnn.network.gradient_flow import GradientProbe
    from stock_rnn.training.callbacks.gradients import EXAMPLES

    if not config.gradient_every:
        return None
    return GradientProbe(model, *dataset.curvature_sample(EXAMPLES))


def _curvature_callback(task: Task, dataset: Any) -> Any:
    from stock_rnn.curvature import HessianCallback
    from stock_rnn.training.fit import LOSS

    config = task.config
    if config.hessian_every == 0:
        return None
    inputs, labels = dataset.curvature_sample(config.hessian_samples)
    return HessianCallback(
        inputs,
        labels,
        every=config.hessian_every,
        loss=LOSS,
        tol=config.hessian_tol,
        seed=config.seed,
    )


def _columns(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Rows with different columns as columns of full length, NaN for missing values."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}


def _predictions(losses: Any, dataset: Any, epoch: int) -> dict[str, list[Any]]:
    dates = dataset.label_dates(dataset.test).ravel().astype("datetime64[D]")
    return {
        "dates": dates.astype(str).tolist(),
        "actual": dataset.labels(dataset.test).ravel().tolist(),
        "predicted": losses.predict("test").ravel().tolist(),
        # The first of the draws that the losses are averaged over.
        "predicted_dropout": next(losses.draws("test", epoch, 1)).ravel().tolist(),
    }


def _crossings(losses: Any, predictions: dict[str, list[Any]], epoch: int) -> dict[str, float]:
    """The intersections with dropout on, averaged over draws of masks."""
    from stock_rnn.study.run.losses import MASKS

    counts = [
        crossings(predicted.ravel(), predictions["actual"])
        for predicted in losses.draws("test", epoch, MASKS)
    ]
    return {"intersections_dropout": float(np.mean(counts))}
