"""Callbacks of a study's training: what is measured by epoch, and when to stop.

Measuring does not change the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
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
from stock_rnn.network.gradient_flow import GradientProbe, reach
from stock_rnn.study.plan import NETWORKS, Task
from stock_rnn.study.run.losses import MASKS, Losses
from stock_rnn.study.run.objective import Objective
from stock_rnn.study.run.saddle_start import Saddle

Array = NDArray[np.float64]

#: An eigenvalue is negative below -INDEX_THRESHOLD · max|λ|: float32 cannot tell smaller
#: ones from zero.
INDEX_THRESHOLD = 1e-6

# Epochs between two losses of networks larger than the smallest.
_LOSSES_EVERY = 10

# Lanczos steps of the density and of the negative subspace's share.
_DENSITY_STEPS = 25
_SHARE_STEPS = 15


class Observer(keras.callbacks.Callback):
    """Measures before the first epoch and after each one.

    Args:
        task: what is trained, and what is measured.
        losses: of its network.
        curvature: the callback that measures curvature, called before this one; or None.
        steps_per_epoch: optimizer steps in an epoch.
        saddle: that the run starts at, if it does.
        objective: the loss that the training descends, measured when the curvature is; or None.
        flow: measures the gradient's flow through time; or None.

    Attributes:
        rows: a dict for each measurement, column -> value; a column that was not measured
            is missing.
    """

    def __init__(
        self,
        task: Task,
        losses: Losses,
        curvature: HessianCallback | None,
        steps_per_epoch: int,
        saddle: Saddle | None = None,
        objective: Objective | None = None,
        flow: GradientProbe | None = None,
    ) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._task, self._losses, self._curvature = task, losses, curvature
        self._steps_per_epoch = steps_per_epoch
        self._saddle, self._objective, self._flow = saddle, objective, flow
        self._before: Array = np.empty(0)
        self._begun = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the first row; keep the weights if the epoch's update will be measured."""
        if not self.rows:
            self._add_row(0)
        if epoch + 1 in self._task.detailed_epochs:
            self._before = self._weights()
        self._begun = time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add a row."""
        seconds = time.process_time() - self._begun
        self._add_row(epoch + 1)
        if self._task.config.validation_ratio:
            self.rows[-1]["train_seconds"] = seconds

    def _add_row(self, epoch: int) -> None:
        row = {
            "epoch": epoch,
            "step": epoch * self._steps_per_epoch,
            "learning_rate": float(self.model.optimizer.learning_rate.numpy()),
        }
        row |= self._place() if self._saddle else self._measured_losses(epoch)
        row |= self._extremes(epoch)
        if self._objective and ("gradient_norm" in row or self._task.schedule != "decay"):
            row |= self._objective.measure()
        if self._flow and epoch in (0, self._task.config.max_epoch):
            row |= self._measured_flow(self._flow)
        if epoch in self._task.detailed_epochs:
            row |= self._details(epoch) if self._task.probes else {}
            row |= self._objective.details(epoch) if self._objective else {}
        self.rows.append(row)

    def _place(self) -> dict[str, float]:
        """The loss, and where a run that started at a saddle is."""
        assert self._saddle is not None
        weights = [w.astype(np.float64) for w in self.model.get_weights()]
        return {
            "train_loss": self._losses.train_loss(),
            "displacement": self._saddle.displacement(weights),
        }

    def _measured_losses(self, epoch: int) -> dict[str, float]:
        """Losses at the epochs that are due; draws of masks are costly for several layers.

        Where examples validate, the processor's seconds of each epoch of training are measured
        too: its steps and the loss that its loop watches, without what is measured here.
        """
        config = self._task.config
        if self._task.schedule != "decay":
            return {"train_loss": self._losses.train_loss()}
        last = epoch == config.max_epoch
        small = (config.num_layers, config.lstm_size) == NETWORKS[0]
        due = small or last or epoch % _LOSSES_EVERY == 0
        if config.validation_ratio and not last:
            # Every epoch, for the time to a target, but without draws of masks.
            sets = ("train", "validation", "test") if due else ("validation",)
            return {f"{name}_loss": self._losses.loss(name) for name in sets}
        if not due:
            return {}
        return self._losses.measure(epoch, MASKS if last or config.num_layers == 1 else 1)

    def _measured_flow(self, probe: GradientProbe) -> dict[str, float]:
        """By what factor a step back in time changes the gradient by the state, on average."""
        flow = probe.measure()
        steps = self._task.config.num_steps - 1
        (states,) = flow.states.values()
        row = {"flow_of_state": reach(states) ** (1.0 / steps)}
        for memories in flow.memories.values():
            row["flow_of_memory"] = reach(memories) ** (1.0 / steps)
        return row

    def _extremes(self, epoch: int) -> dict[str, float]:
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
            # The name is older than the word "resolved", and that of files.
            "certified_negative": float(ends.resolved_negative),
            "converged": float(ends.converged),
            "matvecs": last.matvecs,
        }

    def _details(self, epoch: int) -> dict[str, float]:
        assert self._curvature is not None, "a task with detailed epochs measures curvature"
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
        return row | self._preconditioned_ends(op, seed)

    def _share(self, name: str, op: Any, vector: Array) -> dict[str, float]:
        share = negative_subspace_share(op, vector, threshold=INDEX_THRESHOLD, steps=_SHARE_STEPS)
        prefix = f"{name}_negative_share"
        return {prefix: share.value, f"{prefix}_lower": share.lower, f"{prefix}_upper": share.upper}

    def _preconditioned_ends(self, op: Any, seed: int) -> dict[str, float]:
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


class InverseSqrt(keras.callbacks.Callback):
    """Divides the learning rate by √(epoch + 1): the step size of section 4.3.5's theorem.

    Args:
        rate: of the first epoch.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the learning rate."""
        self.model.optimizer.learning_rate = self._rate / (epoch + 1) ** 0.5


class StopWhen(keras.callbacks.Callback):
    """Stops a training when a condition on the rows holds.

    Args:
        observer: that collects the rows, called before this one.
        condition: rows so far -> whether to stop.
    """

    def __init__(
        self, observer: Observer, condition: Callable[[list[dict[str, float]]], bool]
    ) -> None:
        super().__init__()
        self._observer, self._condition = observer, condition

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if the condition holds."""
        if self._condition(self._observer.rows):
            self.model.stop_training = True
