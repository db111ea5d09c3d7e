import numpy as np
import pytest

from stock_rnn.prices import Prices
from stock_rnn.training.runs import Run


@pytest.fixture
def prices():
    dates = np.arange(60).astype("datetime64[D]").astype("datetime64[s]")
    return Prices("^X", "csv", dates, np.linspace(1, 2, 60), np.linspace(2, 3, 60))


@pytest.fixture
def run(tmp_path):
    return Run("a-run", tmp_path / "models", tmp_path / "logs")
