"""Curvature beside every epoch of any `model.fit`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature.algorithms.eigenpairs import with_replaced_vector
from stock_rnn.curvature.algorithms.extreme import Verify, check_verify
from stock_rnn.curvature.keras_private import compiled_loss_weights
from stock_rnn.curvature.operators.blocks import select_variables
from stock_rnn.curvature.operators.data_sets import make_batches
from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.gauss_newton import ResidualOperator
from stock_rnn.curvature.operators.hessian import HessianOperator
from stock_rnn.curvature.operators.loss_terms import of_each_output
from stock_rnn.curvature.tracking.event_file import EventFile
from stock_rnn.curvature.tracking.fit_watch import FitWatch, compare_losses
from stock_rnn.curvature.tracking.measurement import (
    BOUND_SCALARS,
    HISTOGRAM,
    KIND,
    SCALARS,
    SHARE,
    Measurement,
    load_measurements,
    measure,
    save_measurements,
    seed_of,
    shares_of_kinds,
    without_vectors,
)
from stock_rnn.curvature.tracking.split import SPLIT_SCALARS, measure_residual_term

_log = logging.getLogger(__name__)

# Of so many measurements one starts anew: a warm start goes on following a pair
# that fits, and may not see for many epochs what has come to lie beyond it.
COLD_EVERY = 10

LEAST_MATVECS = 4

# What the values are called in logs and TensorBoard.
DEFAULT_NAME = "hessian"

# What counts as a small gradient and as curvature, as shares of the first measurement's.
EPS, GAMMA = 1e-2, 1e-3


class HessianCallback(keras.callbacks.Callback):
    """Measures both ends of the Hessian before the first epoch and after each.

    Training is left as it is: weights, optimizer state, random streams and
    statistics end bit for bit as without the callback.

    The values go into `logs` (the names in `SCALARS` after ``name`` and an underscore;
    NaN after an epoch that was not measured), so that callbacks *after* this one see
    them; into TensorBoard (`log_dir`), where step k means "after k epochs"; and into a file
    (`spectrum_path`), which a resumed `fit(initial_epoch=...)` reads and continues:
    rows of later epochs are dropped, and the search goes on from the stored vectors,
    so that it records what the uninterrupted run would have recorded.

    What is measured is the compiled loss in inference mode on the data given here: what
    `evaluate` reports, of arrays as one batch, of a data set over its batches. At
    the first measurement it is compared with the model's own `compute_loss`, and during
    the first epoch it is noted whether `fit` weighs its examples: a warning with both
    numbers tells of a difference. A line in the log says so where `evaluate` would report
    another loss in smaller batches. A model that is not built yet is built first, to the
    weights that its first step would give it.

    Args:
        x: Inputs over which the loss is averaged, or a data set; see `HessianOperator`. A
            data set that shuffles needs a second one for `fit`.
        y: Targets; None for a data set.
        every: Measure after every so many epochs. Epoch 0 is always measured.
        loss: The loss; the compiled one, with its `loss_weights`, when None.
        sample_weight, class_weight: Weights of the examples, as in `HessianOperator`.
        batch_size: Examples a micro-batch.
        steps: Batches of a data set, as in `HessianOperator`.
        variables, check: As in `HessianOperator`.
        name: What its values are called: "hessian" makes `logs["hessian_lambda_min"]` and
            TensorBoard's tag "hessian/lambda_min". Two callbacks in one `fit` need two names.
        tol: As in `extreme_eigenpairs`.
        max_matvecs: Products a measurement at most.
        max_share: Time for measuring as a share of the time for training, the
            measurement before the first epoch and the building of graphs not
            counted. An epoch whose measurement would exceed it is passed over,
            and a line in the log says so.
        log_dir: Where TensorBoard's event files go.
        spectrum_path: The .npz that keeps all measurements.
        save_always: Write that file after each measurement. If not, when `save` is called, by
            who saves the model so that both are of one epoch, and when training ends.
        eps, gamma: How small a gradient norm counts as zero, and how large a curvature
            counts, when the point is classified; see `classify_critical_point`. When
            None, 1e-2 of the gradient norm and 1e-3 of the larger |λ| of the first
            measurement: only the loss's own scale gives them a meaning.
        split: Measure the residual term R = H - G too (see `ResidualOperator`): both its ends,
            and its share in λ_min. The names of its values are in `SPLIT_SCALARS`. It takes
            about as long as the rest of the measurement.
        verify: "float64": values and residuals of both ends are made anew in float64 (see
            `extreme_eigenpairs`), so that their signs are certified. A model that cannot be
            computed in float64 is an error before training begins. The residual term's are not.
        strategy: As in `HessianOperator`.
        seed: With the epoch it decides the random start vectors.

    Attributes:
        measurements: All `Measurement`s so far, by epoch.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        every: int = 1,
        *,
        loss: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        variables: Any = None,
        check: bool = True,
        name: str = DEFAULT_NAME,
        tol: float = 1e-2,
        max_matvecs: int = 200,
        max_share: float | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        spectrum_path: str | os.PathLike[str] | None = None,
        save_always: bool = True,
        eps: float | None = None,
        gamma: float | None = None,
        split: bool = False,
        verify: Verify | None = None,
        strategy: tf.distribute.Strategy | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_verify(verify)
        if every < 1:
            raise ValueError(f"every must be at least 1. Received: {every=}")
        if max_share is not None and not max_share > 0:
            raise ValueError(f"max_share must be positive. Received: {max_share=}")
        if max_matvecs < LEAST_MATVECS:
            raise ValueError(
                f"max_matvecs must be at least {LEAST_MATVECS}: one for the search, one for the "
                f"gradient, two for the residuals. Received: {max_matvecs=}"
            )
        self.name = name
        self.every = every
        self.tol = tol
        self.max_matvecs = max_matvecs
        self.max_share = max_share
        self.log_dir = None if log_dir is None else Path(log_dir)
        self.spectrum_path = None if spectrum_path is None else Path(spectrum_path)
        self.save_always = save_always
        self._saved_epoch: int | None = None  # of the last row in the file
        self.eps, self.gamma = eps, gamma
        self.seed = seed
        self.measurements: list[Measurement] = []
        self._batches = make_batches(
            x,
            y,
            sample_weight=sample_weight,
            class_weight=class_weight,
            batch_size=batch_size,
            steps=steps,
        )
        self._options = {"variables": variables, "check": check, "strategy": strategy}
        self._loss = loss
        self.split = split
        self.verify = verify
        self._operator: HessianOperator | None = None
        self._residual: ResidualOperator | None = None
        self._measured_loss: Any = None
        self._first = 0  # of the measurements of the present loss; sets eps and gamma
        self._watch: FitWatch | None = None
        self._events: EventFile | None = None
        self._started = False
        self._training_seconds = self._measuring_seconds = self._epoch_began = 0.0

    @property
    def operator(self) -> HessianOperator:
        """The Hessian that is measured, for measurements of one's own between epochs.

        Raises:
            RuntimeError: before `fit` has begun.
        """
        if self._operator is None:
            raise RuntimeError("The callback has its operator once fit has begun.")
        return self._operator

    # Keras's events

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Prepare the operator; the first epoch tells where training starts.

        Raises:
            ValueError: no loss to measure, two callbacks of one name, or a model that is not
                built and cannot be without data.
        """
        # All callbacks are handed the same dictionary.
        if logs is not None and logs.setdefault(self.name, self) is not self:
            raise ValueError(
                f"Two HessianCallbacks are called {self.name!r}: give each its own name=..."
            )
        loss = self._loss_to_measure()
        if not self.model.built:
            _build(self.model, self._batches.spec[0])
        if self._is_stale(loss):
            found, weights = loss
            self._operator = HessianOperator(
                self.model,
                of_each_output(found) if self._loss is None else found,
                self._batches,
                loss_weights=weights,
                **self._options,
            )
            self._residual = ResidualOperator.of(self._operator) if self.split else None
            self._measured_loss, self._first = loss, len(self.measurements)
            if self.measurements:  # Vectors and scales of another loss.
                self.measurements[-1] = without_vectors(self.measurements[-1])
        self._started = False
        self._training_seconds = self._measuring_seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure the starting point, or continue the measurements of an earlier run."""
        if not self._started:
            self._started = True
            self._start(epoch)
            self._watch_fit()
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure if it is due, and put the values into `logs`."""
        self._training_seconds += time.perf_counter() - self._epoch_began
        values = dict.fromkeys([*SCALARS, *(SPLIT_SCALARS if self.split else ())], np.nan)
        self._end_watch((logs or {}).get("loss"))
        if (epoch + 1) % self.every == 0 and self._affordable(epoch + 1):
            found = self._measure(epoch + 1)
            values |= found.scalars()
            if found.residual_term is not None:
                values |= found.residual_term.scalars()
            self._measuring_seconds += values["seconds"]
        if logs is not None:
            logs.update({f"{self.name}_{key}": value for key, value in values.items()})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write what is not written yet, and close the event file."""
        self.save()
        self._end_watch(None)
        if self._events is not None:
            self._events.close()
            self._events = None

    def save(self) -> None:
        """Write the measurements to `spectrum_path`, if there are new ones.

        The file has the vectors of its last row and of the row that was last at the save
        before: a search can go on from either.

        Raises:
            OSError: it cannot be written.
        """
        if self.spectrum_path is None or not self.measurements:
            return
        if (last := self.measurements[-1].epoch) != self._saved_epoch:
            save_measurements(self.spectrum_path, self.measurements)
            self._saved_epoch = last

    # What they do

    def _loss_to_measure(self) -> tuple[Any, Any]:
        """The loss, and the weights of several outputs' losses."""
        if self._loss is not None:
            return self._loss, None
        return self.model.loss, compiled_loss_weights(self.model)

    def _is_stale(self, loss: Any) -> bool:
        """Whether the operator belongs to another model, loss or choice of variables."""
        if self._operator is None or self._operator.model is not self.model:
            return True
        chosen = select_variables(self.model, self._options["variables"])
        return self._measured_loss != loss or list(map(id, chosen)) != list(
            map(id, self._operator.variables)
        )

    def _watch_fit(self) -> None:
        self._end_watch(None)
        if self._loss is None:
            self._watch = FitWatch(self.model, compare_losses(self.operator))

    def _end_watch(self, reported: float | None) -> None:
        watch, self._watch = self._watch, None
        if watch is None:
            return
        watch.stop()
        if reported is not None:
            watch.warn(self.operator, float(reported), has_weights=self._batches.weighted)

    def _start(self, epoch: int) -> None:
        assert self._operator is not None
        if epoch and not self.measurements and self.spectrum_path and self.spectrum_path.exists():
            self.measurements, self._first = load_measurements(self.spectrum_path), 0
        # After epoch 0 the weights are those that the row was measured at; at 0 they
        # may have been drawn anew.
        self.measurements = [m for m in self.measurements if m.epoch <= epoch and epoch]
        self._saved_epoch = self.measurements[-1].epoch if self.measurements else None
        self._operator.prepare()
        if self.verify is not None:
            self._operator.in_float64()  # Now, and not after an epoch.
        if self._residual is not None:
            self._residual.prepare()
        self._first = min(self._first, len(self.measurements))
        if not self.measurements:
            self._measure(epoch)
        elif not len(self.measurements[-1].extremes.vectors):
            _log.warning(
                "The eigenvectors of epoch %d were not kept: the search starts anew, and its "
                "values will agree with the uninterrupted run's to the tolerance only.",
                self.measurements[-1].epoch,
            )

    def _measure(self, epoch: int) -> Measurement:
        assert self._operator is not None
        last = self.measurements[-1].extremes if self.measurements else None
        # By the epoch's number alone, so that a resumed run does the same.
        cold = epoch // self.every % COLD_EVERY == 0
        found = measure(
            self._operator,
            self.tol,
            epoch=epoch,
            max_matvecs=self.max_matvecs,
            warm_start=last if last is not None and len(last.vectors) and not cold else None,
            seed=self.seed,
            verify=self.verify,
        )
        found = replace(found, extremes=with_replaced_vector(found.extremes, last))
        if np.isnan(found.gradient_norm):
            _log.warning("Loss or gradient are not finite after %d epochs.", epoch)
        else:
            found = self._with_residual_term(self._classified(found), cold=cold)
        # A search goes on from the last vectors; a resumed training from those in the file.
        saved = self._saved_epoch
        earlier = [m if m.epoch == saved else without_vectors(m) for m in self.measurements]
        self.measurements = [*earlier, found]
        if self.log_dir is not None:
            self._write_summaries(found)
        if self.save_always:
            self.save()
        return found

    def _with_residual_term(self, found: Measurement, *, cold: bool) -> Measurement:
        if self._residual is None:
            return found
        last = self.measurements[-1].residual_term if self.measurements else None
        try:
            term = measure_residual_term(
                self._residual,
                found.extremes,
                self.tol,
                max_matvecs=self.max_matvecs,
                warm_start=last
                if last is not None and len(last.extremes.vectors) and not cold
                else None,
                seed=seed_of(self.seed, found.epoch),
            )
        except NonFiniteError:
            _log.warning("The residual term is not finite after %d epochs.", found.epoch)
            return found
        return replace(found, residual_term=term, seconds=found.seconds + term.seconds)

    def _classified(self, found: Measurement) -> Measurement:
        first = next(iter(self.measurements[self._first :]), found)
        size = float(np.abs(first.extremes.eigenvalues).max())
        eps = EPS * first.gradient_norm if self.eps is None else self.eps
        gamma = GAMMA * size if self.gamma is None else self.gamma
        # A first point without any curvature, or that is not finite, sets no scale.
        return found.classified(eps=eps, gamma=gamma) if eps >= 0 and gamma > 0 else found

    def _affordable(self, epoch: int) -> bool:
        if self.max_share is None or not self.measurements:
            return True
        last = self.measurements[-1]
        allowed = self.max_share * self._training_seconds
        if self._measuring_seconds + last.seconds <= allowed:
            return True
        _log.info(
            "The Hessian is not measured after epoch %d: %.2g s more would exceed "
            "max_share=%g of the %.2g s of training. Last measured after epoch %d.",
            epoch,
            last.seconds,
            self.max_share,
            self._training_seconds,
            last.epoch,
        )
        return False

    def _write_summaries(self, found: Measurement) -> None:
        if self._events is None:
            assert self.log_dir is not None
            self._events = EventFile(self.log_dir)
        for key, value in found.scalars().items():
            if key != KIND:
                self._write_scalar(found.epoch, key, value, SCALARS[key])
        for key, words in BOUND_SCALARS.items():
            if np.isfinite(bound := getattr(found, key)):
                self._write_scalar(found.epoch, key, bound, words)
        if found.residual_term is not None:
            for key, value in found.residual_term.scalars().items():
                self._write_scalar(found.epoch, key, value, SPLIT_SCALARS[key])
        # Kinds have no order: smoothing their codes would show kinds that never were.
        for kind, share in shares_of_kinds(self.measurements).items():
            key = f"{SHARE}_{kind.replace(' ', '_')}"
            words = f"Share of the measurements so far whose kind of point is: {kind}."
            self._write_scalar(found.epoch, key, share, words)
        if found.kind is not None:
            text = f"**{found.kind}**: {found.reason}"
            self._events.text(f"{self.name}/{KIND}", found.epoch, text)
        self._events.histogram(
            f"{self.name}/{HISTOGRAM}",
            found.epoch,
            found.extremes.ritz_values,
            description="Ritz values of the search: both ends are eigenvalues up to their "
            "residuals, those between are not, and their number is that of the products.",
        )
        self._events.flush()

    def _write_scalar(self, step: int, key: str, value: float, description: str) -> None:
        assert self._events is not None
        counted = f"{description} Step k: after k epochs; 0: the initial weights."
        self._events.scalar(f"{self.name}/{key}", step, value, counted)


def _build(model: keras.Model, spec: Any) -> None:
    """Build a model as its first step would, so that it can be measured before that.

    It is called on shapes, not on data: no random number is drawn and no state moves.

    Args:
        model: not built.
        spec: nested `tf.TensorSpec` of its inputs.

    Raises:
        ValueError: it cannot be called on shapes alone.
    """
    shapes = keras.tree.map_structure(lambda s: keras.KerasTensor(s.shape, s.dtype.name), spec)
    try:
        model(shapes, training=False)
    except Exception as error:
        raise ValueError(
            f"The model {model.name!r} is not built, and cannot be built without data "
            f"({type(error).__name__}): call it once on some of them before fit."
        ) from error
