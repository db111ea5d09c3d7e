"""Compare the results of two commits: `python -m benchmarks.compare OLD.json NEW.json`."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks._frame import Load, Result, Results, spread
from benchmarks._tables import print_table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("old", type=Path, metavar="OLD.json")
    parser.add_argument("new", type=Path, metavar="NEW.json")
    words = parser.parse_args()
    old, new = Results.read(words.old), Results.read(words.new)
    print_table(
        f"{new.commit} over {old.commit}",
        ("what", "unit", old.commit or "old", new.commit or "new", "new / old", "verdict"),
        compare(old, new),
    )
    if old.machine != new.machine:
        print(f"Other machines: {old.machine}; {new.machine}.")


def compare(old: Results, new: Results) -> list[tuple[str, ...]]:
    """A row for every quantity that both have: name, unit, both spreads, ratio, verdict."""
    before = {row.key: row for row in old.rows}
    rows = []
    for row in new.rows:
        if (known := before.get(row.key)) is None:
            continue
        middle = statistics.median(known.values)
        ratio = f"{statistics.median(row.values) / middle:.2f}" if middle else ""
        name = " ".join(filter(None, (row.bench, row.case, row.system, row.quantity)))
        words = (spread(known.values), spread(row.values))
        rows.append((name, row.unit, *words, ratio, _verdict(known, row)))
    return rows


def _verdict(old: Result, new: Result) -> str:
    """Only ranges that do not overlap differ, and none where the machine was busy."""
    if Load(old.others).busy or Load(new.others).busy:
        return "none: the machine was busy"
    if min(new.values) > max(old.values):
        return "more"
    return "less" if max(new.values) < min(old.values) else "same"


if __name__ == "__main__":
    main()
