"""The days on which a symbol is traded next."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import math

import numpy as np
from numpy.typing import NDArray

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices

#: The calendar without holidays: Monday to Friday.
WEEKDAYS = "weekdays"

# The endings of Yahoo's symbols -> the exchange's calendar, by its ISO 10383 code.
_SUFFIXES = {
    **{"AS": "XAMS", "AX": "XASX", "BK": "XBKK", "BO": "XBOM", "BR": "XBRU"},
    **{"CO": "XCSE", "DE": "XETR", "F": "XFRA", "HE": "XHEL", "HK": "XHKG", "IR": "XDUB"},
    **{"IS": "XIST", "JK": "XIDX", "JO": "XJSE", "KL": "XKLS", "KQ": "XKRX", "KS": "XKRX"},
    **{"L": "XLON", "LS": "XLIS", "MC": "XMAD", "MI": "XMIL", "MX": "XMEX", "NS": "XBOM"},
    **{"NZ": "XNZE", "OL": "XOSL", "PA": "XPAR", "PR": "XPRA", "SA": "BVMF", "SI": "XSES"},
    **{"SN": "XSGO", "SR": "XSAU", "SS": "XSHG", "ST": "XSTO", "SW": "XSWX", "SZ": "XSHG"},
    **{"T": "XTKS", "TO": "XTSE", "TW": "XTAI", "V": "XTSE", "VI": "XWBO"},
    **{"WA": "XWAR"},
}

_INDICES = {
    **dict.fromkeys(("^GSPC", "^IXIC", "^DJI", "^NDX", "^RUT", "^NYA", "^VIX"), "XNYS"),
    **{"^GDAXI": "XETR", "^FTSE": "XLON", "^FCHI": "XPAR", "^N225": "XTKS", "^HSI": "XHKG"},
    **{"^GSPTSE": "XTSE", "^AXJO": "XASX", "^SSMI": "XSWX", "^AEX": "XAMS", "^BVSP": "BVMF"},
}


@dataclasses.dataclass(frozen=True)
class TradingDays:
    """Days after the newest price.

    Attributes:
        days: (n,) datetime64[D], ascending.
        calendar: the exchange's code, or `WEEKDAYS`.
        note: one line on the choice of the calendar.
    """

    days: NDArray[np.datetime64]
    calendar: str
    note: str


def next_trading_days(prices: Prices, count: int, calendar: str | None = None) -> TradingDays:
    """The trading days that follow the newest of some prices.

    The exchange follows from Yahoo's spelling of the symbol; calendars with their holidays are
    those of the package `exchange_calendars`. Where no exchange is known it is Monday to Friday,
    which the note says.

    Args:
        prices: at least one.
        count: n >= 1.
        calendar: an exchange's code such as XNYS, or `WEEKDAYS`; None: by the symbol.

    Raises:
        UserError: the calendar is unknown, or does not reach so far.
    """
    last = prices.dates[-1].astype("datetime64[D]")
    if calendar is None:
        chosen = exchange_of(prices.symbol, prices.source)
        if chosen is None:
            return _weekdays(last, count, f"no exchange is known for {prices.symbol}")
        try:
            return TradingDays(_sessions(chosen, last, count), chosen, f"trading days of {chosen}")
        except _OutOfRangeError as error:
            return _weekdays(last, count, str(error))
    if calendar.lower() == WEEKDAYS:
        return _weekdays(last, count, "as asked for")
    chosen = _known(calendar)
    try:
        return TradingDays(_sessions(chosen, last, count), chosen, f"trading days of {chosen}")
    except _OutOfRangeError as error:
        raise UserError(f"{error}; take --calendar {WEEKDAYS} or fewer days") from error


def exchange_of(symbol: str, source: str) -> str | None:
    """The calendar of a symbol in Yahoo's spelling; None if its exchange is not known.

    Args:
        symbol: such as "^GSPC", "SAP.DE", "BTC-USD".
        source: "csv" or another: the name of a CSV alone, such as "AAPL", is no exchange's.
    """
    symbol = symbol.upper()
    if symbol in _INDICES:
        return _INDICES[symbol]
    _, dot, suffix = symbol.rpartition(".")
    if dot:
        return _SUFFIXES.get(suffix)
    if symbol.endswith(("-USD", "-EUR")):
        return "24/7"
    if symbol.endswith("=X"):
        return "24/5"
    # Without an ending, Yahoo's symbols are of New York: AAPL, BRK-B.
    plain = symbol.replace("-", "").isalpha() and symbol.isascii()
    return "XNYS" if plain and source != "csv" else None


class _OutOfRangeError(Exception):
    """A calendar that does not reach as far as the days asked for."""


def _weekdays(last: np.datetime64, count: int, why: str) -> TradingDays:
    # From the last weekday on: a price of a Saturday is followed by one of Monday.
    days = np.busday_offset(last, np.arange(1, count + 1), roll="backward")
    return TradingDays(days, WEEKDAYS, f"Monday to Friday, holidays included: {why}")


def _known(calendar: str) -> str:
    import exchange_calendars

    names = exchange_calendars.get_calendar_names()
    name = calendar.upper()
    if name in names:
        return name
    close = difflib.get_close_matches(name, names, n=1)
    meant = f". Did you mean {close[0]}?" if close else ""
    raise UserError(
        f"--calendar must be {WEEKDAYS} or the code of an exchange, such as XNYS, XLON, XETR, "
        f"24/7. Received: {calendar!r}{meant}"
    )


def _sessions(calendar: str, last: np.datetime64, count: int) -> NDArray[np.datetime64]:
    """The first `count` sessions after a day.

    Raises:
        _OutOfRangeError: the calendar's holidays are not known as far as that.
    """
    import exchange_calendars

    start = last.astype(object)
    # Asia's exchanges open on 238 days a year, and rest for up to eleven. No more than is needed:
    # some calendars end with this year.
    end = start + datetime.timedelta(days=math.ceil(1.6 * count) + 15)
    try:
        known = exchange_calendars.get_calendar(
            calendar, start=start.isoformat(), end=end.isoformat()
        )
    except (ValueError, NotImplementedError) as error:
        # No class of its own is raised. ValueError: before `bound_min` or beyond `bound_max` of
        # the calendar. NotImplementedError: a calendar whose holidays are listed by year, beyond
        # the last list. Nothing else can be wrong with a known name and two days in order.
        raise _OutOfRangeError(
            f"the calendar {calendar} is not known from {start} to {end}"
        ) from error
    days = known.sessions.to_numpy().astype("datetime64[D]")
    days = days[days > last][:count]
    if len(days) < count:
        raise _OutOfRangeError(f"the calendar {calendar} has fewer than {count} days after {start}")
    return days
