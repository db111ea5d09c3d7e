import logging
import threading
import time
import warnings
from datetime import date, datetime, timezone

import numpy as np
import pytest
import yfinance

from stock_rnn.errors import UserError
from stock_rnn.prices import load_prices, yahoo
from stock_rnn.prices.cache import Cache
from tests.prices.yahoo_server import (
    EMPTY,
    FORBIDDEN,
    NOT_A_CHART,
    RATE_LIMITED,
    SERVER_ERROR,
    WEB_PAGE,
    Reply,
    Series,
    weekdays,
)

SPAN = {"start": "2020-01-02", "end": "2020-01-08"}
TRUNCATED = Reply(200, '{"chart": {"result": [{"meta": {"curr')


def load(symbol="^GSPC", **arguments):
    return load_prices(symbol, source="yahoo", **arguments)


def refusal_of(symbol="^GSPC", **arguments):
    with pytest.raises(UserError) as refusal:
        load(symbol, **(arguments or SPAN))
    message = str(refusal.value)
    assert message.isprintable()
    return message


def days_of(prices):
    return prices.dates.astype("datetime64[D]").astype(str).tolist()


def test_start_and_end_are_inclusive_days_of_the_exchange(server):
    prices = load(**SPAN, need_open=True)
    assert days_of(prices) == [f"2020-01-0{day}" for day in (2, 3, 6, 7, 8)]
    expected = server.series["^GSPC"]
    at = expected.days.index(date(2020, 1, 2))
    assert prices.close.tolist() == expected.close[at : at + 5]
    assert prices.open.tolist() == expected.open[at : at + 5]
    assert (prices.symbol, prices.source, prices.dropped) == ("^GSPC", "yahoo", 0)
    assert prices.dates.dtype == "datetime64[s]"


def test_symbols_ignore_case(server):
    assert load("^gspc", **SPAN).symbol == "^GSPC"


def test_a_period_ends_with_the_last_complete_day(server):
    # It is Thursday the 13th; that day's bar, still moving, is on the server.
    assert days_of(load(period="5d")) == [f"2024-06-{day:02}" for day in (6, 7, 10, 11, 12)]
    assert days_of(load(period="1d")) == ["2024-06-12"]
    assert days_of(load(period="ytd"))[0] == "2024-01-01"
    assert days_of(load(period="max"))[0] == "2014-01-01"
    assert days_of(load(start="2024-06-11", end="2030-01-01")) == ["2024-06-11", "2024-06-12"]
    assert days_of(load(start="2024-06-11")) == ["2024-06-11", "2024-06-12"]


def test_today_alone_is_refused_because_it_is_not_complete(server):
    assert "2024-06-12" in refusal_of(start="2024-06-13")
    assert server.charts["^GSPC"] == 0


def test_missing_closes_are_dropped_and_counted(server, caplog):
    series = server.series["^GSPC"]
    series.close[series.days.index(date(2020, 1, 3))] = None
    series.open[series.days.index(date(2020, 1, 3))] = None
    prices = load(**SPAN)
    assert (len(prices), prices.dropped) == (4, 1)
    assert "dropped 1 of 5 rows" in caplog.text


def test_prices_are_adjusted_for_splits_as_yahoo_does(server):
    days = weekdays(date(2020, 1, 1), date(2020, 1, 10))
    closes = [100.0 + i for i in range(len(days))]
    server.series["SPLIT"] = Series(days, closes, splits={date(2020, 1, 6): (2, 1)})
    prices = load("SPLIT", start="2020-01-01", end="2020-01-10")
    assert prices.close.tolist() == closes


def test_bars_outside_of_the_span_are_not_kept(server, cache_folder):
    server.series["^GSPC"].beyond = 3
    assert days_of(load(**SPAN)) == [f"2020-01-0{day}" for day in (2, 3, 6, 7, 8)]
    kept = Cache(cache_folder / "yahoo").read("^GSPC").dates
    assert (str(kept[0])[:10], str(kept[-1])[:10]) == ("2020-01-02", "2020-01-08")


def test_a_zero_close_is_an_error_with_its_date(server):
    series = server.series["^GSPC"]
    series.close[series.days.index(date(2020, 1, 3))] = 0.0
    assert "2020-01-03" in refusal_of()
    # It does no harm to other days.
    assert len(load(start="2020-01-06", end="2020-01-08")) == 3


# ---- the cache


def test_a_span_of_complete_days_is_fetched_once(server, clock):
    whole = load(start="2020-01-01", end="2020-12-31")
    asked = len(server.paths)
    clock.now = datetime(2031, 1, 1, tzinfo=timezone.utc)
    inside = load(**SPAN)
    assert len(server.paths) == asked
    assert days_of(inside) == [day for day in days_of(whole) if "2020-01-02" <= day <= "2020-01-08"]
    assert load(start="2020-01-01", end="2020-12-31").sha256 == whole.sha256


