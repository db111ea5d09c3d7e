"""Mutation testing: change the code in small ways and see whether a test notices.

A mutant is the code with one small change (`<` to `<=`, 1 to 2, `and` to `or`), made by
cosmic-ray. It is killed if a test fails or takes too long, and survives otherwise. A
survivor is either equivalent, as nothing that the code promises has changed, or a gap in
the tests. Those that were judged equivalent are in equivalent.toml, with the reason.

All of it happens in copies of the checkout in a temporary folder, so a run that is
broken off leaves no mutant behind. Hypothesis runs with its profile `ci`: the same mutant
always meets the same examples.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import tomllib
from cosmic_ray.commands import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Part:
    """A part of the package, and the tests that are to notice its mutants."""

    package: str
    tests: str
    sample: int  # mutants drawn by default
    selection: str  # of the tests, by pytest -k: without those that take long


PARTS = {
    "data": Part("stock_rnn/data", "tests/data", 120, "not ten_million"),
    # Those left out load TensorFlow.
    "algorithms": Part(
        "stock_rnn/curvature/algorithms",
        "tests/curvature/algorithms",
        150,
        "not whole_spectrum_agree",
    ),
    # Those left out draw many intervals.
    "judge": Part(
        "stock_rnn/study/judge",
        "tests/study/judge",
        100,
        "not covers and not nineteen and not noise",
    ),
}

# Left out: to and from bit operators, which mostly are the `|` of an annotation and fail
# on numbers whatever is tested; and from `is` to `==` and back, often the same.
COMPARISON = "(Eq|NotEq|Lt|LtE|Gt|GtE)"
LEFT_OUT = re.compile(
    "core/("
    "ReplaceBinaryOperator_.*(Bit(Or|And|Xor)|[LR]Shift).*"
    "|ReplaceUnaryOperator_.*Invert.*"
    f"|ReplaceComparisonOperator_{COMPARISON}_Is(Not)?"
    f"|ReplaceComparisonOperator_Is(Not)?_{COMPARISON}"
    ")"
)


@dataclass(frozen=True)
class Change:
    """One changed line of a module, without its indentation."""

    module: str
    function: str
    before: str
    after: str


def main() -> int:
    """Run it for the chosen parts. Returns 1 if the tests fail without a mutant."""
    parser = argparse.ArgumentParser(description="Mutation testing of parts of the package.")
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all three")
    parser.add_argument("--sample", type=int, help="mutants of each part, at random; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the random sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    flags = parser.parse_args()
    # One thread a process: the matrices are small.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    for name in flags.part or PARTS:
        sample = PARTS[name].sample if flags.sample is None else flags.sample
        with tempfile.TemporaryDirectory(prefix="mutate-") as temporary:
            copies = [copy_checkout(Path(temporary) / str(job)) for job in range(flags.jobs)]
            if not run_part(name, PARTS[name], sample, flags.seed, copies):
                return 1
        os.chdir(ROOT)
    return 0


def copy_checkout(target: Path) -> Path:
    """The package, its tests and their settings."""
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for folder in ("stock_rnn", "tests"):
        shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
    for file in ("pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / file, target)
    return target


def run_part(name: str, part: Part, sample: int, seed: int, copies: list[Path]) -> bool:
    """Try a sample of the mutants; whether the tests pass without one."""
    python = f"{shlex.quote(sys.executable)} -m pytest -x -q -p no:cacheprovider"
    command = f"{python} --hypothesis-profile=ci {part.tests} -k {shlex.quote(part.selection)}"
    os.chdir(copies[0])
    began = time.monotonic()
    outcome, output = run_tests(command, timeout=600)
    if outcome != TestOutcome.SURVIVED:
        print(f"{name}: the tests fail without a mutant:\n{output}", file=sys.stderr)
        return False
    limit = 30 + 5 * (time.monotonic() - began)

    mutants = all_mutants(part)
    total = len(mutants)
    if 0 < sample < total:
        mutants = random.Random(seed).sample(mutants, sample)
    free: multiprocessing.Queue[Path] = multiprocessing.Queue()
    for copy in copies:
        free.put(copy)
    judged = judged_equivalent(part)
    fates: Counter[str] = Counter()
    tasks = [(mutant, command, limit) for mutant in mutants]
    with multiprocessing.Pool(len(copies), enter_copy, (free,)) as pool:
        for fate, change, where in tqdm(pool.imap_unordered(try_mutant, tasks), name, len(tasks)):
            if fate == "survived" and change in judged:
                fate = "equivalent"
            if fate in ("survived", "failed"):
                tqdm.write(
                    f"{fate}: {where} {change.function}\n  - {change.before}\n  + {change.after}"
                )
            fates[fate] += 1
    print(score(name, fates, total))
    return True


def all_mutants(part: Part) -> list[MutationSpec]:
    """Every mutant of a part, in a fixed order. Reads the modules below the current folder."""
    with use_db(":memory:") as database:
        init(find_modules([Path(part.package)]), database, {})
        mutants = [item.mutations[0] for item in database.work_items]
    mutants = [
        m for m in mutants if not LEFT_OUT.fullmatch(m.operator_name) and not is_bare_star(m)
    ]
    return sorted(
        mutants, key=lambda m: (str(m.module_path), m.start_pos, m.operator_name, m.occurrence)
    )


def is_bare_star(mutant: MutationSpec) -> bool:
    """Whether the mutant replaces the `*` before keyword-only parameters: no operator."""
    line, column = mutant.start_pos
    return mutant.module_path.read_text(encoding="utf-8").split("\n")[line - 1][column:][:2] == "*,"


def enter_copy(free: multiprocessing.Queue[Path]) -> None:
    """Give each process a copy of the checkout of its own."""
    os.chdir(free.get())


def try_mutant(task: tuple[MutationSpec, str, float]) -> tuple[str, Change, str]:
    """What became of a mutant (killed, timeout, survived, failed), the change, and where."""
    mutant, command, limit = task
    result = mutate_and_test([mutant], command, limit)
    lines = [line for line in (result.diff or "").split("\n")[3:] if line[:1] in ("-", "+")]
    before, after = (
        " ".join(" ".join(line[1:] for line in lines if line[0] == sign).split()) for sign in "-+"
    )
    change = Change(str(mutant.module_path), mutant.definition_name or "", before, after)
    where = f"{mutant.module_path}:{mutant.start_pos[0]}"
    if result.worker_outcome != WorkerOutcome.NORMAL or result.test_outcome is None:
        return "failed", change, f"{where} {mutant.operator_name}: {result.output}"
    return "timeout" if result.output == "timeout" else result.test_outcome.value, change, where


def judged_equivalent(part: Part) -> set[Change]:
    """The mutants of a part that were judged equivalent. Says which no longer apply."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    judged = set()
    for entry in entries:
        if not entry["module"].startswith(part.package):
            continue
        change = Change(*(entry[name] for name in ("module", "function", "before", "after")))
        lines = Path(change.module).read_text(encoding="utf-8").split("\n")
        if change.before not in {" ".join(line.split()) for line in lines}:
            print(f"out of date, to be deleted from {EQUIVALENT.name}: {change}")
        judged.add(change)
    return judged


def score(name: str, fates: Counter[str], total: int) -> str:
    """One line: how many of the mutants that are not equivalent were killed."""
    killed = fates["killed"] + fates["timeout"]
    return (
        f"{name}: {fates.total()} of {total} mutants tried; {killed} killed, of them "
        f"{fates['timeout']} by the time limit; {fates['survived']} survived; "
        f"{fates['equivalent']} equivalent; {fates['failed']} failed. "
        f"Score: {killed / max(killed + fates['survived'], 1):.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
