"""One epoch of training, against Keras's `fit` and a plain PyTorch loop.

1,131 windows of one price, T = 3, batches of 64, RMSProp, dropout 0.2: the
report's experiments. Each framework is measured in processes of its own, in
turn; a ratio is that of the medians over all rounds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks._frame import Results
from benchmarks._tables import measure, print_table
from stock_rnn.data import StockDataSet, epoch_order

EXAMPLES, NUM_STEPS, BATCH = 1131, 3, 64
NETWORKS = ((1, 32), (5, 128))
LIMITS = {
    ("keras fit", 1): 0.3,
    ("torch loop", 1): 1.0,
    ("keras fit", 5): 0.75,
    ("torch loop", 5): 0.9,
}
ROUNDS, WARM_UP = 3, 3
EPOCHS = {"ours": 25, "keras fit": 12, "torch loop": 25}


def _dataset() -> StockDataSet:
    # Speed does not depend on the values: a random walk of the report's length.
    prices = np.exp(np.random.default_rng(0).normal(scale=0.01, size=1260).cumsum())
    dataset = StockDataSet(prices, num_steps=NUM_STEPS)
    assert len(dataset.train) == EXAMPLES
    return dataset


def ours(layers: int, size: int, epochs: int) -> list[float]:
    """`fit` over `EpochModel`."""
    from stock_rnn.network import build_model
    from stock_rnn.optimizers import make_optimizer
    from stock_rnn.training.epoch_model import EpochModel, training_epochs

    dataset = _dataset()
    model = build_model(num_steps=NUM_STEPS, num_layers=layers, lstm_size=size)
    trainer = EpochModel(model.inputs, model.outputs)
    trainer.attach(dataset)
    trainer.compile(optimizer=make_optimizer("rmsprop", 0.001), loss="mse", jit_compile=False)
    stream = training_epochs(dataset, batch_size=BATCH, shuffle="batches", seed=0)
    return _fit_times(trainer, epochs, x=stream, steps_per_epoch=1, shuffle=False)


def keras_fit(layers: int, size: int, epochs: int) -> list[float]:
    """The same network under `compile` and `fit` with their defaults."""
    from stock_rnn.network import build_model
    from stock_rnn.optimizers import make_optimizer

    dataset = _dataset()
    model = build_model(num_steps=NUM_STEPS, num_layers=layers, lstm_size=size)
    model.compile(optimizer=make_optimizer("rmsprop", 0.001), loss="mse")
    x, y = dataset.train_X.astype(np.float32), dataset.train_y.astype(np.float32)
    return _fit_times(model, epochs, x=x, y=y, batch_size=BATCH)


def _fit_times(model, epochs: int, **data) -> list[float]:  # type: ignore[no-untyped-def]
    import keras

    stamps: list[float] = []
    stamp = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: stamps.append(time.perf_counter())
    )
    model.fit(**data, epochs=epochs + 1, verbose=0, callbacks=[stamp])
    return np.diff(stamps).tolist()


def torch_loop(layers: int, size: int, epochs: int) -> list[float]:
    """`nn.LSTM` and the loop over batches that PyTorch's tutorials show."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            between = 0.2 if layers > 1 else 0.0
            self.lstm = nn.LSTM(1, size, layers, batch_first=True, dropout=between)
            self.dropout, self.head = nn.Dropout(0.2), nn.Linear(size, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.dropout(self.lstm(x)[0][:, -1]))

    dataset = _dataset()
    x = torch.tensor(dataset.train_X.astype(np.float32))
    y = torch.tensor(dataset.train_y.astype(np.float32))
    net = Net()
    optimizer, loss_of = torch.optim.RMSprop(net.parameters(), lr=0.001), nn.MSELoss()
    times = []
    for epoch in range(epochs):
        began = time.perf_counter()
        order, sizes = epoch_order(EXAMPLES, BATCH, shuffle="batches", seed=0, epoch=epoch)
        total = 0.0
        for batch in torch.split(torch.tensor(order), sizes.tolist()):
            optimizer.zero_grad()
            loss = loss_of(net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        times.append(time.perf_counter() - began)
    return times


SYSTEMS: dict[str, Callable[[int, int, int], list[float]]] = {
    "ours": ours,
    "keras fit": keras_fit,
    "torch loop": torch_loop,
}


def main(results: Results) -> None:
    rows = []
    for layers, size in NETWORKS:
        times: dict[str, list[float]] = {name: [] for name in SYSTEMS}
        for _ in range(ROUNDS):
            for name in SYSTEMS:
                times[name] += measure("benchmarks.training", name, str(layers), str(size))
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, median in medians.items():
            limit = LIMITS.get((name, layers))
            rows.append(
                (
                    f"{layers}x{size} {name}",
                    f"{1000 * median:.1f}",
                    f"{medians['ours'] / median:.2f}",
                    f"{limit}" if limit else "",
                )
            )
    print_table(
        "One training epoch: 1,131 windows, T = 3, batch 64",
        ("network and system", "ms, median", "ours / it", "wanted, at most"),
        rows,
    )


if __name__ == "__main__":
    name, layers, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    measured = SYSTEMS[name](layers, size, WARM_UP + EPOCHS[name])
    print(json.dumps(measured[WARM_UP:]))
