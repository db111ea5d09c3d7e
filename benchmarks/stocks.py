"""Speed and memory of one model of 100 stocks, against those of one stock."""

from __future__ import annotations

import json
import statistics
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._frame import Results, interleave, ratios, spread, verdict
from benchmarks._tables import measure, print_table
from stock_rnn.data import StockDataSet, StocksDataSet
from stock_rnn.prices import Prices, Stocks

if TYPE_CHECKING:
    from stock_rnn.training.epochs import EpochTrainer

SYMBOLS, DAYS, EMBED_SIZE, NUM_STEPS = 100, 5_000, 4, 3
ROUNDS = 5
# One stock's epochs in a round, so that both take about as long.
EPOCHS = 30
# The most that an example may take, in examples of one stock: 1 / 0.8.
AT_MOST = 1.25
# Stocks, days and steps whose memory is compared: prices are bought by both, steps by none.
MEMORY = {"10 stocks": (10, 30), "100 stocks": (100, 30), "100 stocks, 300 steps": (100, 300)}


def _prices(count: int) -> list[Prices]:
    dates = np.arange(DAYS).astype("datetime64[D]").astype("datetime64[s]")
    changes = np.random.default_rng(0).normal(scale=0.01, size=(count, DAYS))
    closes = np.exp(changes.cumsum(axis=1))
    return [Prices(f"S{k}", "csv", dates, close) for k, close in enumerate(closes)]


def _several(count: int, num_steps: int = NUM_STEPS) -> StocksDataSet:
    stocks = Stocks("several", tuple(_prices(count)), ("",) * count)
    return StocksDataSet(stocks, num_steps=num_steps)


def _trainer(dataset: StockDataSet, symbols: int) -> EpochTrainer:
    """The report's smallest network with its batches."""
    import keras

    from stock_rnn.network import build_model
    from stock_rnn.optimizers import make_optimizer
    from stock_rnn.training.epochs import EpochTrainer

    keras.utils.set_random_seed(0)
    model = build_model(num_steps=NUM_STEPS, lstm_size=32, symbols=symbols, embed_size=EMBED_SIZE)
    model.compile(optimizer=make_optimizer("rmsprop", 0.001), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return EpochTrainer(model, dataset, batch_size=64, shuffle="batches", seed=0)


def memory(count: int, num_steps: int) -> float:
    """Bytes a price that the data set takes at the peak, beyond the prices."""
    stocks = Stocks("several", tuple(_prices(count)), ("",) * count)
    tracemalloc.start()
    data = StocksDataSet(stocks, num_steps=num_steps)
    data.inputs(data.train[:64])
    return tracemalloc.get_traced_memory()[1] / len(stocks)


def main(results: Results) -> None:
    """Measure, print and keep."""
    one = StockDataSet.from_prices(_prices(1)[0], num_steps=NUM_STEPS)
    both = {"one stock": (one, 0, EPOCHS), f"{SYMBOLS} stocks": (_several(SYMBOLS), SYMBOLS, 1)}
    trainers = {name: _trainer(data, symbols) for name, (data, symbols, _) in both.items()}
    for trainer in trainers.values():
        # Also what XLA compiles after the first epoch.
        for epoch in range(2):
            trainer.train(epoch)

    def seconds(name: str, k: int) -> tuple[float, float]:
        """By the clock and of the processors, an example."""
        data, _, epochs = both[name]
        began = time.perf_counter(), time.process_time()
        for _ in range(epochs):
            trainers[name].train(k + 1)
        passed = time.perf_counter() - began[0], time.process_time() - began[1]
        return passed[0] / (epochs * len(data.train)), passed[1] / (epochs * len(data.train))

    found, load = interleave({name: lambda k, name=name: seconds(name, k) for name in both}, ROUNDS)
    rows = []
    for number, clock in enumerate(("clock", "processors")):
        each = {name: [pair[number] for pair in pairs] for name, pairs in found.items()}
        for name, values in each.items():
            results.add("stocks", "1x32", name, f"an example by {clock}", "s", values, load)
        slower = ratios(each[f"{SYMBOLS} stocks"], each["one stock"])
        cells = [spread([1e6 * value for value in values]) for values in each.values()]
        wanted = verdict(slower, AT_MOST, load)
        rows.append((clock, *cells, spread([1 / ratio for ratio in slower]), wanted))
    print_table(
        f"Training on {SYMBOLS} stocks of {DAYS:,} days, embedding of {EMBED_SIZE}: microseconds "
        f"an example, and the share of one stock's speed (wanted: {1 / AT_MOST})",
        ("", *found, "share", "verdict"),
        rows,
    )
    bytes_of = {
        name: [measure("benchmarks.stocks", *map(str, words)) for _ in range(2)]
        for name, words in MEMORY.items()
    }
    for name, values in bytes_of.items():
        results.add("stocks", name, "windows", "memory", "bytes a price", values, load)
    rows = [(name, f"{statistics.median(values):.0f}") for name, values in bytes_of.items()]
    print_table(f"Memory beyond {DAYS:,} prices a stock", ("", "bytes a price"), rows)


if __name__ == "__main__":
    print(json.dumps(memory(*map(int, sys.argv[1:]))))
