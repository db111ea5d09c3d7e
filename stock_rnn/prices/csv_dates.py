"""Dates as people and programs write them, in one format for a whole file."""

import re
from datetime import datetime

import numpy as np
import pandas as pd

from stock_rnn.prices.csv_candidates import Mismatch

ISO = "ISO 8601"
EPOCHS = {"seconds since 1970": 1, "milliseconds since 1970": 1000}
# In the order in which they are tried; those that fit the first cell are followed.
DATE_FORMATS = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d.%m.%Y",
    "%Y.%m.%d",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d-%b-%Y",
)
# Each begins with a blank; the first is for dates alone.
TIME_FORMATS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H%M%S")

_ISO_DATE = re.compile(r"\d{4}(?P<separator>[-/]?)\d\d(?P=separator)\d\d(?!\d)")
# Stooq's and MetaStock's, which write the time into another column.
_COMPACT = re.compile(r"\d{8} \d{6}")
_COMPACT_FORMAT = "%Y%m%d" + TIME_FORMATS[-1]
_EPOCHS = {
    "seconds since 1970": re.compile(r"-?[0-9]{9,10}(?:\.0*)?"),
    "milliseconds since 1970": re.compile(r"-?[0-9]{12,13}(?:\.0*)?"),
}
_INTEGER = re.compile(r"-?[0-9]{1,13}(?:\.0*)?")
# Years 1900 to 2100: a volume is not taken for a date.
_FIRST_SECOND, _LAST_SECOND = -2_208_988_800, 4_102_444_800
# Only after a time: the end of 2020-01-02 is no zone.
_ZONE = re.compile(r"(?<=\d)\s*(?P<zone>Z|UTC|GMT|(?P<sign>[+-])(?P<h>\d\d):?(?P<m>\d\d)?)$")
_HAS_TIME = re.compile(r"\d[T ]\d")


def date_formats(cell: str) -> list[str]:
    """Return the formats that a file may have whose first date is `cell`."""
    if _COMPACT.fullmatch(cell):
        return [_COMPACT_FORMAT]
    if _ISO_DATE.match(cell):
        return [ISO]
    epochs = [name for name, pattern in _EPOCHS.items() if pattern.fullmatch(cell)]
    formats = [date + time for time in TIME_FORMATS for date in DATE_FORMATS]
    return epochs or [form for form in formats if _fits(cell, form)] or [ISO]


def parse_dates(cells: list[str], form: str) -> np.ndarray:
    """Parse cells without surrounding blanks.

    Args:
        cells: Dates, perhaps with a time; with `ISO` perhaps with a time zone too.
        form: One of `date_formats`.

    Returns:
        datetime64[s], shape (2, cells): local time, and UTC or NaT where no zone says it.

    Raises:
        Mismatch: A cell is no date of that format.
    """
    if form in EPOCHS:
        local = _parse_epochs(cells, EPOCHS[form])
        utc = local
    elif form == ISO:
        local, utc = _parse_iso(cells)
    else:
        local = _to_datetime_by_parts(cells, form)
        utc = np.full(len(cells), np.datetime64("NaT"), "datetime64[s]")
    failed = np.flatnonzero(np.isnat(local))
    if len(failed):
        raise Mismatch(int(failed[0]))
    return np.stack([local, utc])


