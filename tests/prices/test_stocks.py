"""Several stocks: the file that lists them, and the 20 that a package carries."""

import dataclasses
import importlib.util

import numpy as np
import pandas as pd
import pytest

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices, Stocks, load_prices, load_stocks, read_symbols, skfolio
from stock_rnn.prices.sources import name_of_several, parse_symbols


def prices(symbol, count=5):
    dates = np.arange(count).astype("datetime64[D]").astype("datetime64[s]")
    return Prices(symbol, "csv", dates, np.arange(1.0, count + 1))


def test_symbols_and_sectors_are_read_by_the_names_of_their_columns(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text('\ufeffName,Sector,Symbol\n"A, Inc.", Raw  materials ,AA\n\nB,,BB\n')
    assert read_symbols(path) == [("AA", "Raw materials"), ("BB", "")]
    path.write_text("symbol\nAA\nBB\n")
    assert read_symbols(path) == [("AA", ""), ("BB", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ticker,sector\nA,x\nB,y\n", "needs a first line with a column symbol"),
        ("", "needs a first line with a column symbol"),
        ("symbol\nA\nB\nA\n", "line 4: A is there twice"),
        ("symbol,sector\nA,x\n,y\n", "line 3: the symbol must be 1 to 64"),
        ("symbol\nA\n", "needs two symbols or more"),
        (b"symbol\nA\n\xff\n", "is no CSV in UTF-8"),
    ],
)
def test_a_file_of_symbols_that_cannot_be_read_is_refused_in_one_line(content, message, tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as error:
        read_symbols(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_of_symbols_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.csv: No such file"):
        read_symbols(tmp_path / "absent.csv")


def test_a_list_of_symbols_is_split_at_its_commas():
    assert parse_symbols("AAPL, ^GSPC,BRK-B") == ("AAPL", "^GSPC", "BRK-B")
    assert name_of_several("A,B,C", None) == "A+B+C"
    assert name_of_several("A,B,C,D,E", None) == "A+B+C+2more"
    assert name_of_several(None, "lists/us20.csv") == "us20"
    for text, message in (("A,,B", "1 to 64"), ("A,B,A", "A twice"), ("A", "two symbols or more")):
        with pytest.raises(UserError, match=message):
            parse_symbols(text)


def test_several_stocks_know_their_days_and_digest():
    one, two = prices("A"), prices("B", 8)
    both = Stocks("both", (one, two), ("x", ""))
    assert (len(both), both.symbols, both.source) == (13, ("A", "B"), "csv")
    np.testing.assert_array_equal(both.dates, two.dates)
    assert both["B"] is two
    with pytest.raises(KeyError):
        both["C"]
    digests = {
        both.sha256,
        Stocks("both", (two, one), ("x", "")).sha256,
        Stocks("both", (one, dataclasses.replace(two, symbol="C")), ("x", "")).sha256,
        Stocks("both", (one, dataclasses.replace(two, close=two.close + 1)), ("x", "")).sha256,
    }
    assert len(digests) == 4
    for bad in (((one,), ("",)), ((one, one), ("", "")), ((one, two), ("",))):
        with pytest.raises(ValueError, match="stocks"):
            Stocks("bad", *bad)


def test_two_spellings_of_one_symbol_are_one_stock():
    with pytest.raises(UserError, match=r"^A is there twice"):
        load_stocks([("a", ""), ("A", "")], lambda symbol: prices(symbol.upper()), name="n")


def test_the_prices_of_the_package_are_those_of_its_own_file():
    table = pd.read_csv(skfolio._path(), index_col="Date", parse_dates=True)
    assert table.shape[1] == 20
    found = load_prices("jpm", source="skfolio", period="max")
    assert (found.symbol, found.source, len(found)) == ("JPM", "skfolio", len(table))
    np.testing.assert_array_equal(found.close, table["JPM"])
    np.testing.assert_array_equal(found.dates, table.index.to_numpy().astype("datetime64[s]"))
    assert found.dates[-1].item().date() == skfolio.LAST_DAY
    year = load_prices("JPM", source="skfolio", period="1y")
    np.testing.assert_array_equal(year.dates, found.dates[-len(year) :])
    assert 245 < len(year) < 255


def test_a_stock_that_the_package_lacks_is_refused_with_those_that_it_has():
    with pytest.raises(UserError, match=r"skfolio has AAPL, .*XOM; use .* Received: symbol=TSLA"):
        load_prices("TSLA", source="skfolio")
    with pytest.raises(UserError, match="no opening prices"):
        load_prices("AAPL", source="skfolio", need_open=True)


def test_without_the_package_the_line_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps skfolio"):
        load_prices("AAPL", source="skfolio")


def test_a_damaged_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(skfolio, "_path", lambda: tmp_path / "absent.csv.gz")
    with pytest.raises(UserError, match=r"cannot read .*absent\.csv\.gz"):
        load_prices("AAPL", source="skfolio")
