"""Hessian products, both ends of the spectrum, and tracking them, against PyTorch's tools.

All data in one batch: 1,131 windows of the bundled ^GSPC. PyTorch's networks have
the same weights and data, and the eigenvalues must agree. Each system is measured in
processes of its own, in turn; a ratio is that of the medians over all rounds.

Preparing is building the operator and a first product, where TensorFlow traces its
graph. Imports are not counted.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._frame import Results
from benchmarks._tables import measure, print_table

OURS, PEERS = "benchmarks._hessians", "benchmarks._peers"
NETWORKS = ("1x32", "1x128", "5x128")
EPOCHS = 10  # of training before the Hessian is taken
TOL = 1e-3
ROUNDS = 2
# Long solves are measured once: curvlinops takes a minute at 5x128.
SOLVES = {"1x32": 3, "1x128": 3, "5x128": 1}

GRADIENTS_WANTED = {"1x32": 1.0, "5x128": 2.0}
SHARE_WANTED = {"1x128": 1 / 3, "5x128": 1 / 3}
PRODUCTS_WANTED, TIMES_WANTED = 8, 3.0
SPECTRUM_WANTED = {"seconds": 40, "MiB": 1536}


def main(results: Results) -> None:
    with tempfile.TemporaryDirectory() as folder:
        problems = {name: _problem(folder, name, 3) for name in NETWORKS}
        _products(problems)
        for name, path in problems.items():
            _both_ends(name, path)
        _long_windows(_problem(folder, "1x32", 30))
        _tracking()
        _all_eigenvalues(problems["1x32"])


def _problem(folder: str, network: str, num_steps: int) -> str:
    path = str(Path(folder, f"{network}-{num_steps}.npz"))
    measure(OURS, "write_problem", path, *network.split("x"), str(num_steps), str(EPOCHS))
    return path


def _medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(r[key] for r in results) for key in results[0]}


def _products(problems: dict[str, str]) -> None:
    rows = []
    for name, path in problems.items():
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(measure(OURS, "product", path))
            theirs.append(measure(PEERS, "product", path))
        rows.append(_gradients(f"{name} ours", _medians(ours), GRADIENTS_WANTED.get(name)))
        rows.append(_gradients(f"{name} curvlinops", _medians(theirs)))
    print_table(
        "A Hessian-vector product in a Lanczos run, T = 3",
        ("network and system", "gradient, ms", "product, ms", "in gradients", "wanted, at most"),
        rows,
    )


def _gradients(name: str, seconds: dict[str, float], wanted: float | None = None) -> list[str]:
    gradient, product = seconds["gradient"], seconds["product"]
    return [
        name,
        f"{1000 * gradient:.1f}",
        f"{1000 * product:.1f}",
        f"{product / gradient:.2f}",
        f"{wanted}" if wanted else "",
    ]


def _both_ends(name: str, path: str) -> None:
    systems = {
        "ours": (OURS, "solve"),
        "curvlinops": (PEERS, "curvlinops"),
        "PyHessian, top only": (PEERS, "power_iteration"),
    }
    results: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    for seed in range(SOLVES[name]):
        for system, (module, function) in systems.items():
            results[system].append(measure(module, function, path, str(seed), str(TOL)))
        _must_agree(results["ours"][-1], results["curvlinops"][-1])
    times = {
        system: _medians([{k: r[k] for k in ("products", "preparing", "solving")} for r in found])
        for system, found in results.items()
    }
    rows = []
    for system, found in results.items():
        t, ours = times[system], times["ours"]
        wanted = SHARE_WANTED.get(name) if system == "curvlinops" else None
        rows.append(
            [
                system,
                *_ends(found[-1]),
                f"{t['products']:.0f}",
                f"{t['preparing']:.2f}",
                f"{t['solving']:.3f}",
                f"{ours['solving'] / t['solving']:.2f}",
                f"{wanted:.2f}" if wanted else "",
                f"{(ours['preparing'] + ours['solving']) / (t['preparing'] + t['solving']):.2f}",
            ]
        )
    print_table(
        f"Both ends from a cold start, {name}, T = 3, tol {TOL}, median of {SOLVES[name]}",
        (
            "system",
            "λ_min ± residual",
            "λ_max ± residual",
            "products",
            "preparing, s",
            "solving, s",
            "ours / it",
            "wanted",
            "with preparing",
        ),
        rows,
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
                *_gradients(kind, times)[:-1],
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


def _tracking() -> None:
    runs: dict[str, list[dict[str, Any]]] = {"0": [], "1": []}
    for _ in range(ROUNDS):
        for every, results in runs.items():
            results.append(measure(OURS, "train", every))
    without, measured = (statistics.median(r["seconds"] for r in runs[k]) for k in ("0", "1"))
    products = runs["1"][0]["products"]
    median = statistics.median(products)
    print_table(
        f"Measured after each of {len(products)} epochs: train.py's default run, 1x32, tol 1e-2",
        ("quantity", "measured", "wanted, at most"),
        [
            ("products an epoch, median", f"{median:.0f}", f"{PRODUCTS_WANTED}"),
            ("products an epoch, most", f"{max(products)}", ""),
            ("the run without, s", f"{without:.2f}", ""),
            ("the run with it, s", f"{measured:.2f}", ""),
            ("with / without", f"{measured / without:.2f}", f"{TIMES_WANTED}"),
        ],
    )


def _all_eigenvalues(path: str) -> None:
    found = measure(OURS, "spectrum", path)
    print_table(
        f"All {found['n']:,} eigenvalues, 1x32, T = 3, in a process of its own",
        ("quantity", "measured", "wanted, at most"),
        [
            ("seconds", f"{found['seconds']:.1f}", f"{SPECTRUM_WANTED['seconds']}"),
            ("MiB at the peak", f"{found['peak']:.0f}", f"{SPECTRUM_WANTED['MiB']}"),
        ],
    )
