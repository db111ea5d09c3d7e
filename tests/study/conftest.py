"""A handful of small real runs, made once for all tests of a session."""

import pytest

from stock_rnn.study import records
from tests.study import cases


@pytest.fixture(scope="session")
def small_prices():
    return cases.small_prices()


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    return cases.small_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def small_records(small_prices, small_folder):
    """The records of `SMALL_TASKS`, in their order."""
    here = records.versions()
    return [
        records.load(small_folder / f"{task.key(small_prices.sha256, here)}.json")
        for task in cases.SMALL_TASKS
    ]
