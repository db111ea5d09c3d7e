"""What the study measures while a network trains; nothing of it changes the training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stock_rnn.curvature import (
    HessianCallback,
    extreme_eigenpairs,
    negative_fraction,
    negative_subspace_share,
    preconditioned,
    spectral_density,
    stability_line,
)
from stock_rnn.data import StockDataSet
from stock_rnn.study.plan import Task
from stock_rnn.study.run.saddle_start import Saddle

Array = NDArray[np.float64]

#: Eigenvalues count as negative below -this · max|λ|: what float32 can tell from zero.
INDEX_THRESHOLD = 1e-6

_DENSITY_STEPS = 25
_SHARE_STEPS = 15


class Losses:
    """Mean squared errors over whole sets, with dropout off and on.

    Dropout on is the appendix's way of testing. The masks come from the model's
    own seed generators, set to numbers of (seed, epoch) and put back afterwards, so
    that training draws what it would have drawn.

    Args:
        model: the network.
        dataset: its training and test set.
        seed: of the masks.
    """

    def __init__(self, model: keras.Model, dataset: StockDataSet, seed: int) -> None:
        self._forward = tf.function(model, reduce_retracing=True)
        self._generators = [
            layer.seed_generator.state
            for layer in model.layers
            if isinstance(layer, keras.layers.Dropout)
        ]
        sets = {"train": dataset.train, "test": dataset.test}
        self._x = {name: tf.constant(dataset.inputs(of), tf.float32) for name, of in sets.items()}
        self._y = {name: dataset.labels(of) for name, of in sets.items()}
        self._seed = seed

    def measure(self, epoch: int) -> dict[str, float]:
        """The four losses by their column names."""
        losses = {}
        for name in self._x:
            losses[f"{name}_loss"] = self._error(name, self.predict(name))
            dropped = self.predict_with_dropout(name, epoch)
            losses[f"{name}_loss_dropout"] = self._error(name, dropped)
        return losses

    def predict(self, name: str) -> Array:
        """Predictions (k, N) of the set "train" or "test", dropout off."""
        return np.asarray(self._forward(self._x[name], training=False), np.float64)

    def predict_with_dropout(self, name: str, epoch: int) -> Array:
        """Predictions (k, N) of the set, dropout on."""
        with self._masks_of(epoch):
            return np.asarray(self._forward(self._x[name], training=True), np.float64)

    def _error(self, name: str, predicted: Array) -> float:
        return float(np.mean((predicted - self._y[name]) ** 2))

    @contextlib.contextmanager
    def _masks_of(self, epoch: int) -> Iterator[None]:
        kept = [state.numpy() for state in self._generators]
        for layer, state in enumerate(self._generators):
            # Far from the small numbers that Keras draws its own streams' seeds as.
            drawn = np.random.SeedSequence([self._seed, epoch, layer]).generate_state(2)
            state.assign(drawn.astype(kept[layer].dtype))
        yield
        for state, value in zip(self._generators, kept, strict=True):
            state.assign(value)


class Observer(keras.callbacks.Callback):
    """Keeps a row before the first epoch and after each.

    Args:
        task: what is trained, and how much of it is measured.
        losses: of its network.
        curvature: the callback before this one, or None.
        steps_per_epoch: to count steps.
        saddle: where the run starts beside, if it does.

    Attributes:
        rows: column -> value, a dict an epoch; NaN where nothing was measured.
    """

    def __init__(
        self,
        task: Task,
        losses: Losses,
        curvature: HessianCallback | None,
        steps_per_epoch: int,
        saddle: Saddle | None = None,
    ) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._task, self._losses, self._curvature = task, losses, curvature
        self._steps_per_epoch = steps_per_epoch
        self._saddle = saddle
        self._before: Array = np.empty(0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the first row, and where a step begins whose direction will be asked for."""
        if not self.rows:
            self._add_row(0)
        if epoch + 1 in self._task.deep:
            self._before = self._weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep a row."""
        self._add_row(epoch + 1)

    def _add_row(self, epoch: int) -> None:
        row = {
            "epoch": epoch,
            "step": epoch * self._steps_per_epoch,
            "learning_rate": float(self.model.optimizer.learning_rate.numpy()),
        }
        if self._saddle is None:
            row |= self._losses.measure(epoch)
        else:
            weights = [w.astype(np.float64) for w in self.model.get_weights()]
            row |= {"train_loss": self._losses.measure(epoch)["train_loss"]} | {
                "displacement": self._saddle.displacement(weights)
            }
        row |= self._ends(epoch)
        if epoch in self._task.deep:
            row |= self._deep(epoch)
        self.rows.append(row)

    def _ends(self, epoch: int) -> dict[str, float]:
        if self._curvature is None or not self._curvature.measurements:
            return {}
        last = self._curvature.measurements[-1]
        if last.epoch != epoch:
            return {}
        ends = last.extremes
        return {
            "gradient_norm": last.gradient_norm,
            "lambda_min": ends.lambda_min,
            "lambda_max": ends.lambda_max,
            "residual_min": ends.residual_min,
            "residual_max": ends.residual_max,
            "rounding": ends.rounding,
            "certified_negative": float(ends.certified_negative),
            "converged": float(ends.converged),
            "matvecs": last.matvecs,
        }

    def _deep(self, epoch: int) -> dict[str, float]:
        assert self._curvature is not None, "a task with deep measurements has a Hessian"
        op = self._curvature.operator
        seed = int(np.random.SeedSequence([self._task.config.seed, epoch]).generate_state(1)[0])
        density = spectral_density(op, probes=self._task.probes, steps=_DENSITY_STEPS, seed=seed)
        index = negative_fraction(density, threshold=INDEX_THRESHOLD)
        row = {
            "negative_index": index.value,
            "negative_index_error": index.standard_error,
            "negative_index_lower": index.lower,
            "negative_index_upper": index.upper,
        }
        row |= self._share("gradient", op, op.gradient())
        if len(self._before):
            row |= self._share("update", op, self._weights() - self._before)
        return row | self._as_the_optimizer_sees_it(op, seed)

    def _share(self, name: str, op: Any, vector: Array) -> dict[str, float]:
        share = negative_subspace_share(op, vector, threshold=INDEX_THRESHOLD, steps=_SHARE_STEPS)
        prefix = f"{name}_negative_share"
        return {prefix: share.value, f"{prefix}_lower": share.lower, f"{prefix}_upper": share.upper}

    def _as_the_optimizer_sees_it(self, op: Any, seed: int) -> dict[str, float]:
        optimizer = self.model.optimizer
        if not int(optimizer.iterations.numpy()) and isinstance(optimizer, keras.optimizers.Adam):
            return {}  # Adam's preconditioner is 0/0 before its first step.
        ends = extreme_eigenpairs(preconditioned(op, optimizer), max_matvecs=60, seed=seed)
        return {
            "preconditioned_min": ends.lambda_min,
            "preconditioned_max": ends.lambda_max,
            "preconditioned_residual_min": ends.residual_min,
            "preconditioned_residual_max": ends.residual_max,
            "stability_line": stability_line(optimizer),
        }

    def _weights(self) -> Array:
        parts = [v.numpy().ravel() for v in self.model.trainable_variables]
        return np.concatenate(parts).astype(np.float64)


class StopWhen(keras.callbacks.Callback):
    """Ends a training once a condition on the rows so far holds."""

    def __init__(self, observer: Observer, holds: Callable[[list[dict[str, float]]], bool]) -> None:
        super().__init__()
        self._observer, self._holds = observer, holds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if it holds."""
        if self._holds(self._observer.rows):
            self.model.stop_training = True
