import logging

import numpy as np
import pytest

from stock_rnn.data import StockDataSet
from stock_rnn.training.train import _describe_examples


@pytest.mark.parametrize(
    ("prices", "told"),
    [(10, "only 1 test example: a skill"), (289, "only 29 test examples: a skill"), (299, None)],
)
def test_a_skill_from_few_examples_is_warned_of(prices, told, caplog):
    data = StockDataSet(np.linspace(100, 110, prices), num_steps=3)
    with caplog.at_level(logging.WARNING, logger="stock_rnn"):
        _describe_examples(data)
    assert [message.startswith(told) for message in caplog.messages] == [True] * bool(told)
