import subprocess
import sys

import numpy as np
import pytest
from arch.data import nasdaq, sp500

from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.prices import BUNDLED_SYMBOLS, load_prices, yahoo
from stock_rnn.prices.bundled import read_bundled


@pytest.fixture
def no_yahoo(monkeypatch):
    def refuse(*_):
        raise AssertionError("Yahoo was asked")

    monkeypatch.setattr(yahoo, "read_yahoo", refuse)


@pytest.fixture
def only_yahoo(monkeypatch):
    class Asked(Exception):
        pass

    def ask(*_):
        raise Asked

    monkeypatch.setattr(yahoo, "read_yahoo", ask)
    return Asked


@pytest.mark.parametrize(
    ("symbol", "first", "last"), [("^GSPC", 1228.099976, 2506.850098), ("^IXIC", 2208.05, 6635.28)]
)
def test_the_bundled_prices_are_twenty_years_of_trading_days(symbol, first, last):
    prices = load_prices(symbol, source="bundled", period="max", need_open=True)
    assert len(prices) == 5031
    assert prices.dates[[0, -1]].astype("datetime64[D]").astype(str).tolist() == [
        "1999-01-04",
        "2018-12-31",
    ]
    assert prices.close[0] == pytest.approx(first, abs=1e-2)
    assert prices.close[-1] == pytest.approx(last, abs=1e-2)
    assert prices.dates.dtype == "datetime64[s]"
    assert prices.open is not None
    assert (prices.source, prices.dropped) == ("bundled", 0)


@pytest.mark.parametrize(("symbol", "data"), [("^GSPC", sp500), ("^IXIC", nasdaq)])
def test_the_bundled_prices_are_those_that_arch_loads(symbol, data):
    raw, table = read_bundled(symbol), data.load()
    np.testing.assert_array_equal(raw.dates, table.index.to_numpy().astype("datetime64[s]"))
    np.testing.assert_array_equal(raw.close, table["Close"])
    np.testing.assert_array_equal(raw.open, table["Open"])


def test_the_default_is_the_last_five_bundled_years(no_yahoo):
    prices = load_prices()
    assert prices.source == "bundled"
    assert prices.dates[0] == np.datetime64("2013-12-31")
    assert prices.dates[-1] == np.datetime64("2018-12-31")


def test_auto_takes_bundled_prices_for_a_span_inside_them(no_yahoo):
    inside = load_prices("^gspc", start="1999-01-01", end="2018-12-31")
    assert (inside.symbol, len(inside)) == ("^GSPC", 5031)


@pytest.mark.parametrize(
    "arguments",
    [
        {"start": "1998-12-31", "end": "2018-12-31"},
        {"start": "1999-01-04", "end": "2019-01-01"},
        {"start": "2010-01-01"},
        {"end": "2010-01-01"},
        {"symbol": "^DJI"},
        {"source": "yahoo"},
    ],
)
def test_auto_asks_yahoo_for_anything_else(arguments, only_yahoo):
    with pytest.raises(only_yahoo):
        load_prices(**arguments)


def test_auto_takes_the_file_that_is_named(tmp_path, no_yahoo):
    file = tmp_path / "x.csv"
    file.write_text("Date,Close\n2020-01-02,5\n")
    prices = load_prices("^GSPC", csv=file)
    assert (prices.source, prices.symbol, prices.close.tolist()) == ("csv", "^GSPC", [5.0])


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("DJI.csv", "DJI"),
        ("^DJI.csv.gz", "^DJI"),
        ("BRK.B.CSV", "BRK.B"),
        ("prices.txt", "prices"),
        ("no suffix", "no suffix"),
        (".csv", "CSV"),
        ("a\nb.csv", "a?b"),
        ("x" * 100 + ".csv", "x" * 64),
    ],
)
def test_prices_of_a_file_are_called_by_its_name(tmp_path, name, symbol):
    file = tmp_path / name
    file.write_text("Date,Close\n2020-01-02,5\n")
    assert load_prices(csv=file).symbol == symbol
    assert Config(csv=str(file)).symbol == symbol


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": "bundled", "symbol": "^DJI"}, ["^GSPC and ^IXIC", "--csv", "^DJI"]),
        ({"source": "bundled", "start": "2019-01-02", "end": "2020-01-01"}, ["2018-12-31"]),
        ({"source": "csv"}, ["--csv FILE"]),
        ({"source": "yahoo", "csv": "x.csv"}, ["yahoo", "x.csv"]),
        ({"source": "bundled", "csv": "x.csv"}, ["bundled", "x.csv"]),
        ({"source": "google"}, ["auto, bundled, csv, yahoo", "google"]),
        ({"symbol": ""}, ["symbol"]),
        ({"symbol": "  "}, ["symbol"]),
        ({"csv": "no/such/file.csv"}, ["no/such/file.csv", "No such file"]),
        ({"decimal": "comma"}, ["--decimal goes with --csv", "bundled"]),
        ({"source": "yahoo", "close_column": "x"}, ["--close-column goes with --csv", "yahoo"]),
        ({"csv": "x.csv", "decimal": ","}, ["--decimal must be one of point, comma", "','"]),
        ({"period": "5 years"}, ["1d, 5d", "5 years"]),
    ],
)
def test_impossible_arguments_are_refused_in_one_line(arguments, words, no_yahoo):
    with pytest.raises(UserError) as refusal:
        load_prices(**arguments)
    message = str(refusal.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_no_other_source_replaces_one_that_fails(monkeypatch):
    def fail(*_):
        raise UserError("Yahoo cannot be reached")

    monkeypatch.setattr(yahoo, "read_yahoo", fail)
    with pytest.raises(UserError, match="cannot be reached"):
        load_prices("^GSPC", source="yahoo", start="2010-01-01", end="2011-01-01")


def test_prices_import_neither_tensorflow_nor_the_libraries_of_other_sources():
    program = (
        "import sys, stock_rnn.prices as p\n"
        f"p.load_prices({BUNDLED_SYMBOLS[0]!r})\n"
        "slow = ('tensorflow', 'keras', 'yfinance', 'curl_cffi', 'arch', 'statsmodels', 'scipy')\n"
        "print([m for m in slow if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
