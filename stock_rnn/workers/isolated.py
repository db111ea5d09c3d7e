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
from collections.abc import Callable
from typing import Any

import numpy as np

from stock_rnn.prices import Prices
from stock_rnn.workers.environment import ONE_THREAD


def ask_new_process(module: str, request: dict[str, Any]) -> Any:
    """What `python -m module` answers to a request; both are JSON. It computes on one thread.

    Args:
        module: one that calls `answer_request` when it is run.
        request: sent to its standard input.

    Raises:
        RuntimeError: the process failed; the message ends with its standard error.
    """
    process = subprocess.run(
        [sys.executable, "-m", module],
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
    return json.loads(process.stdout)


def answer_request(answer: Callable[[dict[str, Any]], Any]) -> None:
    """In the new process: read the request, and write the answer."""
    json.dump(answer(json.load(sys.stdin)), sys.stdout, allow_nan=False)


def prices_to_json(prices: Prices) -> dict[str, Any]:
    """Prices for a request; Python's JSON keeps every bit of a number."""
    return {
        "symbol": prices.symbol,
        "source": prices.source,
        "dates": prices.dates.astype(np.int64).tolist(),
        "close": prices.close.tolist(),
        "open": None if prices.open is None else prices.open.tolist(),
        "dropped": prices.dropped,
    }


def prices_from_json(content: dict[str, Any]) -> Prices:
    """The inverse of `prices_to_json`."""
    dates = np.array(content["dates"], dtype="datetime64[s]")
    return Prices(**{**content, "dates": dates})
