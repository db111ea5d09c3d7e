"""Make the runs: the report's network, real prices, Keras's own optimizers.

One graph an optimizer and kind of batches makes all steps of a run, so that each is compiled
once: the prices' scale, the rate and the goal are arguments of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature import HessianOperator
from stock_rnn.data import StockDataSet
from stock_rnn.network import build_model
from stock_rnn.optimizers import SaddleFreeNewton, make_optimizer
from stock_rnn.study import registry
from stock_rnn.study.escape import plan, record
from stock_rnn.study.escape.plan import FULL, Run
from stock_rnn.study.escape.record import EscapeRecord
from stock_rnn.study.run.saddle_start import Saddle, constructed_saddle
from stock_rnn.workers.environment import use_one_thread, versions

#: Units of the report's smallest network, in one layer.
UNITS = 32

# Whether XLA compiles the steps: for thousands of them it pays.
_COMPILED = True

# Mini-batches that are handed to the graph at once.
_CHUNK = 2_000

# What the graph hands on: steps; the steps of the escape and of settling, -1 before; for how
# many steps the loss was low; the distance along v_min; the loss.
State = tuple[Any, ...]


def make(runs: Sequence[Run], dataset: StockDataSet, sha256: str, folder: Path) -> int:
    """Make runs whose records are missing, and write each as it ends. It computes on one thread.

    Args:
        runs: all of one optimizer and kind of batches, so that they share a graph.
        dataset: its training examples are used; windows of one price.
        sha256: of the prices.
        folder: of the records; it exists.

    Returns:
        How many were made.

    Raises:
        RuntimeError: TensorFlow already runs with several threads.
    """
    use_one_thread()
    tf.config.experimental.enable_op_determinism()
    here, made = versions(), 0
    trainer = None
    for run in runs:
        key = run.key(sha256, here)
        if (folder / f"{key}.json").exists():
            continue
        if trainer is None:
            kind = _Newton if run.optimizer == "saddle-free-newton" else _FirstOrder
            trainer = kind(run.optimizer, run.batches, dataset)
        record.save(folder, _record(key, run, trainer, here))
        made += 1
    return made


def _record(key: str, run: Run, trainer: _Trainer, here: dict[str, str]) -> EscapeRecord:
    begin = time.process_time()
    saddle = trainer.place(run)
    steps, escaped, settled, _, _, loss = trainer.train(run)
    first, second = couplings_of(saddle)
    relative = float(loss) / trainer.loss_at_saddle
    return EscapeRecord(
        key=key,
        run=run,
        registry=registry.name(),
        versions=here,
        couplings=(first * run.scale, second * run.scale),
        eigenvalue=saddle.eigenvalue * run.scale,
        weights=sum(int(np.prod(v.shape)) for v in trainer.variables),
        escaped=float(escaped) if escaped >= 0 else math.inf,
        settled=float(settled) if settled >= 0 else math.inf,
        diverged=not math.isfinite(relative),
        loss=relative if math.isfinite(relative) else math.inf,
        steps=int(steps),
        seconds=time.process_time() - begin,
    )


def couplings_of(saddle: Saddle) -> tuple[float, float]:
    """∂²L/∂w∂k and ∂²L/∂w∂β of the unit of v_min, read from its eigenvector and eigenvalue."""
    unit = int(np.abs(saddle.direction[3]).argmax())
    units = len(saddle.direction[3])
    size = abs(saddle.eigenvalue) / np.sqrt(0.5)
    column = 2 * units + unit
    return float(saddle.direction[0][0, column] * size), float(saddle.direction[2][column] * size)


class _Trainer:
    """The network with its head's bias frozen, placed at saddles and trained from there."""

    def __init__(self, dataset: StockDataSet) -> None:
        self._x = np.asarray(dataset.train_X, np.float64)
        self._y = np.asarray(dataset.train_y, np.float64)
        self.model = network(self._x.shape[1])
        self.variables = list(self.model.trainable_variables)
        self.loss_at_saddle = math.nan

    def place(self, run: Run) -> Saddle:
        """Set weights, labels and state to the start of a run; the saddle of scale 1."""
        saddle = saddle_of_seed(run.seed, self._x, self._y)
        start = saddle.weights_at(plan.RADIUS)
        start[-1] = start[-1] * run.scale
        self.model.set_weights(start)
        self.labels = tf.constant(self._y * run.scale, tf.float32)
        self.inputs = tf.constant(self._x, tf.float32)
        self.saddle = [tf.constant(part, tf.float32) for part in saddle.weights[:-1]]
        self.direction = [tf.constant(part, tf.float32) for part in saddle.direction[:-1]]
        self.loss_at_saddle = float(np.mean((plan.FROZEN_BIAS - self._y) ** 2)) * run.scale**2
        return saddle

    def train(self, run: Run) -> State:
        """Make the steps."""
        raise NotImplementedError

    def distance(self, saddle: Sequence[Any], direction: Sequence[Any]) -> Any:
        """The signed distance from the saddle along v_min."""
        parts = zip(self.variables, saddle, direction, strict=True)
        return tf.add_n([tf.reduce_sum((v - s) * d) for v, s, d in parts])


def network(steps: int) -> keras.Model:
    """The report's smallest network without dropout, the head's bias frozen."""
    model = build_model(num_steps=steps, lstm_size=UNITS, keep_prob=1)
    model.layers[-1].bias.trainable = False
    return model


