"""All measures and tests of a million forecasts: the model beside every baseline."""

import json
import time

import numpy as np

from benchmarks._frame import Results, interleave, spread, verdict
from benchmarks._tables import measure, print_table
from stock_rnn.data import StockDataSet
from stock_rnn.forecasting.accuracy import Scale
from stock_rnn.forecasting.baselines import fit_baselines
from stock_rnn.forecasting.comparison import MODEL, compare

FORECASTS = 1_000_000
AT_MOST = 2.0
ROUNDS = 3

_PARTS = {
    "compare": "all measures, intervals and tests",
    "processor": "the same, processor time",
    "baselines": "fitting the baselines, and their forecasts",
}


def run() -> dict[str, float]:
    """Seconds of each part, in one process; what is imported is imported before."""
    rng = np.random.default_rng(0)
    # A share of 0.1 trains: a few more than the million, which test.
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.0005, 1_112_000)))
    data = StockDataSet(prices, num_steps=3, test_ratio=0.9)
    examples = data.test[-FORECASTS:]
    model = 0.1 * data.labels(examples) + rng.normal(0, 2e-4, (FORECASTS, 1))
    small = StockDataSet(prices[:1000], num_steps=3)
    _compare(small, small.test, model[: len(small.test)])
    return _compare(data, examples, model)


def _compare(data: StockDataSet, examples: np.ndarray, model: np.ndarray) -> dict[str, float]:
    began = time.perf_counter()
    predictions = {
        name: each.predict_examples(data, examples) for name, each in fit_baselines(data).items()
    }
    fitted, busy = time.perf_counter(), time.process_time()
    compare("test", data, examples, {MODEL: model, **predictions}, Scale.of_training(data))
    return {
        "baselines": fitted - began,
        "compare": time.perf_counter() - fitted,
        "processor": time.process_time() - busy,
    }


def main(results: Results) -> None:
    systems = {"ours": lambda k: measure("benchmarks.forecasting")}
    found, load = interleave(systems, ROUNDS)
    rows = []
    for part, name in _PARTS.items():
        seconds = [each[part] for each in found["ours"]]
        results.add("forecasting", f"{FORECASTS} forecasts", "ours", part, "s", seconds, load)
        judged = (f"{AT_MOST:g}", verdict(seconds, AT_MOST, load))
        rows.append((name, spread(seconds), *(judged if part == "compare" else ("", ""))))
    print_table(
        f"{FORECASTS:,} forecasts, the model and five baselines: median (range) of {ROUNDS}",
        ("what", "seconds", "wanted, at most", "verdict"),
        rows,
    )


if __name__ == "__main__":
    print(json.dumps(run()))
