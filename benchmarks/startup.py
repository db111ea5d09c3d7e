"""How long whole commands take, imports and pictures included."""

import functools
import subprocess
import sys
import tempfile
import time

from benchmarks._frame import ROOT, Results, interleave, spread, verdict
from benchmarks._tables import print_table

ROUNDS = 7

# That of `make run`: the peers' packages, which TensorFlow would import, are not in it.
_INSTALLED = ROOT / ".venv" / "bin" / "python"
PYTHON = str(_INSTALLED) if _INSTALLED.exists() else sys.executable

FOLDERS = ("--models-dir", "{folder}/models", "--logs-dir", "{folder}/logs")

# Command -> its words, and the seconds that it may take.
COMMANDS = {
    "python -c pass": (("-c", "pass"), None),
    "train.py --help": (("train.py", "--help"), 0.5),
    "evaluate.py --help": (("evaluate.py", "--help"), 0.5),
    "train.py": (("train.py", "--run-name", "run", "--overwrite", *FOLDERS), 8.0),
    "evaluate.py": (("evaluate.py", "run", *FOLDERS), 5.0),
}


def main(results: Results) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = functools.partial(_seconds, folder)
        run(COMMANDS["train.py"][0])
        times, load = interleave(
            {name: lambda k, words=words: run(words) for name, (words, _) in COMMANDS.items()},
            ROUNDS,
        )
    rows = []
    for name, values in times.items():
        results.add("startup", "", name, "wall", "s", values, load)
        limit = COMMANDS[name][1]
        judged = (f"{limit:g}", verdict(values, limit, load)) if limit else ("", "")
        rows.append((name, spread(values, ".3g"), *judged))
    print_table(
        f"Whole commands: seconds, median (range) of {ROUNDS}",
        ("command", "seconds", "wanted, at most", "verdict"),
        rows,
    )


def _seconds(folder: str, words: tuple[str, ...]) -> float:
    command = [PYTHON, *(word.format(folder=folder) for word in words)]
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began
