import logging
from datetime import date, datetime, timezone

import pytest

from stock_rnn.prices import yahoo
from tests.prices.yahoo_server import (
    Series,
    YahooServer,
    forget_yfinance_state,
    session_to,
    weekdays,
)

# A Thursday: the last complete day is the Wednesday before.
NOW = datetime(2024, 6, 13, 15, 0, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """No test touches the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("STOCK_RNN_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def all_logs(caplog):
    caplog.set_level(logging.INFO, logger="stock_rnn.prices")


@pytest.fixture
def clock(monkeypatch):
    """The time that the product sees; change it with `clock.now = ...`."""

    class Clock:
        now = NOW

    monkeypatch.setattr(yahoo, "utc_now", lambda: Clock.now)
    return Clock


@pytest.fixture
def server(monkeypatch, clock):
    """Yahoo on this machine, with ^GSPC on every weekday of 2014 to 2024-06-13."""
    days = weekdays(date(2014, 1, 1), NOW.date())
    closes = [1000.0 + i + 0.25 for i in range(len(days))]
    series = Series(days, closes, open=[price - 0.5 for price in closes])
    # Whatever proxy this machine uses, loopback goes past it.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    forget_yfinance_state()
    with YahooServer({"^GSPC": series}) as running:
        monkeypatch.setattr(yahoo, "new_session", session_to(running))
        monkeypatch.setattr(
            yahoo,
            "RETRY_POLICY",
            yahoo.RetryPolicy(
                pause=0.01, connection_pause=0.01, request_seconds=1, total_seconds=8
            ),
        )
        yield running
    forget_yfinance_state()
