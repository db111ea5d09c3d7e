"""Tables, and measuring in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks._frame import ROOT


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, the first to the left and the others to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for row in cells:
        first, *others = (
            c.ljust(w) if not i else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


def measure(module: str, *words: str) -> Any:
    """What `python -m MODULE WORDS...` prints as JSON: its own process, warm caches of its own.

    Two frameworks in one process would take each other's cores: their thread
    pools keep spinning for a while after the work is done.
    """
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(f"{module} {' '.join(words)} failed:\n{answer.stderr}")
    return json.loads(answer.stdout.splitlines()[-1])