def saddle_of_seed(seed: int, x: np.ndarray, y: np.ndarray) -> Saddle:
    """The saddle with the initial gates of a seed and the bias `plan.FROZEN_BIAS`.

    Args:
        seed: of Keras's initial weights.
        x, y: (n, T, 1) and (n, 1), at scale 1.
    """
    keras.utils.set_random_seed(seed)
    drawn = [w.astype(np.float64) for w in network(x.shape[1]).get_weights()]
    return constructed_saddle(drawn, x, y, frozen_bias=plan.FROZEN_BIAS)


class _FirstOrder(_Trainer):
    """Steps by the gradient, many in one call of a graph."""

    def __init__(self, optimizer: str, batches: str, dataset: StockDataSet) -> None:
        super().__init__(dataset)
        if optimizer == "perturbed":
            noise = {"radius": plan.NOISE}
            self.optimizer = make_optimizer("sgd", plan.REPORT_RATE, perturbation=noise)
        else:
            self.optimizer = make_optimizer(optimizer, plan.REPORT_RATE)
        self.optimizer.build(self.variables)
        self._mini = batches != FULL
        self._state = [np.array(v) for v in map(tf.convert_to_tensor, self.optimizer.variables)]
        self._graph = tf.function(self._steps, jit_compile=_COMPILED)

    def place(self, run: Run) -> Saddle:
        saddle = super().place(run)
        for variable, value in zip(self.optimizer.variables, self._state, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate = run.rate
        if run.optimizer == "perturbed":
            # Noise is a function of the count of steps: every seed has a stretch of its own.
            # Nothing else of this optimizer depends on the count; Adam's first steps would.
            self.optimizer.iterations.assign(run.seed * 10_000_000)
        return saddle

    def train(self, run: Run) -> State:
        state: State = (0, -1, -1, 0, plan.RADIUS, self.loss_at_saddle)
        for order in self._orders(run.seed):
            until = min(run.limit, int(state[0]) + len(order)) if self._mini else run.limit
            # As tensors: Python's numbers would make the graph anew.
            counts = [tf.constant(int(v), tf.int32) for v in state[:4]]
            state = self._graph(
                *counts,
                *(tf.constant(float(v), tf.float32) for v in state[4:]),
                tf.constant(order),
                tf.constant(until, tf.int32),
                tf.constant(run.goal == "settle"),
                tf.constant(plan.SETTLED_SHARE * self.loss_at_saddle, tf.float32),
                self.inputs,
                self.labels,
                self.saddle,
                self.direction,
            )
            state = tuple(part.numpy() for part in state)
            reached = state[2] if run.goal == "settle" else state[1]
            if reached >= 0 or state[0] >= run.limit or not np.isfinite(state[4:]).all():
                return state
        raise AssertionError("orders do not end")

    def _orders(self, seed: int) -> Iterator[np.ndarray]:
        """Chunks of mini-batches, (k, B) positions; every epoch is shuffled, its rest left out."""
        rng, count = np.random.default_rng(seed), len(self._x)
        width = min(plan.BATCH, count)
        per_epoch = count // width
        while True:
            if not self._mini:
                yield np.zeros((1, 1), np.int32)
                continue
            epochs = -(-_CHUNK // per_epoch)
            drawn = [rng.permutation(count)[: per_epoch * width] for _ in range(epochs)]
            yield np.concatenate(drawn).reshape(-1, width).astype(np.int32)

    def _steps(
        self, step: Any, escaped: Any, settled: Any, low: Any, at: Any, loss: Any,
        order: Any, until: Any, settle: Any, target: Any,
        inputs: Any, labels: Any, saddle: Any, direction: Any,
    ) -> State:  # fmt: skip
        """Steps until a count, the goal, or a number that is not finite."""
        first = step
        while (
            step < until
            and tf.math.is_finite(at + loss)
            and ((settle and settled < 0) or (not settle and escaped < 0))
        ):
            x, y = inputs, labels
            if self._mini:
                x, y = (tf.gather(part, order[step - first]) for part in (inputs, labels))
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self.model(x) - y))
            self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
            low = tf.where(loss <= target, low + 1, 0)
            settled = tf.where(low >= plan.SETTLED_STEPS, step - plan.SETTLED_STEPS + 1, settled)
            step += 1
            at = self.distance(saddle, direction)
            away = tf.abs(at) >= plan.FACTOR * plan.RADIUS
            escaped = tf.where(away & (escaped < 0), step, escaped)
        return step, escaped, settled, low, at, loss


class _Newton(_Trainer):
    """Saddle-free Newton: a step needs the Hessian, and has no rate."""

    def __init__(self, optimizer: str, batches: str, dataset: StockDataSet) -> None:
        super().__init__(dataset)
        self._operator = HessianOperator(
            self.model, "mse", self._x, self._y, variables=self.variables, batch_size=len(self._y)
        )

    def train(self, run: Run) -> State:
        operator = self._operator.with_data(self._x, self._y * run.scale)
        optimizer = SaddleFreeNewton()
        optimizer.build(self.variables)
        for step in range(1, run.limit + 1):
            optimizer.step(operator, self.variables)
            at = float(self.distance(self.saddle, self.direction))
            if abs(at) >= plan.FACTOR * plan.RADIUS:
                return step, step, -1, 0, at, operator.loss()
        return run.limit, -1, -1, 0, at, operator.loss()
