"""A handful of real, small runs, made once for all tests of the study."""

import pytest

from stock_rnn.config import Config
from stock_rnn.prices import load_prices
from stock_rnn.study.plan import Task


def small_task(seed, **settings):
    config = Config(**{"period": "6mo", "lstm_size": 4, "max_epoch": 3, "seed": seed, **settings})
    return Task(config=config, deep=(0, 3), probes=2)


@pytest.fixture(scope="session")
def small_prices():
    return load_prices("^GSPC", source="bundled", csv=None, period="6mo", start=None, end=None)


@pytest.fixture(scope="session")
def small_tasks():
    """Four that train, and one whose loss diverges."""
    return [
        *(small_task(seed, optimizer=name) for name in ("sgd", "adam") for seed in (0, 1)),
        small_task(0, optimizer="sgd", init_learning_rate=1e3),
    ]


@pytest.fixture(scope="session")
def small_folder(small_tasks, small_prices, tmp_path_factory):
    """Where their records are kept."""
    from stock_rnn.study.run.sweep import local_processes, sweep

    folder = tmp_path_factory.mktemp("study") / "runs"
    with local_processes(1) as executor:
        sweep(small_tasks, small_prices, folder, executor)
    return folder


@pytest.fixture(scope="session")
def small_records(small_tasks, small_prices, small_folder):
    from stock_rnn.study import records

    here = records.versions()
    return [
        records.load(small_folder / f"{task.key(small_prices.sha256, here)}.json")
        for task in small_tasks
    ]
