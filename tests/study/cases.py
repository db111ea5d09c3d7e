"""Tasks, records and studies that several tests share."""

import dataclasses
import math

import numpy as np

from stock_rnn.config import Config
from stock_rnn.prices import load_prices
from stock_rnn.study.plan import PROTOCOLS, SEEDS, Scope, Task, plan
from stock_rnn.study.records import Record, Study
from tests.once import shared_folder

INF, NAN = math.inf, math.nan


def small_task(optimizer, seed, **settings):
    """A training of a second, with every kind of measurement."""
    config = Config(
        period="6mo", num_steps=2, max_epoch=3, optimizer=optimizer, seed=seed, **settings
    )
    return Task(config=config, detailed_epochs=(0, 3), probes=2)


def saddle_starts(optimizers, seeds, max_epoch, **settings):
    """The plan's starts at a saddle, but shorter."""
    planned = plan(settings, Scope(seeds=seeds, optimizers=optimizers, sweeps=False))
    return [
        dataclasses.replace(task, config=dataclasses.replace(task.config, max_epoch=max_epoch))
        for task in planned
        if task.start == "saddle"
    ]


#: Four that train, one whose loss diverges, one that starts at a saddle.
SMALL_TASKS = [
    *(small_task(name, seed) for name in ("sgd", "adam") for seed in (0, 1)),
    small_task("sgd", 0, init_learning_rate=1e3),
    *saddle_starts(("rmsprop",), 1, 3, period="6mo"),
]

#: The study of `tests/cli/short_study.py`.
SHORT_STUDY = [SMALL_TASKS[0], SMALL_TASKS[4], SMALL_TASKS[5]]


def small_prices():
    """The prices of `SMALL_TASKS`."""
    return load_prices("^GSPC", source="bundled", csv=None, period="6mo", start=None, end=None)


def small_folder(tmp_path_factory):
    """The folder with the records of `SMALL_TASKS`, made once in a session of pytest.

    Tests that change it must copy it.
    """
    from stock_rnn.study.run.sweep import sweep
    from stock_rnn.study.run.workers import local_processes

    with shared_folder(tmp_path_factory, "small_runs") as folder, local_processes(1) as submit:
        sweep(SMALL_TASKS, small_prices(), folder, submit)
    return folder


def made_record(
    optimizer="sgd",
    seed=0,
    *,
    network=(1, 32),
    protocol="appendix",
    start="drawn",
    diverged=None,
    predictions=None,
    **columns,
):
    """A record with these columns; a number is the last value of its column."""
    columns = {
        name: np.array([NAN, values] if np.ndim(values) == 0 else values, dtype=float)
        for name, values in columns.items()
    }
    rows = max([2, *map(len, columns.values())])
    config = Config(
        **PROTOCOLS[protocol],
        optimizer=optimizer,
        seed=seed,
        num_layers=network[0],
        lstm_size=network[1],
    )
    return Record(
        key=f"{optimizer}-{network[0]}x{network[1]}-{start}-{protocol}-{seed}",
        task=Task(config=config, start=start, detailed_epochs=(0, 50)),
        data={"symbol": "^GSPC"},
        versions={"keras": "3"},
        seconds=1.5,
        steps_per_epoch=20,
        diverged=diverged,
        epochs={"epoch": np.arange(rows) * 1.0, "step": np.arange(rows) * 20.0, **columns},
        persistence={"train": 2e-4, "test": 1e-4},
        predictions=predictions or {},
        saddle={},
    )


def study_of_ratios(ratios, *, column="test_loss_dropout", **settings):
    """Runs of SGD and RMSProp whose losses have these ratios, one a seed."""
    found = []
    for seed, ratio in enumerate(ratios):
        level = 1e-4 * (1 + seed)
        found.append(made_record("sgd", seed, **{column: ratio * level}, **settings))
        found.append(made_record("rmsprop", seed, **{column: level}, **settings))
    # In reverse, because the order of records must not matter.
    return Study(found[::-1])


def diverge(study, *, seeds, optimizers):
    """The study with these runs diverged."""
    return Study(
        [
            dataclasses.replace(r, diverged=4)
            if r.config.seed in seeds and r.config.optimizer in optimizers
            else r
            for r in study.records
        ]
    )


def spread(width, n=SEEDS):
    """Values that are symmetric about zero."""
    return np.linspace(-width, width, n)


def crossing_predictions(times, days=100):
    """Predictions with dropout that cross the actual prices this many times."""
    above = np.where(np.arange(days) <= times, (-1.0) ** np.arange(days), (-1.0) ** times)
    return {"actual": [0.0] * days, "predicted": [0.0] * days, "predicted_dropout": [*above]}
