"""How long `train.py --help` takes, against an empty Python."""

import subprocess
import sys
import time

from benchmarks._frame import ROOT, Results, interleave, spread, verdict
from benchmarks._tables import print_table

ROUNDS = 11
LIMIT = 0.5


def _seconds(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(results: Results) -> None:
    commands = {"python -c pass": ("-c", "pass")} | {
        f"{script} --help": (script, "--help") for script in ("train.py", "evaluate.py")
    }
    times, load = interleave(
        {name: lambda k, words=words: _seconds(*words) for name, words in commands.items()}, ROUNDS
    )
    for name, values in times.items():
        results.add("startup", "", name, "wall", "s", values, load)
    print_table(
        f"Starting: seconds, median (range) of {ROUNDS} (wanted: under {LIMIT})",
        ("command", "seconds", "verdict"),
        [
            (name, spread(values, ".3f"), verdict(values, LIMIT, load))
            for name, values in times.items()
        ],
    )
