"""Hessian products, both ends of the spectrum, and tracking them, against PyTorch and JAX.

All data in one batch: 1,131 windows of the bundled ^GSPC. The peers' networks have the
same weights and data; losses and gradients (JAX) and the eigenvalues must agree. Each system
is measured in processes of its own, in turn; ratios are taken round by round.

Preparing is building the operator and a first product, where TensorFlow traces its
graph. Imports are not counted.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._frame import Load, Results, interleave, ratios, spread, verdict
from benchmarks._tables import measure, print_table

OURS, PEERS, JAX = "benchmarks._hessians", "benchmarks._peers", "benchmarks._jax"
NETWORKS = ("1x32", "1x128", "5x128")
EPOCHS = 10  # of training before the Hessian is taken
TOL = 1e-3
ROUNDS = 3
SEEDS = 5  # of whole solves

# In gradients, everything between the products counted in.
GRADIENTS_WANTED = {"1x32": 0.8, "5x128": 1.8}
SOLVING_WANTED = {"curvlinops": 1 / 3, "JAX": 1.0}
BETWEEN_WANTED = {"5x128": 0.15}  # the share of a solve that is spent between the products
PRODUCTS_WANTED, SECONDS_WANTED = 8, 2.5
SPECTRUM_WANTED = {"seconds": 40, "MiB": 1536}


def main(results: Results) -> None:
    with tempfile.TemporaryDirectory() as folder:
        problems = {name: _problem(folder, name, 3) for name in NETWORKS}
        _products(problems, results)
        for name, path in problems.items():
            _both_ends(name, path, results)
        _long_windows(_problem(folder, "1x32", 30))
        _tracking(results)
        _all_eigenvalues(problems["1x32"], results)


def _problem(folder: str, network: str, num_steps: int) -> str:
    path = str(Path(folder, f"{network}-{num_steps}.npz"))
    measure(OURS, "write_problem", path, *network.split("x"), str(num_steps), str(EPOCHS))
    return path


def _medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(r[key] for r in results) for key in results[0]}


def _keep(
    results: Results, case: str, system: str, found: list[dict[str, Any]], load: Load, unit: str
) -> None:
    """Keep every quantity that the rounds have as a number."""
    for quantity, value in found[0].items():
        if isinstance(value, int | float):
            kind = unit if isinstance(value, float) else "1"
            values = [r[quantity] for r in found]
            results.add("curvature", case, system, quantity, kind, values, load)


def _products(problems: dict[str, str], results: Results) -> None:
    rows = []
    for name, path in problems.items():
        systems = {"ours": OURS, "curvlinops": PEERS}
        found, load = interleave(
            {
                system: lambda k, module=module, path=path: measure(module, "product", path)
                for system, module in systems.items()
            },
            ROUNDS,
        )
        for system, rounds in found.items():
            _keep(results, name, system, rounds, load, "s")
            wanted = GRADIENTS_WANTED.get(name) if system == "ours" else None
            counted = [r.get("run", r["product"]) / r["gradient"] for r in rounds]
            rows.append(
                [
                    *_gradients(f"{name} {system}", _medians(rounds)),
                    spread(counted, ".2f"),
                    f"{wanted}" if wanted else "",
                    verdict(counted, wanted, load) if wanted else "",
                ]
            )
    print_table(
        "A Hessian-vector product in a Lanczos run, T = 3",
        (
            "network and system",
            "gradient, ms",
            "product, ms",
            "in gradients",
            "all counted",
            "wanted, at most",
            "verdict",
        ),
        rows,
    )


def _gradients(name: str, seconds: dict[str, float]) -> list[str]:
    gradient, product = seconds["gradient"], seconds["product"]
    words = f"{1000 * gradient:.1f}", f"{1000 * product:.1f}", f"{product / gradient:.2f}"
    return [name, *words]


def _both_ends(name: str, path: str, results: Results) -> None:
    _must_be_one_network(path)
    systems = {
        "ours": (OURS, "solve"),
        "curvlinops": (PEERS, "curvlinops"),
        "JAX": (JAX, "solve"),
        "PyHessian, top only": (PEERS, "power_iteration"),
    }
    found, load = interleave(
        {
            system: lambda seed, words=words: measure(*words, path, str(seed), str(TOL))
            for system, words in systems.items()
        },
        SEEDS,
    )
    for ours, *theirs in zip(*(found[s] for s in ("ours", *SOLVING_WANTED)), strict=True):
        for other in theirs:
            _must_agree(ours, other)
    solving = {system: [r["solving"] for r in rounds] for system, rounds in found.items()}
    rows = []
    for system, rounds in found.items():
        _keep(results, name, system, rounds, load, "s")
        wanted = SOLVING_WANTED.get(system)
        ratio = ratios(solving["ours"], solving[system])
        both = ratios(
            *([r["preparing"] + r["solving"] for r in found[s]] for s in ("ours", system))
        )
        rows.append(
            [
                system,
                *_ends(rounds[-1]),
                f"{statistics.median(r['products'] for r in rounds):.0f}",
                spread([r["preparing"] for r in rounds], ".2f"),
                spread(solving[system]),
                spread(ratio, ".2f") if system != "ours" else "",
                f"{wanted:.2f}" if wanted else "",
                verdict(ratio, wanted, load) if wanted else "",
                spread(both, ".2f") if system != "ours" else "",
            ]
        )
    print_table(
        f"Both ends from a cold start, {name}, T = 3, tol {TOL}: median (range) of {SEEDS} seeds",
        (
            "system",
            "λ_min ± residual",
            "λ_max ± residual",
            "products",
            "preparing, s",
            "solving, s",
            "ours / it",
            "wanted",
            "verdict",
            "with preparing",
        ),
        rows,
    )
    between = [r["between"] for r in found["ours"]]
    if wanted := BETWEEN_WANTED.get(name):
        print(
            f"Between the products: {spread(between, '.0%')} of the time, at most {wanted:.0%} "
            f"wanted: {verdict(between, wanted, load)}"
        )


def _must_be_one_network(path: str) -> None:
    """Check that JAX's network has the loss and the gradient of ours, to rounding."""
    ours, theirs = (measure(module, "gradient", path) for module in (OURS, JAX))
    a, b = (np.array(found["gradient"]) for found in (ours, theirs))
    apart = float(np.linalg.norm(a - b) / np.linalg.norm(a))
    if apart > 1e-4 or abs(ours["loss"] - theirs["loss"]) > 1e-5 * ours["loss"]:
        raise RuntimeError(
            f"The losses are {ours['loss']} and {theirs['loss']}, the gradients {apart:.0e} apart."
        )


