"""What the benchmarks say of their own numbers."""

import subprocess
import sys
import time

import pytest

pytest.importorskip("psutil")

from benchmarks import _frame
from benchmarks._frame import Load, LoadMeter, Results, interleave, ratios, spread, verdict
from benchmarks.compare import compare

QUIET, BUSY = Load(0.01), Load(0.5)


def test_systems_take_turns_and_none_is_always_first():
    order = []
    systems = {name: lambda k, name=name: order.append((k, name)) or k for name in "abc"}
    found, _ = interleave(systems, 4)
    assert [name for _, name in order] == [*"abc", *"bca", *"cab", *"abc"]
    assert found == {name: [0, 1, 2, 3] for name in "abc"}


def test_load_is_what_others_used_of_all_processors(monkeypatch):
    clock, everything, own = iter([0.0, 2.0]), iter([10.0, 15.0]), iter([1.0, 3.0])
    monkeypatch.setattr(_frame.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(_frame, "_all_seconds", lambda: next(everything))
    monkeypatch.setattr(_frame, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(_frame.psutil, "cpu_count", lambda: 4)
    # 3 of 2 x 4 seconds.
    assert LoadMeter().read().others == pytest.approx(3 / 8)


def test_the_work_of_a_child_process_is_no_load():
    before = _frame._own_seconds()
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", spin], check=True)
    # The system counts hundredths, and differences of floats round.
    assert _frame._own_seconds() - before >= 0.29 - 1e-6


def test_idle_processors_are_no_load():
    before = _frame._all_seconds()
    time.sleep(0.3)
    processors = _frame.psutil.cpu_count()
    assert 0 <= _frame._all_seconds() - before <= 0.3 * processors + 0.2


def test_a_busy_machine_gets_no_verdict():
    assert verdict([0.1], 0.3, BUSY) == "none: others used 50%"
    assert verdict([0.1], 0.3, QUIET) == "met"


def test_a_verdict_is_of_the_whole_range():
    assert verdict([0.1, 0.2, 0.29], 0.3, QUIET) == "met"
    assert verdict([0.1, 0.2, 0.31], 0.3, QUIET) == "open"
    assert verdict([0.31, 0.4], 0.3, QUIET) == "missed"


def test_ratios_are_of_the_same_round():
    assert ratios([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_a_spread_has_the_median_and_the_range():
    assert spread([3.0, 1.0, 2.5]) == "2.5 (1 to 3)"
    assert spread([0.12345], ".2f") == "0.12"


def results(commit, values, load=QUIET):
    found = Results(commit, "machine")
    found.add("curvature", "1x32", "ours", "solving", "s", values, load)
    return found


def test_results_are_read_as_they_were_written(tmp_path):
    before = results("abc", [1.0, 2.0])
    before.write(tmp_path / "folder" / "a.json")
    assert Results.read(tmp_path / "folder" / "a.json") == before
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("after", "load", "expected"),
    [
        ([0.4, 0.6], QUIET, "less"),
        ([0.4, 1.5], QUIET, "same"),
        ([3.0, 4.0], QUIET, "more"),
        ([3.0, 4.0], BUSY, "none: the machine was busy"),
    ],
)
def test_two_commits_differ_where_their_ranges_do_not_overlap(after, load, expected):
    (row,) = compare(results("a", [1.0, 2.0]), results("b", after, load))
    assert row[0] == "curvature 1x32 ours solving"
    assert row[-1] == expected


def test_what_only_one_commit_measured_is_not_compared():
    other = Results("b", "machine")
    other.add("curvature", "1x32", "ours", "preparing", "s", [1.0], QUIET)
    assert compare(results("a", [1.0]), other) == []
