"""A small protocol, and records that no training made."""

import concurrent.futures
import math

import numpy as np

from stock_rnn.study import records, registry
from stock_rnn.study.records import Record
from stock_rnn.study.tuned.plan import Subject, task_of

#: Settings that say which prices; the records hold none.
DATA = {"period": "6mo"}

EPOCHS = 50

#: The registry's protocol with fewer optimizers and rates.
PROTOCOL = {
    **registry.load("tuned-1")["protocol"],
    "networks": [
        {
            "network": [1, 32],
            "optimizers": ["sgd", "rmsprop"],
            "rates": [1e-4, 1e-3, 1e-2],
            "search_seeds": [0, 1],
        },
        *(
            {
                "network": network,
                "optimizers": ["sgd", "rmsprop"],
                "rates": [1e-3, 1e-2],
                "search_seeds": [0],
            }
            for network in ([1, 128], [5, 128], [1, 512])
        ),
    ],
    "without_a_rate": [{"network": [1, 32], "optimizers": ["saddle-free-newton"]}],
}

#: Optimizer -> log10 of the rate at which its losses are lowest.
BEST = {"sgd": -2.0, "rmsprop": -3.0, "saddle-free-newton": -3.0}


def made(task, key="", **columns):
    """A record of a task with these columns, each of a value before training and each epoch."""
    columns = {name: np.asarray(values, float) for name, values in columns.items()}
    return Record(
        key=key or f"{hash(task) & 0xFFFFFFFFFFFFFFFF:016x}",
        task=task,
        data={"symbol": "^GSPC"},
        versions={"keras": "3"},
        seconds=1.0,
        steps_per_epoch=20,
        diverged=None,
        epochs={"epoch": np.arange(EPOCHS + 1.0), "step": np.arange(EPOCHS + 1.0), **columns},
        persistence={"train": 1e-4, "validation": 1e-4, "test": 1e-4},
        predictions={},
        saddle={},
        registry=registry.name(),
    )


def run_at(optimizer, rate, seed, *, network=(1, 32), validation=1e-4, test=1e-4, **columns):
    """The record of a run whose losses do not change with the epoch."""
    task = task_of(DATA, Subject(network, optimizer), rate, seed)
    sets = {"train": 1e-4, "validation": validation, "test": test}
    losses = {f"{name}_loss": np.full(EPOCHS + 1, value) for name, value in sets.items()}
    return made(task, **{**losses, "train_seconds": np.full(EPOCHS + 1, 0.01), **columns})


def trained(task, prices):
    """What a training that follows a formula leaves: losses grow with the distance from `BEST`.

    The test loss falls where the validation loss rises: who chose by it would choose otherwise.
    """
    config = task.config
    off = abs(math.log10(config.init_learning_rate) - BEST[config.optimizer])
    wide = 1.0 + 0.1 * math.log2(config.lstm_size * config.num_layers / 32)
    noise = 1.0 + 0.01 * ((7 * config.seed) % 11)
    falling = 100.0 ** (1.0 - np.arange(EPOCHS + 1) / EPOCHS)
    validation = 1e-4 * (1.0 + off) * wide * noise * falling
    columns = {
        "train_loss": validation,
        "validation_loss": validation,
        "test_loss": 1e-4 * noise / (1.0 + off) * falling,
        "train_seconds": np.full(EPOCHS + 1, 0.01),
    }
    on = {f"{name}_dropout": 1.1 * of for name, of in columns.items() if name.endswith("loss")}
    return made(task, task.key(prices.sha256, records.versions()), **columns, **on)


class Submitted:
    """Starts tasks by `trained`, and counts them.

    Attributes:
        tasks: in the order in which they came.
    """

    def __init__(self):
        self.tasks = []

    def __call__(self, task, prices):
        self.tasks.append(task)
        future = concurrent.futures.Future()
        future.set_result(trained(task, prices))
        return future
