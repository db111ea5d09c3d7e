"""How long a study takes on many workers, simulated from how long its runs took."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from stock_rnn.study.records import Record

#: Workers of the table.
WORKERS = (1, 2, 16, 128, 1024)


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last task ends, if each worker takes the longest task left whenever it is free.

    Graham's longest-processing-time rule (1969): at most 4/3 - 1/(3m) times the least possible on
    m workers, and never below the longest task.

    Args:
        seconds: that each task takes, the same on every worker.
        workers: how many there are, at least one.

    Returns:
        Seconds; 0 without tasks.
    """
    free = [0.0] * workers
    for duration in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def makespans(runs: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """A row a part: its runs, the longest of them, and the makespan by workers, in minutes.

    Args:
        runs: name of a part -> its records; parts may share some.
    """
    rows = [
        {
            "part": name,
            "count": len(found),
            "longest_run_min": max(record.seconds for record in found) / 60,
            **{
                f"{workers}_workers_min": makespan((r.seconds for r in found), workers) / 60
                for workers in WORKERS
            },
            "runs": " ".join(record.key for record in found),
        }
        for name, found in runs.items()
        if found
    ]
    return pd.DataFrame(rows)