def one_clock(local: np.ndarray, utc: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return local dates, or UTC if local time goes back, and whether it is UTC.

    Local time keeps a day's price on its day. But if clocks are set back between two
    rows, local times repeat or change their order; then all rows are in UTC.

    Args:
        local: datetime64[s], shape (rows,), any order.
        utc: Likewise, NaT where unknown.
    """
    if np.isnat(utc).any():
        return local, False
    order = np.argsort(utc, kind="stable")
    later = utc[order][1:] > utc[order][:-1]
    back = local[order][1:] <= local[order][:-1]
    return (utc, True) if (later & back).any() else (local, False)


def _fits(cell: str, form: str) -> bool:
    try:
        datetime.strptime(cell, form)
    except ValueError:
        return False
    return True


def _to_datetime(cells: list[str], form: str) -> np.ndarray:
    """Return datetime64[s], NaT where a cell does not fit; ValueError where zones differ."""
    moments = pd.to_datetime(np.array(cells, dtype=object), format=form, errors="coerce")
    # Where zones differ, pandas 2 returns an index of objects, which has no zone.
    if getattr(moments, "tz", "different") is not None:
        raise ValueError("with a time zone")
    return moments.to_numpy().astype("datetime64[s]")


def _to_datetime_by_parts(cells: list[str], form: str) -> np.ndarray:
    """Return what `_to_datetime` does; parse each different day and time of day once."""
    time_form = next(time for time in reversed(TIME_FORMATS) if form.endswith(time))
    blanks = time_form.count(" ")
    if not blanks:
        return _to_datetime(cells, form)
    # A cell without so many blanks fits neither format.
    days = [cell.rsplit(" ", blanks)[0] for cell in cells]
    times = [cell[len(day) + 1 :] for cell, day in zip(cells, days, strict=True)]
    midnight = _each_once(days, form.removesuffix(time_form)).astype("datetime64[D]")
    moment = _each_once(times, time_form.lstrip())
    return midnight + (moment - moment.astype("datetime64[D]"))


def _each_once(cells: list[str], form: str) -> np.ndarray:
    different = list(dict.fromkeys(cells))
    number = {cell: i for i, cell in enumerate(different)}
    return _to_datetime(different, form)[[number[cell] for cell in cells]]


def _parse_epochs(cells: list[str], per_second: int) -> np.ndarray:
    for row, cell in enumerate(cells):
        if not _INTEGER.fullmatch(cell):
            raise Mismatch(row)
    seconds = np.array(cells, dtype=object).astype(np.float64) / per_second
    outside = np.flatnonzero((seconds < _FIRST_SECOND) | (seconds > _LAST_SECOND))
    if len(outside):
        raise Mismatch(int(outside[0]))
    return np.floor(seconds).astype(np.int64).view("datetime64[s]")


def _parse_iso(cells: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return local time and UTC, datetime64[s], NaT where not a date or no zone."""
    offsets = np.full(len(cells), np.timedelta64("NaT"), "timedelta64[s]")
    bare = cells
    try:
        local = _to_datetime(cells, "ISO8601")
    except ValueError:
        local = np.full(len(cells), np.datetime64("NaT"), "datetime64[s]")
    if np.isnat(local).any():
        bare, offsets = _without_zones(cells)
        local = _to_datetime(bare, "ISO8601")
    # pandas also takes "2018", "2018-12", "now" and "today" for dates.
    local[np.fromiter(map(len, bare), int, len(bare)) < len("20181231")] = np.datetime64("NaT")
    return local, local - offsets


def _without_zones(cells: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the cells up to their zone, and timedelta64[s], NaT where there is none."""
    # A digit, a blank and the longest zone: " +05:30".
    matches = [_ZONE.search(cell, max(0, len(cell) - 8)) for cell in cells]
    zones = [
        match[0] if match is not None and _HAS_TIME.search(cell) else ""
        for cell, match in zip(cells, matches, strict=True)
    ]
    seconds = {zone: _offset(zone) for zone in set(zones)}
    offsets = np.array([seconds[zone] for zone in zones], dtype="timedelta64[s]")
    return [cell.removesuffix(zone) for cell, zone in zip(cells, zones, strict=True)], offsets


def _offset(zone: str) -> np.timedelta64:
    """Return how far a zone is ahead of UTC; NaT for no zone."""
    match = _ZONE.search("0" + zone)
    if match is None:
        return np.timedelta64("NaT", "s")
    sign = -1 if match["sign"] == "-" else 1
    minutes = 60 * int(match["h"] or 0) + int(match["m"] or 0)
    return np.timedelta64(sign * 60 * minutes, "s")
