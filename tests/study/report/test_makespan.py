"""The makespan of a study on many workers, against an explicit simulation and the optimum."""

import itertools

import numpy as np
import pytest

from stock_rnn.study.report.makespan import WORKERS, makespan, makespans
from tests.study.cases import made_record


def second_by_second(seconds, workers):
    """The makespan, found by letting every worker work for a second at a time."""
    waiting, busy, clock = sorted(seconds), [0] * workers, 0
    while waiting or any(busy):
        for worker in range(workers):
            if not busy[worker] and waiting:
                busy[worker] = waiting.pop()
        busy = [max(0, left - 1) for left in busy]
        clock += 1
    return clock


def least_possible(seconds, workers):
    """The makespan of the best of all schedules."""
    return min(
        max(sum(s for s, at in zip(seconds, of, strict=True) if at == w) for w in range(workers))
        for of in itertools.product(range(workers), repeat=len(seconds))
    )


@pytest.mark.parametrize("seed", range(8))
def test_it_is_that_of_workers_who_take_the_longest_task_left(seed):
    rng = np.random.default_rng(seed)
    seconds = rng.integers(1, 20, size=rng.integers(1, 8)).tolist()
    for workers in (1, 2, 3):
        found = makespan(seconds, workers)
        assert found == second_by_second(seconds, workers)
        best = least_possible(seconds, workers)
        assert best <= found <= best * (4 / 3 - 1 / (3 * workers)) + 1e-9


def test_one_worker_needs_the_sum_and_many_the_longest_task():
    assert makespan([3.0, 1.0, 2.5], 1) == 6.5
    assert makespan([3.0, 1.0, 2.5], 1000) == 3.0
    assert makespan([], 2) == 0.0


def test_the_table_has_a_row_a_part_in_minutes():
    runs = [made_record(seed=seed) for seed in range(3)]  # Of 1.5 seconds each.
    table = makespans({"report": runs, "tuned": [], "all": runs[:1]})
    assert table["part"].tolist() == ["report", "all"]
    assert table["count"].tolist() == [3, 1]
    assert table["longest_run_min"].tolist() == [1.5 / 60, 1.5 / 60]
    of = [f"{workers}_workers_min" for workers in WORKERS]
    assert table[of].to_numpy()[0].tolist() == pytest.approx([4.5 / 60, 3 / 60, *[1.5 / 60] * 3])
