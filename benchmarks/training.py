"""Training: an epoch's graph, and what a user waits for, against other frameworks.

One price a window, batches of 64, RMSProp, dropout 0.2: the report's experiments, of some 1,131
training windows. Each framework is measured in processes of its own, in turn; a ratio is that
of two measurements of one round.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks._frame import ROOT, Results, interleave, ratios, spread, verdict
from benchmarks._tables import measure, print_table
from benchmarks.startup import PYTHON
from stock_rnn.data import StockDataSet, epoch_order

EXAMPLES, BATCH = 1131, 64
ROUNDS, WARM_UP = 5, 3


class Network(NamedTuple):
    """Its layers, its units, and the time steps it reads."""

    layers: int
    size: int
    num_steps: int

    def __str__(self) -> str:
        return f"{self.layers}x{self.size}, T = {self.num_steps}"


# Network -> the most that an epoch of ours may take, in epochs of JAX.
NETWORKS = {
    Network(1, 32, 3): 1.2,
    Network(5, 128, 3): 1.0,
    Network(1, 128, 30): 1.2,
    Network(1, 32, 100): 1.2,
}
EPOCHS = {3: 25, 30: 8, 100: 5}

# Network -> two numbers of epochs, and the most that an epoch of train.py may take.
COMMANDS = {Network(1, 32, 3): (60, 660, 3.0), Network(5, 128, 3): (10, 50, 1.15)}


def _dataset(network: Network) -> StockDataSet:
    # Speed does not depend on the values: a random walk of the report's length.
    count = 1257 + network.num_steps
    prices = np.exp(np.random.default_rng(0).normal(scale=0.01, size=count).cumsum())
    dataset = StockDataSet(prices, num_steps=network.num_steps)
    assert len(dataset.train) == EXAMPLES
    return dataset


def _model(network: Network, keep_prob: float = 0.8) -> Any:
    """The report's network, compiled."""
    import keras

    from stock_rnn.network import build_model
    from stock_rnn.optimizers import make_optimizer

    keras.utils.set_random_seed(0)
    model = build_model(
        num_steps=network.num_steps,
        num_layers=network.layers,
        lstm_size=network.size,
        keep_prob=keep_prob,
    )
    model.compile(optimizer=make_optimizer("rmsprop", 0.001), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def ours(network: Network, epochs: int, first: int = 0) -> list[float]:
    """`EpochTrainer`, the loss on the test set included."""
    from stock_rnn.training.epochs import EpochTrainer

    trainer = EpochTrainer(
        _model(network), _dataset(network), batch_size=BATCH, shuffle="batches", seed=0
    )
    times = []
    for epoch in range(epochs):
        began = time.perf_counter()
        trainer.train(first + epoch)
        times.append(time.perf_counter() - began)
    return times


def ours_compiled(network: Network, epochs: int) -> list[float]:
    """As `ours`, late in a long training: XLA has compiled the graph of a small network."""
    from stock_rnn.training.epochs import COMPILED_FROM

    return ours(network, epochs, first=COMPILED_FROM)


def keras_fit(network: Network, epochs: int) -> list[float]:
    """The same network under `compile` and `fit` with their defaults."""
    model, dataset = _model(network), _dataset(network)
    x, y = dataset.train_X.astype(np.float32), dataset.train_y.astype(np.float32)
    return _fit_times(model, epochs, x=x, y=y, batch_size=BATCH)


def _fit_times(model: Any, epochs: int, **data: Any) -> list[float]:
    import keras

    stamps: list[float] = []
    stamp = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: stamps.append(time.perf_counter())
    )
    model.fit(**data, epochs=epochs + 1, verbose=0, callbacks=[stamp])
    return np.diff(stamps).tolist()


def torch_loop(network: Network, epochs: int) -> list[float]:
    """`nn.LSTM` and the loop over batches that PyTorch's tutorials show."""
    import torch
    from torch import nn

    layers, size = network.layers, network.size

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            between = 0.2 if layers > 1 else 0.0
            self.lstm = nn.LSTM(1, size, layers, batch_first=True, dropout=between)
            self.dropout, self.head = nn.Dropout(0.2), nn.Linear(size, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.dropout(self.lstm(x)[0][:, -1]))

    dataset = _dataset(network)
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


def jax_scan(network: Network, epochs: int) -> list[float]:
    """The same network, data, dropout and RMSProp in JAX: an epoch is one jitted `lax.scan`.

    Its time is that of the jitted function. From the same initial weights, without dropout, its
    losses are ours (tests/benchmarks).
    """
    _, times = jax_epochs(network, _model(network).get_weights(), epochs, keep_prob=0.8)
    return times


