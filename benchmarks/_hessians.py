"""What `benchmarks.curvature` measures of `stock_rnn.curvature`: one quantity a process."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.config import resolve
from stock_rnn.curvature import (
    HessianOperator,
    LinearCombination,
    exact_spectrum,
    extreme_eigenpairs,
    load_measurements,
)
from stock_rnn.curvature.algorithms.extreme import extreme_routine
from stock_rnn.curvature.operators.protocol import MatvecRoutine, adapt_routine, vector_type
from stock_rnn.data import StockDataSet
from stock_rnn.network import build_model
from stock_rnn.optimizers import make_optimizer
from stock_rnn.prices import load_prices
from stock_rnn.training.epochs import EpochTrainer
from stock_rnn.training.train import train as train_run

EXAMPLES = 1131
ALTERNATIONS = 3


def write_problem(path: str, layers: str, size: str, num_steps: str, epochs: str) -> None:
    """A network's weights and its training windows, for every system to read.

    The weights are those after some epochs of training as `train.py` does it.
    """
    keras.utils.set_random_seed(0)
    # 1,260 prices at T = 3; the newest tenth of the examples is held out.
    prices = load_prices("^GSPC", source="bundled", period="max").close[-1257 - int(num_steps) :]
    dataset = StockDataSet(prices, num_steps=int(num_steps))
    assert len(dataset.train) == EXAMPLES
    model = build_model(num_steps=int(num_steps), num_layers=int(layers), lstm_size=int(size))
    if int(epochs):
        model.compile(optimizer=make_optimizer("rmsprop", 0.001), loss="mse")
        model.optimizer.build(model.trainable_variables)
        trainer = EpochTrainer(model, dataset, batch_size=64, shuffle="batches", seed=0)
        for epoch in range(int(epochs)):
            trainer.train(epoch)
    weights = {f"weight_{k:02}": w for k, w in enumerate(model.get_weights())}
    x, y = dataset.train_X.astype(np.float32), dataset.train_y.astype(np.float32)
    np.savez(path, layers=int(layers), size=int(size), x=x, y=y, **weights)


def _read(path: str, unroll: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    with np.load(path) as file:
        model = build_model(
            num_steps=file["x"].shape[1],
            num_layers=int(file["layers"]),
            lstm_size=int(file["size"]),
            unroll=unroll == "unrolled",
        )
        model.set_weights([file[name] for name in file.files if name.startswith("weight")])
        return model, file["x"], file["y"]


def gradient(path: str) -> dict[str, Any]:
    """The loss and its whole gradient."""
    model, x, y = _read(path, "unrolled")
    hessian = HessianOperator(model, "mse", x, y)
    return {"loss": hessian.loss(), "gradient": hessian.gradient().tolist()}


def product(path: str, unroll: str = "unrolled") -> dict[str, float]:
    """Seconds of a full-data gradient, and of a product in a Lanczos run, in turn."""
    model, x, y = _read(path, unroll)
    hessian = HessianOperator(model, "mse", x, y)
    inputs, targets = tf.constant(x), tf.constant(y)

    @tf.function
    def gradient() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs, training=False) - targets) ** 2)
        return loss, tape.gradient(loss, model.trainable_variables)

    seconds: dict[str, list[float]] = {"gradient": [], "product": [], "run": []}
    for alternation in range(1 + ALTERNATIONS):
        if alternation == 1:
            for times in seconds.values():  # the first were to warm up
                times.clear()
        for _ in range(10):
            began = time.perf_counter()
            gradient()[0].numpy()
            seconds["gradient"].append(time.perf_counter() - began)
        before, began = hessian.products, time.perf_counter()
        search = extreme_routine(
            hessian.shape[0],
            1e-3,
            max_matvecs=20,
            seed=alternation,
            vector_type=vector_type(hessian),
        )
        hessian.run_routine(_timed(search, seconds["product"]))
        passed = time.perf_counter() - began
        seconds["run"].append(passed / (hessian.products - before))
    return {name: statistics.median(times) for name, times in seconds.items()}


def _timed(routine: MatvecRoutine[Any], seconds: list[float]) -> MatvecRoutine[Any]:
    """The same routine; `seconds` takes how long each product was waited for."""

    def answer(vectors: np.ndarray) -> MatvecRoutine[np.ndarray]:
        began = time.perf_counter()
        products = yield vectors
        # Several columns count as so many products.
        seconds.append((time.perf_counter() - began) * len(vectors) / vectors.size)
        return products

    return adapt_routine(routine, answer)


def solve(path: str, seed: str, tol: str, unroll: str = "unrolled") -> dict[str, Any]:
    """Both ends from a cold start."""
    model, x, y = _read(path, unroll)
    began = time.perf_counter()
    hessian = HessianOperator(model, "mse", x, y)
    hessian @ np.ones(hessian.shape[0])
    prepared = time.perf_counter()
    waited: list[float] = []
    found = extreme_eigenpairs(_Timed(hessian, waited), float(tol), seed=int(seed))
    solved = time.perf_counter()
    if not found.converged:
        raise RuntimeError(f"Not converged: {found}")
    return {
        "eigenvalues": found.eigenvalues.tolist(),
        "residuals": found.residuals.tolist(),
        "products": found.matvecs,
        "preparing": prepared - began,
        "solving": solved - prepared,
        "between": 1 - sum(waited) / (solved - prepared),
    }


class _Timed(LinearCombination):
    """An operator; `waited` takes the seconds of each question."""

    def __init__(self, operator: HessianOperator, waited: list[float]) -> None:
        super().__init__([(1.0, operator)])
        self._operator, self._waited = operator, waited

    def run_routine(self, routine: MatvecRoutine[Any]) -> Any:
        def answer(vectors: np.ndarray) -> MatvecRoutine[np.ndarray]:
            began = time.perf_counter()
            products = yield vectors
            self._waited.append(time.perf_counter() - began)
            return products

        return self._operator.run_routine(adapt_routine(routine, answer))


def spectrum(path: str) -> dict[str, float]:
    """All eigenvalues: seconds and the process's peak memory in MiB."""
    model, x, y = _read(path, "unrolled")
    began = time.perf_counter()
    eigenvalues = exact_spectrum(HessianOperator(model, "mse", x, y)).eigenvalues
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"n": len(eigenvalues), "seconds": seconds, "peak": peak}


def train(every: str) -> dict[str, Any]:
    """A whole training as `train.py` does it, the curvature measured every so many epochs.

    Returns its seconds, and the products of each measurement but the one before
    the first epoch, which starts cold.
    """
    config = resolve(None, {"source": "bundled", "hessian_every": int(every)})
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = train_run(config, models_dir=Path(folder, "models"), logs_dir=Path(folder, "logs"))
        seconds = time.perf_counter() - began
        measured = load_measurements(run.spectrum)[1:] if int(every) else []
    return {"seconds": seconds, "products": [m.matvecs for m in measured]}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
