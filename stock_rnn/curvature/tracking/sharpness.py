"""The largest eigenvalues beside training, by epoch or by step, against the stability line."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature.analysis.batches import training_batches
from stock_rnn.curvature.operators.blocks import flat_weights
from stock_rnn.curvature.operators.hessian import HessianOperator
from stock_rnn.curvature.operators.preconditioned import stability_line
from stock_rnn.curvature.operators.protocol import Array
from stock_rnn.curvature.operators.training_hessian import TrainingHessian
from stock_rnn.curvature.tracking.callback import COLD_EVERY, HessianCallback
from stock_rnn.curvature.tracking.event_file import EventFile
from stock_rnn.curvature.tracking.fit_watch import compare_losses
from stock_rnn.curvature.tracking.measurement import KEPT_VECTORS, seed_of
from stock_rnn.curvature.tracking.steps import StepMeasurement, measure_step, step_scalars
from stock_rnn.curvature.tracking.steps_file import load_steps, save_steps

_log = logging.getLogger(__name__)

DEFAULT_NAME = "sharpness"


class SharpnessCallback(keras.callbacks.Callback):
    """Tracks the k largest eigenvalues in training, raw and as the optimizer sees them.

    By epoch (`every`), by step (`every_steps`, in the window `steps`), or both. Each
    measurement holds the eigenvalues against the optimizer's stability line, says where
    the gradient and the last update lie and how far the eigenvectors have turned, and, with
    `batches`, what mini-batches see. `figures.steps_figure` draws it.

    Training is left as it is: weights, optimizer state, random streams and statistics
    end bit for bit as without the callback. The eigenvalues are measured in inference mode:
    dropout is off, and batch normalization uses its running statistics. Mini-batches are
    measured as the steps compute them (see `TrainingHessian`), unless ``training=False``.

    The values go into `logs` at the end of each epoch (the names of `step_scalars` after
    ``name`` and an underscore; NaN where the point was not measured), into TensorBoard, where
    the step is the optimizer's, and into a file, which a resumed `fit(initial_epoch=...)`
    reads and continues. Where a loop of training does not tell of its batches, as one that
    runs an epoch in one call, only epochs are seen, and an update is that of an epoch.

    Args:
        x, y: over which the loss is averaged; see `HessianOperator`.
        track: k, how many of the largest eigenvalues.
        every: measure after every so many epochs, and before the first; 0: not by epoch.
        every_steps: measure after every so many steps of the optimizer; None: not by step.
        steps: the first and the last step of the window in which `every_steps` holds,
            both included; None: all.
        batches: how many mini-batches are measured, drawn anew each time; 0: none.
        training_batch_size: examples in each of them, that of `fit`.
        training: whether mini-batches are measured in training mode: dropout on, batch
            normalization by the batch.
        threshold, negative_steps: of the shares in the negative subspace, as in
            `measure_step`; with ``negative_steps=0`` they are left out.
        loss, sample_weight, batch_size, variables, check: as in `HessianCallback`.
        name: what its values are called. Two callbacks in one `fit` need two names.
        tol: residual, relative to an eigenvalue, at which it is accepted.
        max_matvecs: products of each search at most.
        log_dir: where TensorBoard's event files go.
        path: the .npz that keeps all measurements; see `save_steps`.
        source: a `HessianCallback` before this one in the same `fit`, whose operator is used:
            then no second graph is built, and the six arguments of the operator are its own.
        seed: with the step it decides the random vectors and the mini-batches.

    Attributes:
        measurements: all `StepMeasurement`s so far.

    Raises:
        ValueError: an impossible argument.

    Example:

    >>> sharpness = SharpnessCallback(x, y, track=3, every_steps=10, steps=(0, 500))
    >>> model.fit(x, y, callbacks=[sharpness])  # doctest: +SKIP
    >>> steps_figure(sharpness.measurements).savefig("sharpness.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        track: int = 1,
        *,
        every: int = 1,
        every_steps: int | None = None,
        steps: tuple[int, int] | None = None,
        batches: int = 0,
        training_batch_size: int | None = None,
        training: bool = True,
        threshold: float = 1e-3,
        negative_steps: int = 20,
        loss: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        variables: Any = None,
        check: bool = True,
        name: str = DEFAULT_NAME,
        tol: float = 1e-2,
        max_matvecs: int = 500,
        log_dir: str | os.PathLike[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        source: HessianCallback | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_choices(track, every, every_steps, steps, batches, training_batch_size)
        self.name, self.track = name, track
        self.every, self.every_steps = every, every_steps
        self.window = (0, np.inf) if steps is None else steps
        self.batches, self.training_batch_size = batches, training_batch_size
        self.training = training
        self.log_dir = None if log_dir is None else Path(log_dir)
        self.path = None if path is None else Path(path)
        self.seed = seed
        self.measurements: list[StepMeasurement] = []
        self._data = (x, y, sample_weight)
        self._options: dict[str, Any] = {
            "threshold": threshold,
            "negative_steps": negative_steps,
            "tol": tol,
            "max_matvecs": max_matvecs,
            "seed": seed,
        }
        self._loss = loss
        # It knows which loss is meant, and makes the operator; it measures nothing.
        self._own_source = source is None
        self._source = source or HessianCallback(
            x,
            y,
            loss=loss,
            sample_weight=sample_weight,
            batch_size=batch_size,
            variables=variables,
            check=check,
        )
        self._measured: HessianOperator | None = None  # whose vectors the measurements have
        self._step_operator: TrainingHessian | None = None  # in training mode
        self._started = False
        self._epoch = 0  # epochs done
        self._events: EventFile | None = None
        self._before: tuple[int, Array] | None = None  # step and weights before the last move

    @property
    def operator(self) -> HessianOperator:
        """The Hessian that is measured.

        Raises:
            RuntimeError: before `fit` has begun.
        """
        return self._source.operator

    # Keras's events

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Prepare the operator.

        Raises:
            ValueError: no loss to measure, an optimizer whose stability line is not known, or
                two callbacks of one name.
        """
        # All callbacks are handed the same dictionary.
        if logs is not None and logs.setdefault(self.name, self) is not self:
            raise ValueError(
                f"Two SharpnessCallbacks are called {self.name!r}: give each its own name=..."
            )
        stability_line(self.model.optimizer)
        if self._own_source:
            self._source.set_model(self.model)
            self._source.on_train_begin()
        if self.track > self.operator.parameters:
            raise ValueError(
                f"track must be at most the {self.operator.parameters} parameters. "
                f"Received: track={self.track}"
            )
        self._started, self._before = False, None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure the starting point, or go on with the measurements of an earlier run."""
        self._epoch = epoch
        if not self._started:
            self._started = True
            self._start()
        self._before = None
        if self._due_after_epoch(epoch):
            self._note_weights()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the weights that the next update moves, if that is to be measured."""
        at_once = int(getattr(self.model, "steps_per_execution", 1) or 1)
        now = self._step()
        self._before = None
        last = (self.params or {}).get("steps")
        ends_epoch = last is None or batch + at_once >= last
        if self._due_between(now, now + at_once) or (
            ends_epoch and self._due_after_epoch(self._epoch)
        ):
            self._note_weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure after a step, if that is due."""
        if self._before is not None and self._due_between(self._before[0], self._step()):
            self._measure()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure after an epoch, if that is due, and put the values into `logs`."""
        due = self._due_after_epoch(epoch)
        self._epoch = epoch + 1
        if due and not self._measured_now():
            self._measure()
        names = step_scalars(self.track, batches=self.batches > 0)
        values = dict.fromkeys(names, np.nan)
        if self._measured_now():
            values |= self.measurements[-1].scalars()
        if logs is not None:
            logs.update({f"{self.name}_{key}": value for key, value in values.items()})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the event file."""
        if self._events is not None:
            self._events.close()
            self._events = None

    # What they do

    def _step(self) -> int:
        return int(tf.convert_to_tensor(self.model.optimizer.iterations).numpy())

    def _due_after_epoch(self, epoch: int) -> bool:
        return self.every > 0 and (epoch + 1) % self.every == 0

    def _due_between(self, before: int, after: int) -> bool:
        """Whether a step from before + 1 to after is one to measure; after is what is measured."""
        if self.every_steps is None or after == before:
            return False
        first, last = self.window
        return before // self.every_steps != after // self.every_steps and first <= after <= last

    def _measured_now(self) -> bool:
        return bool(self.measurements) and self.measurements[-1].step == self._step()

    def _note_weights(self) -> None:
        self._before = (self._step(), flat_weights(self.operator.variables))

    def _start(self) -> None:
        step = self._step()
        if step and not self.measurements and self.path and self.path.exists():
            self.measurements = load_steps(self.path)
            _check_track(self.measurements, self.track, self.path)
        self.measurements = [m for m in self.measurements if m.step <= step and step]
        if self._measured not in (None, self.operator):  # Vectors of another model or loss.
            self.measurements = [m.without_vectors() for m in self.measurements]
        self._measured = self.operator
        if self.batches and self.training:
            ((x, y, *_), *_) = training_batches(*self._data[:2], self.training_batch_size or 1, 1)
            self._step_operator = TrainingHessian.of(self.operator, x, y)
            self._step_operator.prepare()
        self.operator.prepare()
        if self._own_source and self._loss is None:
            compare_losses(self.operator)
        by_step = self.every_steps is not None and self.window[0] <= step <= self.window[1]
        if not self.measurements and (self.every or by_step):
            self._measure()

    def _measure(self) -> None:
        step, previous = self._step(), next(reversed(self.measurements), None)
        move, moved = None, 0
        if self._before is not None and step > self._before[0]:
            move = flat_weights(self.operator.variables) - self._before[1]
            moved = step - self._before[0]
        found = measure_step(
            self.operator,
            self.model.optimizer,
            self.track,
            step=step,
            epoch=self._epoch,
            previous=previous,
            # By the number of measurements alone, so that a resumed run does the same.
            warm=len(self.measurements) % COLD_EVERY != 0,
            update=move,
            update_steps=moved,
            batches=self._mini_batches(step),
            make_batch_operator=self._batch_operators(),
            **self._options,
        )
        if np.isnan(found.loss):
            _log.warning("Loss or gradient are not finite after %d steps.", step)
        kept = KEPT_VECTORS - 1
        self.measurements = [
            *(m.without_vectors() for m in self.measurements[:-kept]),
            *self.measurements[-kept:],
            found,
        ]
        if self.log_dir is not None:
            self._write_summaries(found)
        if self.path is not None:
            save_steps(self.path, self.measurements)

    def _mini_batches(self, step: int) -> Any:
        if not self.batches or self.training_batch_size is None:
            return None
        x, y, weights = self._data
        return training_batches(
            x,
            y,
            self.training_batch_size,
            self.batches,
            sample_weight=weights,
            seed=seed_of(self.seed, step),
        )

    def _batch_operators(self) -> Callable[..., TrainingHessian] | None:
        """What makes a batch's Hessian in training mode: the k-th batch has draw k."""
        operator, draws = self._step_operator, itertools.count()
        if operator is None:
            return None
        return lambda x, y, **weights: operator.with_data(x, y, draw=next(draws), **weights)

    def _write_summaries(self, found: StepMeasurement) -> None:
        if self._events is None:
            assert self.log_dir is not None
            self._events = EventFile(self.log_dir)
        words = step_scalars(self.track, batches=found.batches is not None)
        for key, value in found.scalars().items():
            if np.isfinite(value):
                text = f"{words[key]} Step k: after k steps of the optimizer."
                self._events.scalar(f"{self.name}/{key}", found.step, value, text)
        self._events.flush()


def _check_track(measurements: Sequence[StepMeasurement], track: int, path: Path) -> None:
    """Refuse the measurements of another number of eigenvalues: one file holds one number."""
    if measurements and (known := len(measurements[-1].raw.eigenvalues)) != track:
        raise ValueError(
            f"{path} has measurements of the {known} largest eigenvalues, and cannot be continued "
            f"with another number: give track={known}, or another path. Received: {track=}"
        )


def _check_choices(
    track: int,
    every: int,
    every_steps: int | None,
    steps: tuple[int, int] | None,
    batches: int,
    training_batch_size: int | None,
) -> None:
    if track < 1:
        raise ValueError(f"track must be at least 1. Received: {track=}")
    if every < 0 or (every_steps is not None and every_steps < 1):
        raise ValueError(
            "every must be at least 0, and every_steps at least 1 or None. "
            f"Received: {every=}, {every_steps=}"
        )
    if every == 0 and every_steps is None:
        raise ValueError("Nothing would be measured: give every=... or every_steps=...")
    if steps is not None and (
        every_steps is None or len(steps) != 2 or not 0 <= steps[0] <= steps[1]
    ):
        raise ValueError(
            "steps must be (first, last) with 0 <= first <= last, and needs every_steps=... "
            f"Received: {steps=}, {every_steps=}"
        )
    if batches < 0 or (batches > 0 and training_batch_size is None):
        raise ValueError(
            "batches must be at least 0, and needs training_batch_size=..., that of fit. "
            f"Received: {batches=}, {training_batch_size=}"
        )
    if training_batch_size is not None and training_batch_size < 1:
        raise ValueError(
            f"training_batch_size must be at least 1. Received: {training_batch_size=}"
        )