def _ends(found: dict[str, Any]) -> list[str]:
    """λ_min and λ_max with their residuals; a single eigenvalue in the column of its sign."""
    pairs = zip(found["eigenvalues"], found["residuals"], strict=True)
    words = [f"{value:.5f} ± {residual:.0e}" for value, residual in pairs]
    if len(words) == 1:
        words.insert(0 if found["eigenvalues"][0] > 0 else 1, "")
    return words


def _must_agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for a, b in zip(ours["eigenvalues"], theirs["eigenvalues"], strict=True):
        if abs(a - b) > TOL * abs(b):
            raise RuntimeError(f"The eigenvalues differ: {ours}, {theirs}")


def _long_windows(path: str) -> None:
    kinds: dict[str, list[Any]] = {"unrolled": [], "looped": []}
    for seed in range(2):
        for kind, found in kinds.items():
            solved = measure(OURS, "solve", path, str(seed), str(TOL), kind)
            found.append((measure(OURS, "product", path, kind), solved))
        _must_agree(kinds["unrolled"][-1][1], kinds["looped"][-1][1])
    rows = []
    for kind, found in kinds.items():
        times = _medians([product for product, _ in found])
        solved = _medians(
            [{k: s[k] for k in ("products", "preparing", "solving")} for _, s in found]
        )
        rows.append(
            [
                *_gradients(kind, times),
                f"{solved['products']:.0f}",
                f"{solved['preparing']:.1f}",
                f"{solved['solving']:.2f}",
            ]
        )
    print_table(
        f"1x32, T = 30, both ends from a cold start, tol {TOL}",
        (
            "time steps",
            "gradient, ms",
            "product, ms",
            "in gradients",
            "products",
            "preparing, s",
            "solving, s",
        ),
        rows,
    )


def _tracking(results: Results) -> None:
    found, load = interleave(
        {every: lambda k, every=every: measure(OURS, "train", every) for every in ("0", "1")},
        ROUNDS,
    )
    for every, system in (("0", "without"), ("1", "with")):
        values = [r["seconds"] for r in found[every]]
        results.add("curvature", "tracking", system, "run", "s", values, load)
    without, measured = ([r["seconds"] for r in found[every]] for every in ("0", "1"))
    more = [b - a for a, b in zip(without, measured, strict=True)]
    products = found["1"][0]["products"]
    median = statistics.median(products)
    print_table(
        f"Measured after each of {len(products)} epochs: train.py's default run, 1x32, tol 1e-2",
        ("quantity", "measured", "wanted, at most", "verdict"),
        [
            ("products an epoch, median", f"{median:.0f}", f"{PRODUCTS_WANTED}", ""),
            ("products an epoch, most", f"{max(products)}", "", ""),
            ("the run without, s", spread(without), "", ""),
            ("the run with it, s", spread(measured), "", ""),
            ("more, s", spread(more), f"{SECONDS_WANTED}", verdict(more, SECONDS_WANTED, load)),
        ],
    )


def _all_eigenvalues(path: str, results: Results) -> None:
    rounds, load = interleave({"ours": lambda k: measure(OURS, "spectrum", path)}, 1)
    (found,) = rounds["ours"]
    for quantity, unit in (("seconds", "s"), ("peak", "MiB")):
        results.add("curvature", "1x32", "all eigenvalues", quantity, unit, [found[quantity]], load)
    seconds, mebibytes = SPECTRUM_WANTED["seconds"], SPECTRUM_WANTED["MiB"]
    print_table(
        f"All {found['n']:,} eigenvalues, 1x32, T = 3, in a process of its own",
        ("quantity", "measured", "wanted, at most", "verdict"),
        [
            (
                "seconds",
                f"{found['seconds']:.1f}",
                f"{seconds}",
                verdict([found["seconds"]], seconds, load),
            ),
            ("MiB at the peak", f"{found['peak']:.0f}", f"{mebibytes}", ""),
        ],
    )
