"""A walk-forward backtest, against darts' `historical_forecasts` with its LSTM.

The default preset over the bundled ^GSPC in 20 folds: 1 x 32, T = 3, 50 epochs, batches of 64,
RMSProp. darts gets the same relative changes in place of prices, the network as `BlockRNNModel`,
and trains anew on the same examples where a fold begins. Each system is a script in a process of
its own; a ratio is that of two measurements of one round. "darts" is one call of
`historical_forecasts`. "darts by fold" calls it once a fold after `fit`, which is faster: without
training in it, it forecasts all days of a fold at once.

What differs:

- Ours trains once more, before the first fold, for the intervals, and then fits the baselines,
  forecasts with dropout on, tests for significance, and writes tables and the picture.
- darts has no dropout behind a single layer, its rate does not decay here, and it starts from
  PyTorch's initial weights. So the errors differ; they show that all train, not which is better.
- Ours trains in a process a core, on one thread each; darts in one process, on PyTorch's threads.
  "processors" counts the seconds of all of them.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks._frame import ROOT, Load, Results, interleave, ratios, spread, verdict
from benchmarks._tables import print_table
from benchmarks._walks import SYSTEMS, Walk
from benchmarks.startup import PYTHON
from stock_rnn.backtest.fit import all_examples
from stock_rnn.backtest.plan import Walk as Folds
from stock_rnn.backtest.plan import plan_fits
from stock_rnn.config import resolve
from stock_rnn.data import one_stock

FOLDS, ROUNDS = 20, 3
# The most that ours may take, in darts' time.
AT_MOST = 0.5
# What is measured of a process: the call without imports, the process, all its processors.
QUANTITIES = ("call", "command", "processors")

Measured = dict[str, float]


def walk_of(folds: int, epochs: int | None = None) -> Walk:
    """What the default preset's backtest trains on and forecasts; epochs: None: the preset's."""
    config = resolve(None, {"source": "bundled"})
    dataset = all_examples(config, one_stock(config))
    # The first fit is before the folds: it calibrates.
    fits = plan_fits(len(dataset), Folds(folds=folds))[1:]
    # Example i predicts window i + T.
    starts = tuple(fit.end + config.num_steps for fit in fits)
    return Walk(dataset.windows[:, 0].astype(np.float32), starts, epochs or config.max_epoch)


def measure(system: str, path: Path) -> Measured:
    """Run a system on a written walk: `QUANTITIES` in seconds, "mse" and "forecasts".

    Raises:
        RuntimeError: it failed.
    """
    python = PYTHON if system == "ours" else sys.executable
    command = [python, "-W", "ignore", "-m", "benchmarks._walks", system, str(path)]
    began = time.perf_counter(), _seconds_of_children()
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = time.perf_counter() - began[0], _seconds_of_children() - began[1]
    if answer.returncode:
        raise RuntimeError(f"{system} failed:\n{answer.stderr}")
    found = json.loads(answer.stdout.splitlines()[-1])
    return {**found, "command": passed[0], "processors": passed[1]}


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(
    results: Results, folds: int = FOLDS, rounds: int = ROUNDS, epochs: int | None = None
) -> None:
    """Measure, print and keep."""
    walk = walk_of(folds, epochs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "walk.npz"
        walk.write(path)
        found, load = interleave(
            {name: lambda k, name=name: measure(name, path) for name in SYSTEMS}, rounds
        )
    case = f"{folds} folds of {walk.epochs} epochs"
    days = len(walk.series) - walk.starts[0]
    for name, measured in found.items():
        if any(each["forecasts"] != days for each in measured):
            raise RuntimeError(f"{name} made other forecasts than one for each of {days} days")
        for quantity in QUANTITIES:
            values = [each[quantity] for each in measured]
            results.add("backtest", case, name, quantity, "s", values, load)
    print_table(
        f"A backtest of {case}, {days} forecasts: seconds, median (range) of {rounds}",
        ("system", *QUANTITIES, "MSE"),
        [_row(name, measured) for name, measured in found.items()],
    )
    print_table(
        "Of that time, ours takes",
        ("of", "call", "wanted", "command", "wanted"),
        [
            _compared(name, found["ours"], measured, load)
            for name, measured in found.items()
            if name != "ours"
        ],
    )


def _row(name: str, measured: Sequence[Measured]) -> tuple[str, ...]:
    times = [spread([each[quantity] for each in measured]) for quantity in QUANTITIES]
    return name, *times, f"{statistics.median(each['mse'] for each in measured):.3g}"


def _compared(
    name: str, ours: Sequence[Measured], theirs: Sequence[Measured], load: Load
) -> tuple[str, ...]:
    """Ours over theirs, for the call and for the whole command, with verdicts."""
    cells = [name]
    for quantity in ("call", "command"):
        shown = ratios([each[quantity] for each in ours], [each[quantity] for each in theirs])
        cells += [spread(shown), verdict(shown, AT_MOST, load)]
    return tuple(cells)


if __name__ == "__main__":
    main(Results(), *map(int, sys.argv[1:]))
