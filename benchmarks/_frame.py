"""What all benchmarks share: taking turns, ranges, the machine's load, and a file of results.

A benchmark measures its systems in turn (`interleave`), shows medians with their ranges
(`spread`), and prints a verdict (`verdict`) only if the machine did little else meanwhile.
Everything measured goes into `Results`, which two commits can be compared by.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")

ROOT = Path(__file__).parent.parent

# The share of the machine's processors that other programs may use, for a verdict.
MOST_USED_BY_OTHERS = 0.05


@dataclass(frozen=True)
class Load:
    """How busy the machine was with other programs while something was measured."""

    others: float  # their share of all processors' time, 0 to 1

    @property
    def busy(self) -> bool:
        """Whether that is too much for a verdict."""
        return self.others > MOST_USED_BY_OTHERS


class LoadMeter:
    """Measures the `Load` from its construction to `read`.

    Work of other programs is what the processors did, less what this process and the
    child processes that it has waited for did.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter(), _all_seconds(), _own_seconds()

    def read(self) -> Load:
        """The load so far."""
        clock, everything, own = self._began
        passed = (time.perf_counter() - clock) * (psutil.cpu_count() or 1)
        others = _all_seconds() - everything - (_own_seconds() - own)
        return Load(max(0.0, others) / passed if passed else 0.0)


def _all_seconds() -> float:
    """Processor seconds that anything has used, other virtual machines included."""
    times = psutil.cpu_times()
    # Linux counts guests as user time too.
    idle = {"idle", "iowait", "guest", "guest_nice"}
    return sum(value for name, value in times._asdict().items() if name not in idle)


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def interleave(
    systems: Mapping[str, Callable[[int], T]], rounds: int
) -> tuple[dict[str, list[T]], Load]:
    """Measure every system once a round, each round beginning with another one.

    Args:
        systems: name -> a function of the round's number, which serves as a seed.
        rounds: how many.

    Returns:
        name -> what its function returned, by round; and the load meanwhile.
    """
    names, meter = list(systems), LoadMeter()
    found: dict[str, list[T]] = {name: [] for name in names}
    for k in range(rounds):
        first = k % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(systems[name](k))
    return found, meter.read()


def spread(values: Sequence[float], form: str = ".3g") -> str:
    """The median and the range: "1.2 (1.1 to 1.4)"; of one value, that value."""
    low, middle, high = (format(f(values), form) for f in (min, statistics.median, max))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Our value over theirs, round by round."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def verdict(values: Sequence[float], at_most: float, load: Load) -> str:
    """Whether what was wanted holds: "met", "missed", "open" within the range, or no verdict."""
    if load.busy:
        return f"none: others used {load.others:.0%}"
    if max(values) <= at_most:
        return "met"
    return "missed" if min(values) > at_most else "open"


@dataclass(frozen=True)
class Result:
    """One quantity of one system, once a round."""

    bench: str  # "curvature"
    case: str  # "5x128"
    system: str  # "ours"
    quantity: str  # "solving"
    unit: str  # "s"
    values: list[float]  # by round
    others: float  # see `Load`

    @property
    def key(self) -> tuple[str, ...]:
        """What the result of another commit is compared by."""
        return self.bench, self.case, self.system, self.quantity, self.unit


@dataclass
class Results:
    """All that one run of the benchmarks measured."""

    commit: str = ""
    machine: str = ""
    rows: list[Result] = field(default_factory=list)

    def add(
        self,
        bench: str,
        case: str,
        system: str,
        quantity: str,
        unit: str,
        values: Sequence[float],
        load: Load,
    ) -> None:
        """Keep one quantity; the arguments are the fields of `Result`."""
        row = Result(bench, case, system, quantity, unit, list(map(float, values)), load.others)
        self.rows.append(row)

    def write(self, path: Path) -> None:
        """Write all as JSON, under its name only when whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Results:
        """What `write` wrote."""
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(found["commit"], found["machine"], [Result(**row) for row in found["rows"]])


def describe_machine() -> str:
    """Processor, cores and Python, as the benchmarks print it."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def describe_commit() -> str:
    """The commit's short hash, with a "+" where files have changed since; "" without git."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip()
