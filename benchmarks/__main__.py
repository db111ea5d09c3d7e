"""Run the benchmarks, all or those named: `python -m benchmarks [NAME ...] [--json PATH]`."""

import argparse
import importlib
from pathlib import Path

from benchmarks._frame import ROOT, Results, describe_commit, describe_machine

NAMES = (
    *("startup", "scale", "growth", "stocks", "training", "backtest"),
    *("forecasting", "curvature", "tensor_train"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="|".join(NAMES), default=NAMES)
    parser.add_argument(
        "--json",
        type=Path,
        metavar="PATH",
        help="where the results go (default: build/bench/COMMIT.json)",
    )
    words = parser.parse_args()
    if unknown := sorted(set(words.names) - set(NAMES)):
        parser.error(f"unknown benchmarks: {', '.join(unknown)}")
    results = Results(describe_commit(), describe_machine())
    path = words.json or ROOT / "build" / "bench" / f"{results.commit or 'results'}.json"
    print(results.machine)
    for name in words.names:
        importlib.import_module(f"benchmarks.{name}").main(results)
        results.write(path)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
