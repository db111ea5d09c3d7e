"""A small protocol in the place of the registry's, and a folder in which it was run."""

import pytest

from stock_rnn.study.folder import Folder
from stock_rnn.study.tuned import findings, plan, run
from tests.study.tuned.cases import DATA, PROTOCOL, Submitted


@pytest.fixture
def small_protocol(monkeypatch):
    """The protocol of `cases.PROTOCOL`."""
    monkeypatch.setattr(plan, "_PROTOCOL", PROTOCOL)


@pytest.fixture(scope="session")
def finished(small_prices, tmp_path_factory):
    """(folder, tasks as they were started, findings) of a part whose trainings follow formulas."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_PROTOCOL", PROTOCOL)
        folder = Folder(tmp_path_factory.mktemp("study"))
        submitted = Submitted()
        run(DATA, small_prices, folder, submitted, 10)
        return folder, submitted.tasks, findings(folder)
