"""Daily prices from Yahoo Finance through yfinance, cached.

A day is complete once it is over in UTC, which is after the close of every
exchange. Only complete days are kept, because the bar of today still changes. A
cached span is therefore final and needs no network. A period ends with the last
complete day: on the same UTC day it is read from the cache, on the next it is
fetched again. One fetch asks for all days from the first to the last that are
cached or asked for.
"""

import json
import logging
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peewee import PeeweeException
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from stock_rnn.errors import UserError
from stock_rnn.prices.bound_curl import requests
from stock_rnn.prices.cache import Cache, History, default_folder
from stock_rnn.prices.series import RawPrices, shown
from stock_rnn.prices.span import Days, Span

# isort: split
# After bound_curl, for it imports curl_cffi too.
import yfinance
from yfinance.data import YfData
from yfinance.exceptions import (
    YFDataException,
    YFPricesMissingError,
    YFRateLimitError,
    YFTzMissingError,
)

logger = logging.getLogger("stock_rnn.prices")

# Yahoo's oldest daily prices are of 1927.
EARLIEST_DAY = date(1900, 1, 1)
# yfinance puts the symbol into an address as it is: no slash, blank or question mark.
_SYMBOL = re.compile(r"[A-Z0-9^=.&_-]{1,32}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_CHART = "/v8/finance/chart/"
_INSTEAD = "or use --csv FILE or --source bundled"


@dataclass(frozen=True)
class RetryPolicy:
    """How often to try, and for how long.

    Attributes:
        attempts: Tries after rate limits, server errors and unreadable answers.
        pause: Seconds before the second try; each further pause is twice as long.
        longest_pause: Seconds, the longest pause.
        connection_attempts: Tries when Yahoo cannot be reached.
        connection_pause: Seconds, as `pause`.
        request_seconds: Longest time of one request.
        total_seconds: Longest time of all requests together, pauses included.
    """

    attempts: int = 5
    pause: float = 2.0
    longest_pause: float = 16.0
    connection_attempts: int = 3
    connection_pause: float = 0.5
    request_seconds: float = 10.0
    total_seconds: float = 60.0


RETRY_POLICY = RetryPolicy()


class YahooSession(requests.Session):
    """The HTTP session that yfinance uses, with two additions.

    It limits the time of every request: yfinance waits 30 s for each of its cookies,
    which it does not need. It raises on server errors: yfinance would parse their body
    as prices and keep the result for the whole process.
    """

    def __init__(self, policy: RetryPolicy = RETRY_POLICY) -> None:
        # The fingerprint of a browser, as yfinance's own session has.
        super().__init__(impersonate="chrome")
        self._request_seconds = policy.request_seconds
        self._give_up_at = time.monotonic() + policy.total_seconds
        self.chart_status: int | None = None

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send one request; raise `HTTPError` on a status of 500 or more for a chart."""
        left = self._give_up_at - time.monotonic()
        if left <= 0:
            raise requests.exceptions.Timeout("the time limit of all requests together is reached")
        asked = kwargs.get("timeout")
        seconds = asked if isinstance(asked, int | float) else self._request_seconds
        kwargs["timeout"] = min(seconds, self._request_seconds, left)
        response = self.send(method, url, *args, **kwargs)
        if _CHART in url:
            self.chart_status = response.status_code
            if response.status_code >= 500:
                raise requests.exceptions.HTTPError(
                    f"HTTP {response.status_code}", response=response
                )
        return response

    def send(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send one request by the transport, which tests replace."""
        return super().request(method, url, *args, **kwargs)


def read_yahoo(symbol: str, span: Span) -> RawPrices:
    """Return Yahoo's daily prices of at least the days of `span`.

    Raises:
        UserError: Not a symbol, no such symbol, no prices, no complete day in
            the span, Yahoo cannot be reached or does not answer properly, or
            the cache folder cannot be written to.
    """
    symbol = _check_symbol(symbol)
    today = utc_now().date()
    last_day = today - timedelta(days=1)
    first, last = _bounds(span.days(last_day), last_day)
    if first > last:
        raise UserError(
            f"Yahoo has no complete day from {first} to {last}: its last one is {last_day}; "
            "choose other days"
        )
    folder = default_folder()
    cache = Cache(folder / "yahoo")
    # Without the lock: another process may be replacing what looks damaged.
    history = cache.read(symbol, damage=logging.DEBUG)
    if history is None or not history.covers(first, last):
        with cache.lock():
            # Another process may have fetched it while this one waited.
            history = cache.read(symbol)
            if history is None or not history.covers(first, last):
                if history is not None:
                    first, last = min(first, history.first), max(last, history.last)
                history = fetch(symbol, first, last, yfinance_folder=folder / "yfinance")
                cache.write(history)
    return RawPrices(
        symbol=symbol,
        source="yahoo",
        name=f"Yahoo's prices of {symbol}",
        last_day=last_day,
        dates=history.dates,
        close=history.close,
        open=history.open,
    )


def fetch(
    symbol: str,
    first: date,
    last: date,
    *,
    yfinance_folder: Path,
    policy: RetryPolicy | None = None,
) -> History:
    """Ask Yahoo for the days `first`..`last`, both inclusive, without the cache.

    Args:
        symbol: Yahoo's symbol, in capitals.
        first: First day.
        last: Last day; must be complete.
        yfinance_folder: Where yfinance keeps its cookies and time zones.
        policy: How often and how long to try; None: `RETRY_POLICY`.

    Raises:
        UserError: As `read_yahoo`.
    """
    policy = RETRY_POLICY if policy is None else policy
    session = new_session(policy)
    fetched = utc_now()
    logger.info("asking Yahoo for %s, %s to %s", symbol, first, last)
    retrying = Retrying(
        retry=retry_if_exception_type(_TransientError),
        stop=lambda state: _is_last_try(state, policy),
        wait=lambda state: _pause(state, policy),
        before_sleep=_log_retry,
        reraise=True,
    )
    with _configured(yfinance_folder):
        try:
            frame = retrying(_fetch_once, symbol, first, last, session)
        except _TransientError as fault:
            raise UserError(f"{fault}; {fault.advice}, {_INSTEAD}") from fault
        except PeeweeException as error:
            raise UserError(
                f"yfinance cannot use its own cache in {yfinance_folder} ({shown(error)}); "
                "delete that folder"
            ) from error
    dates = pd.DatetimeIndex(frame.index).tz_localize(None).to_numpy().astype("datetime64[s]")
    # Yahoo appends the bar of today even after the last day asked for.
    asked = (dates >= np.datetime64(first, "s")) & (dates <= np.datetime64(last, "s"))
    if not asked.any():
        raise _no_prices(symbol, first, last, "its answer is empty")
    return History(
        symbol=symbol,
        first=first,
        last=last,
        fetched=fetched,
        dates=dates[asked],
        close=frame["Close"].to_numpy(np.float64)[asked],
        open=frame["Open"].to_numpy(np.float64)[asked],
    )


def new_session(policy: RetryPolicy) -> YahooSession:
    """Return a session whose time limit starts now."""
    return YahooSession(policy)


def utc_now() -> datetime:
    """Return the current time, which decides which days are complete."""
    return datetime.now(timezone.utc)


class _TransientError(Exception):
    """An error that the next try may not meet; `advice` is for the user."""

    def __init__(self, text: str, advice: str, *, connection: bool = False) -> None:
        super().__init__(text)
        self.advice = advice
        self.connection = connection


def _check_symbol(symbol: str) -> str:
    name = symbol.upper()
    if not _SYMBOL.fullmatch(name) or set(name) <= {"."}:
        raise UserError(
            f"this is not one of Yahoo's symbols, such as ^GSPC, BRK-B or EURUSD=X. "
            f"Received: symbol={shown(symbol)}"
        )
    if _ISIN.fullmatch(name):
        # yfinance would search for it and take the first hit.
        raise UserError(
            f"an ISIN names no exchange; give Yahoo's symbol. Received: symbol={symbol}"
        )
    return name


def _bounds(days: Days, last_day: date) -> tuple[date, date]:
    """Return the first and last calendar day to ask for."""
    last = last_day if days.last is None else min(days.last, last_day)
    if days.count is not None:
        # The longest holidays close an exchange for about ten days.
        return last - timedelta(days=2 * days.count + 14), last
    first = EARLIEST_DAY if days.first is None else max(days.first, EARLIEST_DAY)
    return first, last


def _fetch_once(symbol: str, first: date, last: date, session: YahooSession) -> pd.DataFrame:
    """Ask once; turn what yfinance raises into a _TransientError or UserError."""
    # yfinance memoizes answers, garbled ones too, for as long as the process lives.
    YfData.cache_get.cache_clear()
    try:
        return yfinance.Ticker(symbol, session=session).history(
            start=first.isoformat(),
            # yfinance's end is exclusive.
            end=(last + timedelta(days=1)).isoformat(),
            interval="1d",
            auto_adjust=False,
            actions=True,
            # Rows without prices stay, to be counted.
            keepna=True,
        )
    except YFRateLimitError as error:
        raise _TransientError(
            "Yahoo's rate limit is reached (HTTP 429)", "wait some minutes"
        ) from error
    except YFTzMissingError as error:
        raise _unknown(symbol) from error
    except YFPricesMissingError as error:
        _check_refusal(session, error)
        # yfinance 1.0 passes no reason on.
        reason = getattr(error, "yahoo_reason", None) or "none found"
        raise _no_prices(symbol, first, last, str(reason)) from error
    except YFDataException as error:
        raise _TransientError(f"Yahoo is down ({shown(error)})", "try again later") from error
    except requests.exceptions.HTTPError as error:
        _check_unknown(session, symbol, error)
        raise _TransientError(
            f"Yahoo answers with an error ({shown(error)})", "try again later"
        ) from error
    except (requests.exceptions.RequestException, OSError) as error:
        # curl adds the address of its manual.
        text = str(error).partition(" See http")[0].removeprefix("Failed to perform, ")
        reason = shown(text, 120)
        raise _TransientError(
            f"Yahoo cannot be reached ({type(error).__name__}: {reason})",
            "check the network and its proxy settings",
            connection=True,
        ) from error
    except json.JSONDecodeError as error:
        _check_unknown(session, symbol, error)
        raise _TransientError(
            f"Yahoo's answer (HTTP {session.chart_status}) is no price data but perhaps a web "
            f"page, or cut off ({shown(error)})",
            "try again later",
        ) from error
    except IndexError as error:
        raise _no_prices(symbol, first, last, "its answer is empty") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        _check_refusal(session, error)
        raise UserError(
            f"yfinance {yfinance.__version__} cannot read Yahoo's answer for {symbol} "
            f"({type(error).__name__}: {shown(error)}); upgrade yfinance, {_INSTEAD}"
        ) from error


def _check_refusal(session: YahooSession, error: Exception) -> None:
    if session.chart_status in (401, 403):
        raise UserError(
            f"Yahoo refuses to answer (HTTP {session.chart_status}); try again later, {_INSTEAD}"
        ) from error


def _check_unknown(session: YahooSession, symbol: str, error: Exception) -> None:
    """Raise UserError on HTTP 404; yfinance asks other addresses after it, which fail."""
    if session.chart_status == 404:
        raise _unknown(symbol) from error


def _unknown(symbol: str) -> UserError:
    return UserError(
        f"Yahoo knows no symbol {symbol}; look it up on Yahoo Finance (indices begin with ^, "
        "as in ^GSPC)"
    )


def _no_prices(symbol: str, first: date, last: date, reason: str) -> UserError:
    return UserError(
        f"Yahoo has no prices of {symbol} from {first} to {last} ({shown(reason, 200)}); "
        "check the symbol and the days"
    )


def _is_last_try(state: RetryCallState, policy: RetryPolicy) -> bool:
    fault = _fault(state)
    tries = policy.connection_attempts if fault.connection else policy.attempts
    waited = (state.seconds_since_start or 0.0) + _pause(state, policy)
    return state.attempt_number >= tries or waited >= policy.total_seconds


def _pause(state: RetryCallState, policy: RetryPolicy) -> float:
    first = policy.connection_pause if _fault(state).connection else policy.pause
    return min(policy.longest_pause, first * 2.0 ** (state.attempt_number - 1))


def _fault(state: RetryCallState) -> _TransientError:
    assert state.outcome is not None
    fault = state.outcome.exception()
    assert isinstance(fault, _TransientError)
    return fault


def _log_retry(state: RetryCallState) -> None:
    seconds = state.next_action.sleep if state.next_action else 0.0
    logger.info("%s; trying again in %g s", _fault(state), seconds)


@contextmanager
def _configured(yfinance_folder: Path) -> Iterator[None]:
    """Set yfinance up so that it raises and stays quiet, and undo it afterwards."""
    debug, network = yfinance.config.debug, yfinance.config.network
    hide, retries = debug.hide_exceptions, network.retries
    log = logging.getLogger("yfinance")
    level = log.level
    yfinance.set_tz_cache_location(str(yfinance_folder))
    debug.hide_exceptions, network.retries = False, 0
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # Users cannot change which pandas functions yfinance calls.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        # yfinance keeps the last session for all later calls; ours has a time limit.
        YfData(session=requests.Session(impersonate="chrome"))
        debug.hide_exceptions, network.retries = hide, retries
        log.setLevel(level)
