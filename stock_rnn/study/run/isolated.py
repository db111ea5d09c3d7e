"""A study's task in a new Python process, for the workers of a Dask cluster."""

from __future__ import annotations

from typing import Any

from stock_rnn.prices import Prices
from stock_rnn.study import records
from stock_rnn.study.plan import Task
from stock_rnn.study.records import Record
from stock_rnn.study.run.task import run_task
from stock_rnn.workers.isolated import (
    answer_request,
    ask_new_process,
    prices_from_json,
    prices_to_json,
)


def run_in_new_process(task: Task, prices: Prices) -> Record:
    """`run_task` in a new Python process, to which task and prices are sent as JSON.

    Raises:
        RuntimeError: the process failed; the message ends with its standard error.
    """
    request = {"task": task.to_dict(), "prices": prices_to_json(prices)}
    return records.from_json(ask_new_process("stock_rnn.study.run.isolated", request))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    prices = prices_from_json(request["prices"])
    return records.to_json(run_task(Task.from_dict(request["task"]), prices))


if __name__ == "__main__":
    answer_request(_answer)
