"""Time and memory of training and curvature, against windows, units, layers and parameters.

An axis has a case that grows along it, all else fixed, and the exponent that would be ideal:
time proportional to the work. Between two neighbouring sizes the exponent is
log(time ratio) / log(size ratio). Each case is measured in a process of its own.
"""

from __future__ import annotations

import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._frame import ROOT, Results, interleave, spread
from benchmarks._tables import measure, print_table
from stock_rnn.curvature.palette import BLUE, GREEN, VERMILION, add_title, new_figure

ROUNDS = 2
REPEATS = 3  # within a process, after one that warms up; less where one takes long
LONG = 10.0  # seconds
WINDOWS = 1131
# Examples of a micro-batch of products: what bounds their memory.
MICRO_BATCH = 65_536
BASIS_BYTES = 2**30


@dataclass(frozen=True)
class Axis:
    """What grows, by which exponents it should, and the sizes of each quantity."""

    ideal: dict[str, float]  # quantity -> exponent of its seconds
    sizes: dict[str, tuple[int, ...]]
    fixed: str


AXES = {
    "windows": Axis(
        {"epoch": 1, "product": 1},
        {
            "epoch": (1_000, 10_000, 100_000, 1_000_000),
            "product": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
        },
        "1 layer, 32 units, T = 3",
    ),
    "units": Axis(
        {"epoch": 2, "product": 2},
        {"epoch": (32, 128, 512, 2_048), "product": (32, 128, 512, 2_048)},
        "1 layer, T = 3, 1,131 windows",
    ),
    "layers": Axis(
        {"epoch": 1, "product": 1},
        {"epoch": (1, 2, 4, 8), "product": (1, 2, 4, 8)},
        "128 units a layer, T = 3, 1,131 windows",
    ),
    "parameters": Axis(
        {"product": 1, "ends": 1},
        {
            "product": (10_000, 100_000, 1_000_000, 25_000_000),
            "ends": (10_000, 100_000, 1_000_000, 25_000_000),
        },
        f"two dense layers, 64 examples; a basis of at most {BASIS_BYTES // 2**20:,} MiB",
    ),
}


def main(results: Results) -> None:
    for name, axis in AXES.items():
        for quantity, sizes in axis.sizes.items():
            systems = {
                str(size): lambda k, words=(name, quantity, str(size)): measure(
                    "benchmarks.growth", *words
                )
                for size in sizes
            }
            found, load = interleave(systems, ROUNDS)
            for size, rounds in found.items():
                for key, unit in (("seconds", "s"), ("mebibytes", "MiB")):
                    values = [r[key] for r in rounds]
                    results.add(
                        "growth",
                        f"{size} {name}",
                        quantity,
                        f"{quantity} {key}",
                        unit,
                        values,
                        load,
                    )
            _print(name, quantity, found)


def _print(name: str, quantity: str, found: dict[str, list[dict[str, float]]]) -> None:
    axis, rows = AXES[name], []
    before: tuple[int, float] | None = None
    for size, rounds in found.items():
        seconds = statistics.median(r["seconds"] for r in rounds)
        grown = ""
        if before is not None:
            grown = f"{math.log(seconds / before[1], int(size) / before[0]):.2f}"
        before = int(size), seconds
        rows.append(
            [
                f"{int(size):,}",
                f"{rounds[0]['parameters']:,.0f}",
                spread([r["seconds"] for r in rounds]),
                grown,
                f"{axis.ideal[quantity]:g}",
                spread([r["mebibytes"] for r in rounds], ".0f"),
                *([f"{rounds[0]['products']:.0f}"] if quantity == "ends" else []),
            ]
        )
    header = [name, "parameters", "seconds", "exponent", "ideal", "MiB at the peak"]
    what = {"epoch": "A training epoch", "product": "A product", "ends": "Both ends, tol 0.01"}
    print_table(
        f"{what[quantity]} against {name}: {axis.fixed}",
        [*header, *(["products"] if quantity == "ends" else [])],
        rows,
    )


