"""A task in a process of its own, for workers that do other things in theirs.

Keras draws the seeds of initial weights from Python's global random generator. A
process in which other threads draw from it too, such as a Dask worker's, does not
train what its seed says: measured, three of four runs began with other weights.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np

from stock_rnn.prices import Prices
from stock_rnn.study import records
from stock_rnn.study.plan import Task
from stock_rnn.study.records import Record
from stock_rnn.study.run.task import run_task

#: What makes a process compute on one thread; NumPy and TensorFlow read it when loaded.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}


def run_apart(task: Task, prices: Prices) -> Record:
    """`run_task`, by a new Python process.

    Raises:
        RuntimeError: the process failed; the message ends with what it said.
    """
    question = {
        "task": task.to_dict(),
        "prices": {
            "symbol": prices.symbol,
            "source": prices.source,
            "dates": prices.dates.astype(np.int64).tolist(),
            "close": prices.close.tolist(),
            "dropped": prices.dropped,
        },
    }
    answer = subprocess.run(
        [sys.executable, "-m", "stock_rnn.study.run.isolated"],
        input=json.dumps(question),
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(f"a run failed (exit code {answer.returncode}): {answer.stderr[-2000:]}")
    return records.from_json(json.loads(answer.stdout))


def _answer() -> None:
    question = json.load(sys.stdin)
    prices = question["prices"]
    dates = np.array(prices.pop("dates"), dtype="datetime64[s]")
    record = run_task(Task.from_dict(question["task"]), Prices(dates=dates, **prices))
    json.dump(records.to_json(record), sys.stdout, allow_nan=False)


if __name__ == "__main__":
    _answer()
