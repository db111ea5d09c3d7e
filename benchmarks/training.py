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
from typing import Any

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


def _network(layers: int, size: int, keep_prob: float = 0.8) -> Any:
    """The report's network, compiled."""
    import keras

    from stock_rnn.network import build_model
    from stock_rnn.optimizers import make_optimizer

    keras.utils.set_random_seed(0)
    model = build_model(num_steps=NUM_STEPS, num_layers=layers, lstm_size=size, keep_prob=keep_prob)
    model.compile(optimizer=make_optimizer("rmsprop", 0.001), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def ours(layers: int, size: int, epochs: int) -> list[float]:
    """`EpochTrainer`, the loss on the test set included."""
    from stock_rnn.training.epochs import EpochTrainer

    model, dataset = _network(layers, size), _dataset()
    trainer = EpochTrainer(model, dataset, batch_size=BATCH, shuffle="batches", seed=0)
    times = []
    for epoch in range(epochs):
        began = time.perf_counter()
        trainer.train(epoch)
        times.append(time.perf_counter() - began)
    return times


def keras_fit(layers: int, size: int, epochs: int) -> list[float]:
    """The same network under `compile` and `fit` with their defaults."""
    model, dataset = _network(layers, size), _dataset()
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


def jax_scan(layers: int, size: int, epochs: int) -> list[float]:
    """The same network, data, dropout and RMSProp in JAX: an epoch is one jitted `lax.scan`.

    From the same initial weights, and without dropout, its losses are ours (`check_jax`).
    """
    dataset = _dataset()
    weights = _network(layers, size).get_weights()
    _, times = _jax_epochs(weights, dataset, layers, epochs, keep_prob=0.8)
    return times


def check_jax(layers: int, size: int, epochs: int = 5) -> tuple[list[float], list[float]]:
    """Training losses by epoch without dropout, ours and JAX's."""
    from stock_rnn.training.epochs import EpochTrainer

    dataset = _dataset()
    model = _network(layers, size, keep_prob=1.0)
    theirs, _ = _jax_epochs(model.get_weights(), dataset, layers, epochs, keep_prob=1.0)
    trainer = EpochTrainer(model, dataset, batch_size=BATCH, shuffle="batches", seed=0)
    return [trainer.train(epoch)["loss"] for epoch in range(epochs)], theirs


def _jax_epochs(
    weights: list[np.ndarray], dataset: StockDataSet, layers: int, epochs: int, keep_prob: float
) -> tuple[list[float], list[float]]:
    """Losses and seconds by epoch; the seconds are those of the jitted function."""
    import jax
    import jax.numpy as jnp

    from stock_rnn.training.epochs import in_batches

    windows = jnp.asarray(dataset.windows, jnp.float32)

    def dropped(key, x):  # type: ignore[no-untyped-def]
        if keep_prob == 1.0:
            return x
        return jnp.where(jax.random.bernoulli(key, keep_prob, x.shape), x / keep_prob, 0.0)

    def forward(weights, x, key):  # type: ignore[no-untyped-def]
        outputs = [x[:, step] for step in range(NUM_STEPS)]
        for layer, layer_key in enumerate(jax.random.split(key, layers)):
            kernel, recurrent, bias = weights[3 * layer : 3 * layer + 3]
            h = c = jnp.zeros((len(x), recurrent.shape[0]))
            states = []
            for step in outputs:
                i, f, g, o = jnp.split(step @ kernel + h @ recurrent + bias, 4, axis=1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                states.append(h)
            # The last layer's output at the last step alone goes on.
            states = states[-1:] if layer == layers - 1 else states
            keys = jax.random.split(layer_key, len(states))
            outputs = [dropped(k, h) for k, h in zip(keys, states, strict=True)]
        return outputs[-1] @ weights[-2] + weights[-1]

    def step(state, batch):  # type: ignore[no-untyped-def]
        weights, squares, key = state
        examples, counted = batch
        key, batch_key = jax.random.split(key)
        x = windows[examples[:, None] + jnp.arange(NUM_STEPS)]
        y = windows[examples + NUM_STEPS]

        def loss_of(weights):  # type: ignore[no-untyped-def]
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


SYSTEMS: dict[str, Callable[[int, int, int], list[float]]] = {
    "ours": ours,
    "keras fit": keras_fit,
    "torch loop": torch_loop,
    "jax": jax_scan,
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
