"""The LSTM of tensor trains beside the dense one: parameters, speed and memory by size.

One layer, three time steps, batches of 64, RMSProp, no dropout. Each measurement has a process
of its own; a ratio is that of two measurements of one round.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time

import keras
import numpy as np

from benchmarks._frame import Results, interleave, ratios, spread
from benchmarks._tables import measure, print_table
from stock_rnn.data import StockDataSet
from stock_rnn.network import build_model
from stock_rnn.optimizers import make_optimizer
from stock_rnn.training.epochs import EpochTrainer

SIZES = (128, 256, 512, 1024, 2048)
RANKS = (4, 16)
ROUNDS = 3
BATCH, BATCHES, EPOCHS = 64, 4, 4


def train(units: int, rank: int) -> dict[str, float]:
    """Parameters, seconds a batch, and the mebibytes that the training adds.

    Args:
        units: of the layer.
        rank: of the tensor trains; 0: the dense LSTM.
    """
    prices = np.exp(np.random.default_rng(0).normal(scale=0.01, size=288).cumsum())
    dataset = StockDataSet(prices, num_steps=3)
    assert len(dataset.train) == BATCH * BATCHES
    keras.utils.set_random_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kind = {"cell": "tt-lstm", "tt_rank": rank} if rank else {"cell": "lstm"}
    model = build_model(num_steps=3, lstm_size=units, keep_prob=1.0, **kind)
    optimizer = make_optimizer("rmsprop", 0.001)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=False)
    optimizer.build(model.trainable_variables)
    trainer = EpochTrainer(model, dataset, batch_size=BATCH, shuffle="batches", seed=0)
    seconds = []
    for epoch in range(EPOCHS):
        began = time.perf_counter()
        trainer.train(epoch)
        seconds.append((time.perf_counter() - began) / BATCHES)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The first epoch warms up.
    return {
        "parameters": model.count_params(),
        "batch": statistics.median(seconds[1:]),
        "memory": (after - before) / 1024,
    }


def main(results: Results) -> None:
    """Print a row a size and rank, beside the dense LSTM of the size."""
    rows = []
    for units in SIZES:
        systems = {
            f"rank {rank}" if rank else "dense": lambda k, units=units, rank=rank: measure(
                "benchmarks.tensor_train", str(units), str(rank)
            )
            for rank in (0, *RANKS)
        }
        found, load = interleave(systems, ROUNDS)
        by_quantity = {
            name: {key: [r[key] for r in rounds] for key in rounds[0]}
            for name, rounds in found.items()
        }
        for name, quantities in by_quantity.items():
            for key, unit in (("parameters", "1"), ("batch", "s"), ("memory", "MiB")):
                results.add("tensor_train", f"{units}", name, key, unit, quantities[key], load)
            dense = by_quantity["dense"]
            shown = [f"{units:,}, {name}", f"{quantities['parameters'][0]:,.0f}"]
            for key, form in (("batch", ".3g"), ("memory", ".0f")):
                factor = 1000 if key == "batch" else 1
                shown.append(spread([factor * v for v in quantities[key]], form))
                shown.append(spread(ratios(quantities[key], dense[key]), ".2g"))
            rows.append(shown)
    print_table(
        f"LSTMs with dense kernels and with tensor trains: median (range) of {ROUNDS}",
        ("units", "parameters", "ms a batch", "by dense", "MiB added", "by dense"),
        rows,
    )


if __name__ == "__main__":
    print(json.dumps(train(*map(int, sys.argv[1:]))))
