"""Records of a whole grid, made from a few real ones, and the results drawn from them."""

import dataclasses

import pytest

from stock_rnn.study import records
from stock_rnn.study.folder import Folder, read_study, write_study
from stock_rnn.study.plan import NETWORKS
from stock_rnn.study.report.results import write_results
from tests.blank import rendered_pictures
from tests.once import shared_folder


@pytest.fixture(scope="session")
def like():
    """Make a record like another one, with other settings and scaled losses."""

    def make(record, key, *, factor=1.0, **settings):
        config = dataclasses.replace(record.config, **settings)
        epochs = {
            name: values * (factor + 0.01 * config.seed) if "loss" in name else values
            for name, values in record.epochs.items()
        }
        task = dataclasses.replace(record.task, config=config)
        return dataclasses.replace(record, key=key, task=task, epochs=epochs)

    return make


@pytest.fixture(scope="session")
def grid(small_records, like):
    """Four optimizers, the networks of the tables, three seeds."""
    optimizers = ("sgd", "rmsprop", "adam", "rmsprop-tf1")
    kinds = [
        (number, network, seed) for number in range(4) for network in NETWORKS for seed in range(3)
    ]
    return [
        like(
            small_records[number],
            f"{place:016x}",
            factor=1 + 0.1 * number,
            optimizer=optimizers[number],
            num_layers=network[0],
            lstm_size=network[1],
            seed=seed,
        )
        for place, (number, network, seed) in enumerate(kinds)
    ]


@pytest.fixture(scope="session")
def saddle_record(small_records):
    """A run that starts at a saddle."""
    assert small_records[5].task.start == "saddle"
    return small_records[5]


@pytest.fixture(scope="session")
def draw():
    """Write the results of records to a folder."""

    def write(path, found):
        folder = Folder(path)
        write_study(folder, "python reproduce.py", found[0].data, [r.key for r in found])
        folder.runs.mkdir(exist_ok=True)
        for record in found:
            records.save(folder.runs / f"{record.key}.json", record)
        write_results(folder, *read_study(folder))
        return folder

    return write


@pytest.fixture(scope="session")
def drawn(grid, saddle_record, draw, tmp_path_factory):
    """The results of the grid and of a start at a saddle. Tests that change it must copy it."""
    with shared_folder(tmp_path_factory, "drawn") as path, rendered_pictures():
        if Folder(path).page.exists():
            return Folder(path)
        return draw(path, [*grid, saddle_record])
