"""Files are written whole or not at all."""

import gc
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from stock_rnn.files import (
    PART_PREFIX,
    atomic_write,
    remove_old_part_files,
    remove_part_files,
    write_arrays,
    write_json,
)
from tests.conftest import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writers_find_the_format_by_the_suffix(tmp_path):
    with atomic_write(tmp_path / "a.npz") as part:
        np.savez(part, x=np.arange(3))
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], [0, 1, 2])
    with atomic_write(tmp_path / "a.png") as part:
        Figure().savefig(part)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with atomic_write(tmp_path / "a.keras") as part:
        model.save(part)
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
    assert names(tmp_path) == ["a.keras", "a.npz", "a.png"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(UnicodeEncodeError), atomic_write(path) as part:
        part.write_text("half \udc80", encoding="utf-8")
    assert json.loads(path.read_text()) == {"a": 1}
    assert names(tmp_path) == ["a.json"]


def _interrupted(path):
    with atomic_write(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt


def test_an_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "a.txt")
    assert names(tmp_path) == []


def _write_bytes(path):
    with atomic_write(path) as part:
        part.write_bytes(b"x" * 5000)


def _write_arrays(path):
    write_arrays(path, {"x": np.zeros(5000)})


# What is printed when an object of a failed write is freed would be a second error.
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("write", [_write_bytes, _write_arrays])
def test_a_write_beyond_the_file_size_limit_leaves_the_old_file(write, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write(path)
        gc.collect()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.npz"]


def test_arrays_are_read_back_as_they_were(tmp_path):
    arrays = {"x": np.arange(6.0).reshape(2, 3), "a/b": np.array("text"), "n": 3}
    write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert sorted(found) == sorted(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)
    assert names(tmp_path) == ["a.npz"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_permissions_of_open(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a.txt") as part:
            part.write_text("a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_an_existing_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    with atomic_write(path) as part:
        part.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


WRITE_AND_DIE = """
import os, pathlib, signal, sys
from stock_rnn.files import atomic_write
with atomic_write(pathlib.Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_part_file_of_a_killed_writer_is_harmless_and_can_be_removed(tmp_path):
    path = tmp_path / "a.txt"
    killed = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    assert left.startswith(PART_PREFIX)
    with atomic_write(path) as part:
        part.write_text("whole")
    assert path.read_text() == "whole"
    remove_part_files(tmp_path)
    assert names(tmp_path) == ["a.txt"]


def test_what_is_an_hour_old_is_removed_in_all_folders_and_what_is_younger_stays(tmp_path):
    parts = [tmp_path / f"{PART_PREFIX}a.json", tmp_path / "deep" / ".b.npz.1.part"]
    young, kept = tmp_path / f"{PART_PREFIX}c.json", tmp_path / "c.json"
    (tmp_path / "deep").mkdir()
    for path in (*parts, young, kept):
        path.write_text("half")
    hours_ago = time.time() - 2 * 3600
    for path in (*parts, kept):
        os.utime(path, (hours_ago, hours_ago))
    remove_old_part_files(tmp_path)
    assert names(tmp_path) == sorted([young.name, kept.name, "deep"])
    assert names(tmp_path / "deep") == []


def test_two_writers_of_one_path_do_not_mix(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        assert first != second
        first.write_text("first, which is longer")
        second.write_text("second")
    # The outer block ends last.
    assert path.read_text() == "first, which is longer"
    assert names(tmp_path) == ["a.txt"]