def test_a_period_is_fetched_once_a_day(server, clock):
    load(period="1mo")
    asked = len(server.paths)
    clock.now = datetime(2024, 6, 13, 23, 59, tzinfo=timezone.utc)
    load(period="1mo")
    assert len(server.paths) == asked
    clock.now = datetime(2024, 6, 14, 0, 1, tzinfo=timezone.utc)
    assert days_of(load(period="1mo"))[-1] == "2024-06-13"
    assert len(server.paths) > asked


def test_a_wider_span_is_fetched_whole(server):
    load(start="2020-01-01", end="2020-01-31")
    series = server.series["^GSPC"]
    # A split in between: Yahoo halves all older prices.
    series.close = [price / 2 for price in series.close]
    prices = load(start="2020-01-15", end="2020-02-15")
    at = series.days.index(date(2020, 1, 15))
    assert prices.close.tolist() == series.close[at : at + len(prices)]
    asked = len(server.paths)
    older = load(start="2020-01-01", end="2020-01-14")
    assert len(server.paths) == asked
    at = series.days.index(date(2020, 1, 1))
    assert older.close.tolist() == series.close[at : at + len(older)]


def test_a_damaged_cache_is_fetched_again(server, cache_folder, caplog):
    before = load(**SPAN)
    (rows,) = (cache_folder / "yahoo").glob("*.npz")
    rows.write_bytes(rows.read_bytes()[:-10])
    asked = len(server.paths)
    assert load(**SPAN).sha256 == before.sha256
    assert len(server.paths) > asked
    assert caplog.text.count("damaged cache file") == 1


def test_everything_is_written_into_the_cache_folder(server, cache_folder, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    load(**SPAN)
    assert list(home.iterdir()) == []
    assert {path.name for path in cache_folder.iterdir()} == {"yahoo", "yfinance"}


def test_a_read_only_cache_is_an_error_before_yahoo_is_asked(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STOCK_RNN_CACHE", str(tmp_path / "file"))
    message = refusal_of()
    assert "STOCK_RNN_CACHE" in message
    assert str(tmp_path / "file") in message
    assert server.paths == []


def test_threads_that_ask_for_the_same_prices_fetch_once(server):
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(load(**SPAN).sha256)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert len(set(outcomes)) == 1
    # One request for the time zone, one for the prices.
    assert server.charts["^GSPC"] == 2


def test_a_damaged_cache_of_yfinance_is_an_error_with_its_folder(server, cache_folder):
    folder = cache_folder / "yfinance"
    folder.mkdir(parents=True)
    (folder / "tkr-tz.db").write_bytes(b"this is no database" * 1000)
    assert str(folder) in refusal_of()


# ---- faults


# yfinance itself asks a second time, with other cookies, before it gives up.
@pytest.mark.parametrize(
    ("fault", "times"), [(RATE_LIMITED, 4), (SERVER_ERROR, 2), (WEB_PAGE, 2), (TRUNCATED, 1)]
)
def test_a_transient_error_is_retried(server, fault, times, caplog):
    server.fail(fault, times)
    assert len(load(**SPAN)) == 5
    assert "trying again" in caplog.text


def test_an_error_between_time_zone_and_prices_is_retried(server):
    load(**SPAN)
    server.fail(SERVER_ERROR, 2)
    assert len(load(start="2019-01-02", end="2019-01-03")) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RATE_LIMITED, ["rate limit", "429", "wait", "--csv FILE", "--source bundled"]),
        (SERVER_ERROR, ["HTTP 500", "later", "--csv FILE"]),
        (Reply(503, "<html>", "text/html"), ["HTTP 503"]),
        (WEB_PAGE, ["web page", "later"]),
        (TRUNCATED, ["cut off"]),
        (Reply(200, "Will be right back"), ["no price data"]),
        (Reply(200, b"\xff\xfe"), ["no price data"]),
        (Reply(200, "[]"), ["cannot read"]),
        (Reply(200, "null"), ["Yahoo"]),
        (NOT_A_CHART, ["cannot read", "upgrade yfinance"]),
        (EMPTY, ["no prices", "empty"]),
        (FORBIDDEN, ["refuses", "401"]),
    ],
)
def test_a_lasting_error_is_one_line_that_says_what_to_do(server, fault, words):
    server.fail(fault)
    message = refusal_of()
    for word in words:
        assert word in message


def test_a_closed_yahoo_is_reported_as_down(server):
    load(**SPAN)  # From now on yfinance knows the time zone, and asks for prices first.
    server.fail(Reply(200, "Will be right back"))
    assert "Yahoo is down" in refusal_of(start="2019-01-02", end="2019-01-03")