def grow(name: str, quantity: str, size: str) -> dict[str, float]:
    """Seconds, the process's peak memory, and parameters of one case."""
    model, x, y = _dense(int(size)) if name == "parameters" else _recurrent(name, int(size))
    found = {"parameters": float(model.count_params())}
    if quantity == "ends":
        found |= _ends(model, x, y)
    else:
        once = (_epoch if quantity == "epoch" else _product)(model, x, y)
        found["seconds"] = _median_seconds(once)
    found["mebibytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _median_seconds(once: Callable[[], Any]) -> float:
    once()
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < LONG:
        began = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _recurrent(name: str, size: int) -> tuple[Any, np.ndarray, np.ndarray]:
    from stock_rnn.network import build_model

    shape = {"windows": WINDOWS, "units": 32, "layers": 1} | {name: size}
    units = 128 if name == "layers" else shape["units"]
    model = build_model(num_steps=3, num_layers=shape["layers"], lstm_size=units)
    rng = np.random.default_rng(0)
    x = rng.normal(scale=0.01, size=(shape["windows"], 3, 1)).astype(np.float32)
    return model, x, rng.normal(scale=0.01, size=(shape["windows"], 1)).astype(np.float32)


def _dense(parameters: int) -> tuple[Any, np.ndarray, np.ndarray]:
    import keras

    width = round(math.sqrt(parameters))
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(width, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((width,)), *layers])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, width)).astype(np.float32)
    return model, x, rng.normal(size=(64, 1)).astype(np.float32)


def _operator(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    from stock_rnn.curvature import HessianOperator

    return HessianOperator(model, "mse", x, y, batch_size=min(len(x), MICRO_BATCH))


def _product(model: Any, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    operator = _operator(model, x, y)
    v = np.random.default_rng(1).standard_normal(operator.shape[0])
    return lambda: operator @ v


def _ends(model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    from stock_rnn.curvature import extreme_eigenpairs

    operator = _operator(model, x, y)
    operator @ np.ones(operator.shape[0])
    began = time.perf_counter()
    found = extreme_eigenpairs(operator, 1e-2, max_memory=BASIS_BYTES)
    if not found.converged:
        raise RuntimeError(f"Not converged: {found}")
    return {"seconds": time.perf_counter() - began, "products": float(found.matvecs)}


def _epoch(model: Any, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    from stock_rnn.data import StockDataSet
    from stock_rnn.optimizers import make_optimizer
    from stock_rnn.training.epochs import EpochTrainer

    prices = np.random.default_rng(0).lognormal(sigma=0.01, size=round(len(x) / 0.9) + 4)
    dataset = StockDataSet(prices, num_steps=3)
    model.compile(optimizer=make_optimizer("rmsprop", 0.001), loss="mse")
    model.optimizer.build(model.trainable_variables)
    trainer = EpochTrainer(model, dataset, batch_size=64, shuffle="batches", seed=0)
    return lambda: trainer.train(0)


def draw(results: Results, path: Path) -> None:
    """Draw the seconds of every axis, log-log, beside the ideal slope through the last size."""
    figure = new_figure(10, 7)
    panels = figure.subplots(2, 2).ravel()
    markers = {"epoch": ("o", BLUE), "product": ("s", VERMILION), "ends": ("^", GREEN)}
    for axes, (name, axis) in zip(panels, AXES.items(), strict=True):
        for quantity, sizes in axis.sizes.items():
            rows = {
                int(row.case.split()[0]): row.values
                for row in results.rows
                if (row.bench, row.system, row.quantity)
                == ("growth", quantity, f"{quantity} seconds")
                and row.case.endswith(f" {name}")
            }
            marker, color = markers[quantity]
            _line(
                axes, sizes, [rows[s] for s in sizes], axis.ideal[quantity], marker, color, quantity
            )
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds")
        axes.set_title(axis.fixed, fontsize=9)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    add_title(figure, "Seconds by size; dotted: growth in proportion to the work")
    figure.savefig(path, metadata={"Software": None})


def _line(
    axes: Any,
    sizes: Sequence[int],
    values: Sequence[Sequence[float]],
    ideal: float,
    marker: str,
    color: str,
    label: str,
) -> None:
    middle = np.array([statistics.median(v) for v in values])
    axes.plot(sizes, middle, marker=marker, color=color, label=label)
    axes.vlines(sizes, [min(v) for v in values], [max(v) for v in values], color=color)
    line = middle[-1] * (np.array(sizes) / sizes[-1]) ** ideal
    axes.plot(sizes, line, ls=":", color=color)


if __name__ == "__main__":
    if sys.argv[1] == "draw":
        # python -m benchmarks.growth draw build/bench/COMMIT.json
        draw(Results.read(Path(sys.argv[2])), ROOT / "docs" / "images" / "growth.png")
    else:
        print(json.dumps(grow(*sys.argv[1:])))
