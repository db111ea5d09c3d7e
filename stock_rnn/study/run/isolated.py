"""A task in a new Python process, for workers whose process does other things too.

Keras draws the seeds of the initial weights from Python's global random generator. In a
process where other threads draw from it too, such as a Dask worker, a run does not start
from the weights of its seed: in a measurement, three of four runs did not.
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

#: Environment of a process that computes on one thread; NumPy and TensorFlow read it when
#: they are imported.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}


def run_in_new_process(task: Task, prices: Prices) -> Record:
    """`run_task` in a new Python process, to which task and prices are sent as JSON.

    Raises:
        RuntimeError: the process failed; the message ends with its standard error.
    """
    request = {
        "task": task.to_dict(),
        "prices": {
            "symbol": prices.symbol,
            "source": prices.source,
            "dates": prices.dates.astype(np.int64).tolist(),
            "close": prices.close.tolist(),
            "dropped": prices.dropped,
        },
    }
    process = subprocess.run(
        [sys.executable, "-m", "stock_rnn.study.run.isolated"],
        input=json.dumps(request),
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(
            f"a run failed (exit code {process.returncode}): {process.stderr[-2000:]}"
        )
    return records.from_json(json.loads(process.stdout))


def _main() -> None:
    """Read a request from standard input; write the record to standard output."""
    request = json.load(sys.stdin)
    prices = request["prices"]
    dates = np.array(prices.pop("dates"), dtype="datetime64[s]")
    record = run_task(Task.from_dict(request["task"]), Prices(dates=dates, **prices))
    json.dump(records.to_json(record), sys.stdout, allow_nan=False)


if __name__ == "__main__":
    _main()
