"""How far Keras's forms of the optimizers and the lectures' move the loss apart.

    python -m benchmarks.optimizer_forms

The network of table 5.2 on the bundled prices, the same seed, batches and dropout masks, by
both forms; printed is the largest difference of an epoch's training loss, relative to Keras's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from stock_rnn.config import Config
from stock_rnn.curvature.keras_private import variable_index
from stock_rnn.data import StockDataSet, dataset_of, prices_of
from stock_rnn.network import build_model
from stock_rnn.optimizers import make_optimizer
from stock_rnn.training.epochs import EpochTrainer

EPOCHS = 50
RATES = (0.001, 0.05)


class _Form(keras.optimizers.Optimizer):
    """w <- w - lr·(what `direction` says), with two states a variable, both from zero."""

    def __init__(self, learning_rate: float, direction: Callable[..., Any]) -> None:
        super().__init__(learning_rate=learning_rate)
        self._direction = direction

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._first = [self.add_variable_from_reference(v, name="first") for v in variables]
        self._second = [self.add_variable_from_reference(v, name="second") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index, t = variable_index(self, variable), ops.cast(self.iterations + 1, "float32")
        v, r = self._first[index], self._second[index]
        rate = ops.cast(learning_rate, "float32")
        new_v, new_r, step = self._direction(gradient, v.value, r.value, t, rate)
        self.assign(v, new_v)
        self.assign(r, new_r)
        self.assign_sub(variable, step)


def _lecture_adam(g: Any, v: Any, r: Any, t: Any, rate: Any) -> Any:
    v, r = 0.9 * v + 0.1 * g, 0.999 * r + 0.001 * g * g
    corrected = v / (1 - 0.9**t)
    return v, r, rate * corrected / ops.sqrt(r / (1 - 0.999**t) + 1e-7)


def _goodfellow_adagrad(g: Any, v: Any, r: Any, t: Any, rate: Any) -> Any:
    r = r + g * g
    return v, r, rate * g / (1e-7 + ops.sqrt(r))


def _goodfellow_rmsprop(g: Any, v: Any, r: Any, t: Any, rate: Any) -> Any:
    r = 0.9 * r + 0.1 * g * g
    return v, r, rate * g / ops.sqrt(1e-6 + r)


class _LectureNesterov(keras.optimizers.SGD):
    """Keras's steps, shown at the lecture's point: w = (Keras's w) - momentum·v."""

    def at_lectures_point(self, variables: list[keras.Variable]) -> list[Any]:
        return [
            v.numpy() - self.momentum * m.numpy()
            for v, m in zip(variables, self.momentums, strict=True)
        ]


def losses(optimizer: keras.Optimizer, dataset: StockDataSet) -> np.ndarray:
    """(EPOCHS,): the training loss by epoch; Nesterov's at the lecture's point: dropout off."""
    keras.utils.set_random_seed(0)
    model = build_model(num_steps=3, lstm_size=32)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=False)
    optimizer.build(model.trainable_variables)
    trainer = EpochTrainer(model, dataset, batch_size=64, shuffle="batches", seed=0)
    found = []
    for epoch in range(EPOCHS):
        loss = trainer.train(epoch)["loss"]
        if isinstance(optimizer, keras.optimizers.SGD):
            loss = _test_loss(trainer, optimizer)
        found.append(loss)
    return np.array(found)


def _test_loss(trainer: EpochTrainer, optimizer: keras.optimizers.SGD) -> float:
    variables = trainer.model.trainable_variables
    if not isinstance(optimizer, _LectureNesterov):
        return trainer.test()
    kept = [v.numpy() for v in variables]
    for variable, value in zip(variables, optimizer.at_lectures_point(variables), strict=True):
        variable.assign(value)
    loss = trainer.test()
    for variable, value in zip(variables, kept, strict=True):
        variable.assign(value)
    return loss


def main() -> None:
    """Print the table."""
    config = Config()
    dataset = dataset_of(config, prices_of(config))
    forms: dict[str, tuple[str, Callable[[float], keras.Optimizer]]] = {
        "adagrad, Goodfellow's: r from 0, delta + sqrt(r)": (
            "adagrad",
            lambda rate: _Form(rate, _goodfellow_adagrad),
        ),
        "rmsprop, Goodfellow's: delta 1e-6": (
            "rmsprop",
            lambda rate: _Form(rate, _goodfellow_rmsprop),
        ),
        "adam, the lecture's: sqrt(r + epsilon)": ("adam", lambda rate: _Form(rate, _lecture_adam)),
        "nesterov, test loss at the lecture's w": (
            "nesterov",
            lambda rate: _LectureNesterov(rate, momentum=0.9, nesterov=True),
        ),
    }
    for rate in RATES:
        for name, (ours, other) in forms.items():
            by_keras = losses(make_optimizer(ours, rate), dataset)
            by_form = losses(other(rate), dataset)
            apart = np.abs(by_form / by_keras - 1)
            print(
                f"lr {rate:<6} {name:50} largest {apart.max():8.1%} in epoch {apart.argmax() + 1}, "
                f"last {apart[-1]:8.1%} ({by_keras[-1]:.3g}, {by_form[-1]:.3g})",
                flush=True,
            )


if __name__ == "__main__":
    main()
