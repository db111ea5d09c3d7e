import hashlib
import json
import multiprocessing
import time
from datetime import date, datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.errors import UserError
from stock_rnn.prices.cache import Cache, History, default_folder

HOSTILE = (
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "nul\0byte",
    "new\nline",
    "CON",
    "x" * 10_000,
    "%2e%2e",
    "~root",
    "\ud800",
    "ключ",
)


def history(symbol="^GSPC", close=(1.0, float("nan"), 3.0)):
    dates = np.array(["2020-01-02", "2020-01-03", "2020-01-06"], "datetime64[s]")
    return History(
        symbol,
        date(2020, 1, 1),
        date(2020, 1, 7),
        datetime(2020, 1, 8, 1, tzinfo=timezone.utc),
        dates,
        np.array(close),
        np.array(close) / 2,
    )


def assert_same(one, two):
    assert (one.symbol, one.first, one.last, one.fetched) == (
        two.symbol,
        two.first,
        two.last,
        two.fetched,
    )
    for name in ("dates", "close", "open"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "yahoo")


def test_a_history_is_read_back_and_no_other_file_is_left(cache):
    assert cache.read("^GSPC") is None
    cache.write(history())
    assert_same(cache.read("^GSPC"), history())
    assert sorted(path.suffix for path in cache.folder.iterdir()) == [".json", ".npz"]


@pytest.mark.parametrize("symbol", HOSTILE)
def test_the_files_of_any_symbol_are_inside_the_folder(cache, symbol):
    cache.write(history(symbol))
    assert_same(cache.read(symbol), history(symbol))
    files = [path for path in cache.folder.parent.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(path.parent == cache.folder and len(path.name) < 200 for path in files)


@given(st.text(st.characters()), st.text(st.characters()))
def test_two_symbols_never_share_a_file_even_if_case_is_ignored(one, two):
    cache = Cache(Path("folder"))
    names = [path.name for path in cache.paths(one)]
    others = [path.name.lower() for path in cache.paths(two)]
    assert (one == two) == any(name.lower() in others for name in names)
    for name in names:
        assert name.isascii()
        assert name == Path(name).name
        assert not name.startswith("..")


def test_symbols_that_differ_in_case_have_different_files(cache):
    assert cache.paths("aapl")[0].name.lower() != cache.paths("AAPL")[0].name.lower()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\0\1\2", b'{"format": 1}'])
def test_a_damaged_file_is_ignored_and_logged(cache, which, content, caplog):
    cache.write(history())
    cache.paths("^GSPC")[which].write_bytes(content)
    assert cache.read("^GSPC") is None
    assert "damaged cache file" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("symbol", "^IXIC"),
        ("sha256", "0" * 64),
        ("first", "soon"),
        ("first", None),
        ("fetched", 5),
    ],
)
def test_a_description_of_other_rows_is_ignored(cache, key, value):
    cache.write(history())
    description = cache.paths("^GSPC")[1]
    description.write_text(json.dumps(json.loads(description.read_text()) | {key: value}))
    assert cache.read("^GSPC") is None


def test_every_flipped_bit_of_the_rows_is_detected(cache):
    cache.write(history())
    rows = cache.paths("^GSPC")[0]
    data = rows.read_bytes()
    for position in range(0, len(data), 37):
        flipped = bytearray(data)
        flipped[position] ^= 1
        rows.write_bytes(flipped)
        assert cache.read("^GSPC") is None


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(cache, tmp_path):
    cache.write(history())
    rows, description = cache.paths("^GSPC")
    bombs = np.array([Bomb(tmp_path / "went off")] * 3, dtype=object)
    np.savez(rows, dates=bombs, close=bombs, open=bombs)
    about = json.loads(description.read_text())
    about["sha256"] = hashlib.sha256(rows.read_bytes()).hexdigest()
    description.write_text(json.dumps(about))
    assert cache.read("^GSPC") is None
    assert not (tmp_path / "went off").exists()


def test_a_failed_write_keeps_the_old_files(cache, monkeypatch):
    cache.write(history())

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(UserError, match="No space left"):
        cache.write(history(close=(7.0, 8.0, 9.0)))
    assert_same(cache.read("^GSPC"), history())
    assert len(list(cache.folder.iterdir())) == 2


def test_a_read_only_folder_is_an_error_that_names_its_variable(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "yahoo")
    with pytest.raises(UserError, match=r"file/yahoo.*STOCK_RNN_CACHE"), cache.lock():
        pass
    with pytest.raises(UserError, match=r"file/yahoo.*STOCK_RNN_CACHE"):
        cache.write(history())


def test_the_variable_moves_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("STOCK_RNN_CACHE", str(tmp_path / "there"))
    assert default_folder() == tmp_path / "there"
    monkeypatch.delenv("STOCK_RNN_CACHE")
    assert default_folder().name == "stock_rnn"


def _count_up(folder, times):
    cache = Cache(Path(folder))
    for _ in range(times):
        with cache.lock():
            found = cache.read("^GSPC")
            count = 0.0 if found is None else found.close[0]
            cache.write(history(close=(count + 1, 2.0, 3.0)))


def test_processes_that_write_at_once_leave_whole_files(cache):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_count_up, args=(cache.folder, 20)) for _ in range(4)]
    for writer in writers:
        writer.start()
    # A reader without the lock sees whole histories or none, never a mixture.
    while any(writer.is_alive() for writer in writers):
        found = cache.read("^GSPC")
        assert found is None or found.close[1:].tolist() == [2.0, 3.0]
        time.sleep(0.001)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert cache.read("^GSPC").close[0] == 80


def _hold(folder, held, release):
    with Cache(Path(folder)).lock():
        held.set()
        release.wait(30)


def test_waiting_for_another_process_has_a_limit(cache):
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    holder = spawn.Process(target=_hold, args=(cache.folder, held, release))
    holder.start()
    assert held.wait(30)
    impatient = Cache(cache.folder, lock_seconds=0.1)
    with pytest.raises(UserError, match="another process has held"), impatient.lock():
        pass
    release.set()
    holder.join()
    with impatient.lock():
        pass