def jax_epochs(
    network: Network, weights: list[np.ndarray], epochs: int, keep_prob: float
) -> tuple[list[float], list[float]]:
    """Losses and seconds by epoch, in JAX."""
    import jax
    import jax.numpy as jnp

    from stock_rnn.training.epochs import in_batches

    dataset, num_steps = _dataset(network), network.num_steps
    windows = jnp.asarray(dataset.windows, jnp.float32)

    def dropped(key: Any, x: Any) -> Any:
        if keep_prob == 1.0:
            return x
        return jnp.where(jax.random.bernoulli(key, keep_prob, x.shape), x / keep_prob, 0.0)

    def layer_states(kernel: Any, recurrent: Any, bias: Any, inputs: Any) -> Any:
        """(T, batch, units) of (T, batch, inputs)."""

        def cell(state: Any, x: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = (jnp.zeros((inputs.shape[1], recurrent.shape[0])),) * 2
        # Unrolled where ours is.
        unroll = network.num_steps * network.layers <= 30
        return jax.lax.scan(cell, start, inputs, unroll=unroll)[1]

    def forward(weights: Any, x: Any, key: Any) -> Any:
        outputs = jnp.swapaxes(x, 0, 1)
        for layer, layer_key in enumerate(jax.random.split(key, network.layers)):
            outputs = layer_states(*weights[3 * layer : 3 * layer + 3], outputs)
            # Of the last layer only the last step's output is read.
            last = layer == network.layers - 1
            outputs = dropped(layer_key, outputs[-1:] if last else outputs)
        return outputs[-1] @ weights[-2] + weights[-1]

    def step(state: Any, batch: Any) -> Any:
        weights, squares, key = state
        examples, counted = batch
        key, batch_key = jax.random.split(key)
        x = windows[examples[:, None] + jnp.arange(num_steps)]
        y = windows[examples + num_steps]

        def loss_of(weights: Any) -> Any:
            errors = jnp.mean((forward(weights, x, batch_key) - y) ** 2, axis=1) * counted
            return errors.sum() / counted.sum(), errors.sum()

        gradients, error = jax.grad(loss_of, has_aux=True)(weights)
        squares = [0.9 * v + 0.1 * g * g for v, g in zip(squares, gradients, strict=True)]
        weights = [
            w - 0.001 * g / jnp.sqrt(v + 1e-7)
            for w, g, v in zip(weights, gradients, squares, strict=True)
        ]
        return (weights, squares, key), error

    epoch_of = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches))
    state = ([jnp.asarray(w) for w in weights], [jnp.zeros(w.shape) for w in weights])
    state = (*state, jax.random.key(0))
    losses, times = [], []
    for epoch in range(epochs):
        order, sizes = epoch_order(EXAMPLES, BATCH, shuffle="batches", seed=0, epoch=epoch)
        batches = in_batches(dataset.train[order], sizes, BATCH)
        began = time.perf_counter()
        state, errors = jax.block_until_ready(epoch_of(state, batches))
        times.append(time.perf_counter() - began)
        losses.append(float(errors.sum()) / EXAMPLES)
    return losses, times


SYSTEMS: dict[str, Callable[[Network, int], list[float]]] = {
    "ours": ours,
    "ours, from epoch 200": ours_compiled,
    "jax": jax_scan,
    "torch loop": torch_loop,
    "keras fit": keras_fit,
}


def main(results: Results) -> None:
    print_table(
        f"One training epoch of {EXAMPLES:,} windows, batch {BATCH}: median (range) of {ROUNDS}",
        ("network and system", "ms", "of JAX's time", "wanted"),
        [
            row
            for network, limit in NETWORKS.items()
            for row in _graph_rows(results, network, limit)
        ],
    )
    print_table(
        "One more epoch of train.py --hessian-every 0, all files written",
        ("network", "ms", "of JAX's bare epoch", "wanted"),
        [_command_row(results, network, *command) for network, command in COMMANDS.items()],
    )


def _graph_rows(results: Results, network: Network, limit: float) -> list[tuple[str, ...]]:
    times, load = interleave(
        {name: lambda k, name=name: _median_epoch(name, network) for name in SYSTEMS}, ROUNDS
    )
    rows = []
    for name, values in times.items():
        results.add("training", str(network), name, "epoch", "s", values, load)
        shown = ratios(values, times["jax"])
        rows.append(
            (
                f"{network} {name}",
                spread([1000 * v for v in values]),
                spread(shown),
                verdict(shown, limit, load) if name.startswith("ours") else "",
            )
        )
    return rows


def _command_row(
    results: Results, network: Network, few: int, many: int, limit: float
) -> tuple[str, ...]:
    times, load = interleave(
        {
            "train.py": lambda k: _epoch_of_command(network, few, many),
            "jax": lambda k: _median_epoch("jax", network),
        },
        ROUNDS,
    )
    case = f"{network}, {many} less {few} epochs"
    for name, values in times.items():
        results.add("training", case, name, "epoch", "s", values, load)
    shown = ratios(times["train.py"], times["jax"])
    ours = spread([1000 * v for v in times["train.py"]])
    return case, ours, spread(shown), verdict(shown, limit, load)


def _median_epoch(system: str, network: Network) -> float:
    return statistics.median(measure("benchmarks.training", system, *map(str, network)))


def _epoch_of_command(network: Network, few: int, many: int) -> float:
    """Seconds by which one more epoch lengthens `train.py`."""
    seconds = {}
    for epochs in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(PYTHON, "train.py", "--hessian-every", "0", "--max-epoch", str(epochs)),
                *("--num-layers", str(network.layers), "--lstm-size", str(network.size)),
                *("--num-steps", str(network.num_steps)),
                *("--models-dir", f"{folder}/models", "--logs-dir", f"{folder}/logs"),
            ]
            began = time.perf_counter()
            subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
            seconds[epochs] = time.perf_counter() - began
    return (seconds[many] - seconds[few]) / (many - few)


if __name__ == "__main__":
    of = Network(*map(int, sys.argv[2:]))
    measured = SYSTEMS[sys.argv[1]](of, WARM_UP + EPOCHS[of.num_steps])
    print(json.dumps(measured[WARM_UP:]))
