"""Time and memory of preparing the windows, against the number of prices."""

import json
import math
import resource
import statistics
import sys
import time

import numpy as np

from benchmarks._frame import Results, interleave
from benchmarks._tables import measure, print_table
from stock_rnn.data import StockDataSet

SIZES = (1_000, 100_000, 10_000_000)
NUM_STEPS = 30
ROUNDS = 3


def prepare(count: int) -> dict[str, float]:
    """Seconds to prepare the data set, and the process's peak memory beyond the prices."""
    prices = np.random.default_rng(0).lognormal(size=count)
    dates = np.arange(count).astype("datetime64[s]")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    data = StockDataSet(prices, dates, num_steps=NUM_STEPS)
    data.inputs(data.train[:64]), data.train_X, data.test_X
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mebibytes": (after - before) / 1024, "peak": after / 1024}


def main(results: Results) -> None:
    systems = {
        str(size): lambda k, size=size: measure("benchmarks.scale", str(size)) for size in SIZES
    }
    found, load = interleave(systems, ROUNDS)
    medians = {}
    for size in SIZES:
        rounds = found[str(size)]
        medians[size] = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        for key, unit in (("seconds", "s"), ("mebibytes", "MiB"), ("peak", "MiB")):
            values = [r[key] for r in rounds]
            results.add("scale", f"{size} prices", "windows", key, unit, values, load)
    rows = [
        (f"{size:,}", f"{r['seconds']:.4f}", f"{r['mebibytes']:.0f}", f"{r['peak']:.0f}")
        for size, r in medians.items()
    ]
    print_table(
        f"Preparing windows, T = {NUM_STEPS} (wanted for 10,000,000: under 3 s, under 1,000 MB)",
        ("prices", "seconds", "MiB added", "MiB at the peak"),
        rows,
    )
    (small, big) = SIZES[1:]
    for key in ("seconds", "mebibytes"):
        grown = medians[big][key] / max(medians[small][key], 1e-9)
        print(
            f"{key} grow from {small:,} to {big:,} as prices ** {math.log(grown, big / small):.2f}"
        )


if __name__ == "__main__":
    print(json.dumps(prepare(int(sys.argv[1]))))