def test_the_number_of_tries_is_that_of_the_policy(server):
    server.fail(SERVER_ERROR)
    refusal_of()
    assert server.charts["^GSPC"] == yahoo.RETRY_POLICY.attempts


def test_pauses_double_up_to_the_longest(server, monkeypatch, caplog):
    monkeypatch.setattr(
        yahoo, "RETRY_POLICY", yahoo.RetryPolicy(attempts=5, pause=0.01, longest_pause=0.03)
    )
    server.fail(SERVER_ERROR)
    refusal_of()
    pauses = [r.args[1] for r in caplog.records if "trying again" in r.msg]
    assert pauses == [0.01, 0.02, 0.03, 0.03]


def test_an_unknown_symbol_is_reported_as_unknown(server):
    for _ in range(3):
        # yfinance asks elsewhere for the first two of a process.
        assert "knows no symbol NOPE" in refusal_of("NOPE", **SPAN)


@pytest.mark.parametrize("other", [FORBIDDEN, SERVER_ERROR, WEB_PAGE])
def test_an_unknown_symbol_is_reported_as_unknown_whatever_else_fails(server, other):
    server.other = other
    assert "knows no symbol NOPE" in refusal_of("NOPE", **SPAN)


def test_days_before_the_first_price_are_an_error(server):
    message = refusal_of(start="1990-01-01", end="1990-02-01")
    assert "no prices of ^GSPC from 1990-01-01 to 1990-02-01" in message


@pytest.mark.parametrize(
    "symbol", ["../../etc/passwd", "A B", "A?b=c", "A\nB", "A" * 33, "É", ".."]
)
def test_an_impossible_symbol_is_refused_before_yahoo_is_asked(server, symbol):
    assert "not one of Yahoo's symbols" in refusal_of(symbol, **SPAN)
    assert server.paths == []


def test_an_isin_is_not_searched_for(server):
    assert "ISIN" in refusal_of("US0378331005", **SPAN)
    assert server.paths == []


def test_a_server_that_hangs_ends_in_an_error(server, monkeypatch):
    monkeypatch.setattr(
        yahoo,
        "RETRY_POLICY",
        yahoo.RetryPolicy(pause=0.01, connection_pause=0.01, request_seconds=0.3),
    )
    server.fail(Reply(hang=30))
    began = time.monotonic()
    message = refusal_of()
    assert time.monotonic() - began < 5
    assert "cannot be reached" in message
    assert "timed out" in message


def test_the_time_limit_holds_for_all_requests_together(server, monkeypatch):
    monkeypatch.setattr(
        yahoo, "RETRY_POLICY", yahoo.RetryPolicy(attempts=1000, pause=0.5, total_seconds=1)
    )
    server.fail(RATE_LIMITED)
    began = time.monotonic()
    refusal_of()
    assert time.monotonic() - began < 4


def test_an_unreachable_server_is_an_error_within_seconds(server):
    server.__exit__()
    began = time.monotonic()
    assert "cannot be reached" in refusal_of()
    assert time.monotonic() - began < 3
    server.__enter__()


def test_a_proxy_that_refuses_is_an_error_within_seconds(monkeypatch, clock):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    began = time.monotonic()
    message = refusal_of()
    assert time.monotonic() - began < 8
    assert "cannot be reached" in message
    assert "proxy" in message


# ---- what is left behind


def test_the_configuration_of_yfinance_is_restored(server):
    yfinance.config.network.retries = 3
    level = logging.getLogger("yfinance").level
    try:
        load(**SPAN)
        server.fail(EMPTY)
        refusal_of(start="2019-01-01", end="2019-01-05")
        assert yfinance.config.network.retries == 3
        assert yfinance.config.debug.hide_exceptions is True
        assert logging.getLogger("yfinance").level == level
    finally:
        yfinance.config.network.retries = 0


def test_later_users_of_yfinance_get_a_session_without_a_time_limit(server):
    load(**SPAN)
    session = yfinance.data.YfData()._session
    assert not isinstance(session, yahoo.YahooSession)


def test_only_the_packages_own_log_is_written(server, capfd, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(**SPAN)
        server.fail(SERVER_ERROR)
        refusal_of("NOPE", **SPAN)
        # Without cookies yfinance warns.
        server.__exit__()
        refusal_of("^IXIC", **SPAN)
        server.__enter__()
    assert capfd.readouterr() == ("", "")
    assert {record.name for record in caplog.records} == {"stock_rnn.prices"}


def test_dates_before_1970_are_read(server):
    days = weekdays(date(1960, 1, 4), date(1960, 1, 8))
    server.series["OLD"] = Series(days, [5.0, 6.0, 7.0, 8.0, 9.0])
    prices = load("OLD", start="1960-01-01", end="1960-12-31")
    assert days_of(prices)[0] == "1960-01-04"
    np.testing.assert_array_equal(prices.close, [5, 6, 7, 8, 9])
