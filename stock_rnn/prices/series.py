"""`Prices`, and the checks that make them from a source's rows."""

import hashlib
import logging
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from stock_rnn.errors import UserError
from stock_rnn.prices.span import Days, Span

logger = logging.getLogger("stock_rnn.prices")

# A span has all its prices even if holidays and weekends leave so much at its ends.
_LONGEST_HOLIDAY = timedelta(days=10)

# From one price to the next, up or down. A split of two for one stays above it on a day
# on which the price rises by 5 %.
IMPLAUSIBLE_FACTOR = 1.9


@dataclass(frozen=True, eq=False)
class Prices:
    """Prices of one symbol, oldest first, every one of them finite and positive.

    The arrays are read-only copies of those given.

    Attributes:
        symbol: As the source spells it, e.g. "^GSPC".
        source: "bundled", "csv", "yahoo" or "skfolio".
        dates: datetime64[s], shape (n,), strictly ascending, the exchange's
            local time without a time zone.
        close: float64, shape (n,), in the quote currency or index points,
            adjusted for splits but not for dividends where the source is.
        open: float64, shape (n,), or None unless opening prices were asked for.
        dropped: Rows of the span left out because a price was missing.

    Raises:
        ValueError: The arrays break one of these promises.
    """

    symbol: str
    source: str
    dates: np.ndarray
    close: np.ndarray
    open: np.ndarray | None = None
    dropped: int = 0

    def __post_init__(self) -> None:
        dates = _read_only(self.dates, np.dtype("datetime64[s]"))
        object.__setattr__(self, "dates", dates)
        if dates.ndim != 1 or np.isnat(dates).any() or not (dates[1:] > dates[:-1]).all():
            raise ValueError("dates must be one-dimensional, strictly ascending, without NaT")
        for name in ("close", "open"):
            if getattr(self, name) is None and name == "open":
                continue
            prices = _read_only(getattr(self, name), np.dtype(np.float64))
            object.__setattr__(self, name, prices)
            if prices.shape != dates.shape:
                raise ValueError(f"{name} has shape {prices.shape}, dates {dates.shape}")
            if not _is_price(prices).all():
                raise ValueError(f"{name} must be finite and positive")

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the seconds since 1970, closes, and opens if any.

        Little-endian int64 and float64 on every machine: equal digests mean equal
        prices.
        """
        digest = hashlib.sha256(self.dates.astype("<i8").tobytes())
        digest.update(self.close.astype("<f8").tobytes())
        if self.open is not None:
            digest.update(self.open.astype("<f8").tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """Return one line: symbol, source, count, span, rows dropped."""
        span = f", {_day(self.dates[0])} to {_day(self.dates[-1])}" if len(self) else ""
        kind = "prices" if self.open is None else "opening and closing prices"
        return (
            f"{shown(self.symbol)} ({self.source}): {len(self):,} {kind}{span}, "
            f"{self.dropped:,} rows dropped for a missing price"
        )


@dataclass(frozen=True, eq=False)
class RawPrices:
    """What a source holds, before any check.

    Attributes:
        symbol: As in `Prices`.
        source: As in `Prices`.
        name: What error messages call the source, e.g. a file's path.
        last_day: The day from which a period counts back.
        dates: datetime64[s], shape (n,), no NaT, any order.
        close: float64, shape (n,), NaN where missing.
        open: float64, shape (n,), NaN where missing, or None.
        lines: int, shape (n,), the line of the file, or None to count rows from 1.
    """

    symbol: str
    source: str
    name: str
    last_day: date
    dates: np.ndarray
    close: np.ndarray
    open: np.ndarray | None = None
    lines: np.ndarray | None = None

    def place(self, row: int) -> str:
        """Say where row `row` (from 0) is, for an error message."""
        if self.lines is None:
            return f"row {row + 1}"
        return f"line {self.lines[row]}"


def select(raw: RawPrices, span: Span, *, need_open: bool = False) -> Prices:
    """Cut the days of `span` out of `raw`, check them, and return them sorted.

    Only rows of the span are checked: a source may be damaged elsewhere (Yahoo's
    opening prices of 1950 are zeros). Rows without a price are dropped, rows out of
    order are sorted, and repeated rows are dropped. The log counts each, and
    warns of jumps by `IMPLAUSIBLE_FACTOR` or more.

    Args:
        raw: A source's rows.
        span: The days asked for.
        need_open: Keep opening prices too; a row needs both prices then.

    Raises:
        UserError: No row in the span; no opening prices although needed; a
            price that is zero, negative or infinite; a date with two prices.
    """
    if need_open and raw.open is None:
        raise UserError(
            f"{raw.name} has no opening prices; choose another source or do without them"
        )
    if len(raw.dates) == 0:
        raise UserError(f"{raw.name} holds no prices")
    missing = np.isnan(raw.close)
    if need_open and raw.open is not None:
        missing = missing | np.isnan(raw.open)
    inside = _rows_within(raw, span.days(raw.last_day), missing)
    if raw.source == "csv" and span.period is not None and len(inside) < len(raw.dates):
        logger.info(
            "%s: %s of its %s rows are in the period %s; --period max takes all",
            raw.name,
            f"{len(inside):,}",
            f"{len(raw.dates):,}",
            span.period,
        )

    rows = inside[~missing[inside]]
    dropped = len(inside) - len(rows)
    if dropped:
        logger.info("%s: dropped %d of %d rows without a price", raw.name, dropped, len(inside))
    if len(rows) == 0:
        raise UserError(
            f"{raw.name} has {len(inside):,} rows between "
            f"{_day(raw.dates[inside].min())} and {_day(raw.dates[inside].max())}, "
            "but every one of them lacks its price; choose other days or another source"
        )
    _check_positive(raw, rows, "closing", raw.close)
    if need_open and raw.open is not None:
        _check_positive(raw, rows, "opening", raw.open)
    rows = _sort(raw, rows)
    rows = _drop_doubles(raw, rows, need_open=need_open)
    _warn_of_jumps(raw, rows, need_open=need_open)
    return Prices(
        symbol=raw.symbol,
        source=raw.source,
        dates=raw.dates[rows],
        close=raw.close[rows],
        open=raw.open[rows] if need_open and raw.open is not None else None,
        dropped=dropped,
    )


def shown(value: object, limit: int = 80) -> str:
    """Return `value` as at most `limit` printable characters on one line."""
    text = str(value)
    if not text.isprintable():
        text = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _rows_within(raw: RawPrices, days: Days, missing: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows that lie in `days`, in the order of `raw`."""
    inside = np.ones(len(raw.dates), dtype=bool)
    if days.first is not None:
        inside &= raw.dates >= np.datetime64(days.first, "s")
    if days.last is not None:
        # The end is inclusive: a row at 16:00 of the last day counts.
        inside &= raw.dates < np.datetime64(days.last, "s") + np.timedelta64(1, "D")
    if days.count is not None:
        known = np.unique(raw.dates[inside & ~missing].astype("datetime64[D]"))
        if len(known) > days.count:
            inside &= raw.dates >= known[-days.count]
    if not inside.any():
        raise UserError(
            f"{raw.name} has no prices from {days}; it reaches from "
            f"{_day(raw.dates.min())} to {_day(raw.dates.max())}"
        )
    rows = np.flatnonzero(inside)
    _warn_of_gaps(raw, days, raw.dates[rows])
    return rows


def _warn_of_gaps(raw: RawPrices, days: Days, dates: np.ndarray) -> None:
    first, last = dates.min().item().date(), dates.max().item().date()
    late = days.first is not None and first - days.first > _LONGEST_HOLIDAY
    early = days.last is not None and days.last - last > _LONGEST_HOLIDAY
    if late or early:
        logger.warning("%s: asked for %s, has only %s to %s", raw.name, days, first, last)


def _check_positive(raw: RawPrices, rows: np.ndarray, kind: str, prices: np.ndarray) -> None:
    bad = rows[~_is_price(prices[rows])]
    if len(bad) == 0:
        return
    row = bad[0]
    others = f" ({len(bad) - 1:,} more rows like it)" if len(bad) > 1 else ""
    raise UserError(
        f"{raw.name}, {raw.place(row)}: the {kind} price of {_day(raw.dates[row])} must be "
        f"positive and finite; correct the row or leave its price empty{others}. "
        f"Received: {float(prices[row])}"
    )


def _sort(raw: RawPrices, rows: np.ndarray) -> np.ndarray:
    dates = raw.dates[rows]
    backward = int((dates[1:] < dates[:-1]).sum())
    if backward == 0:
        return rows
    logger.info("%s: sorted by date; %d rows were older than the one before", raw.name, backward)
    return rows[np.argsort(dates, kind="stable")]


def _drop_doubles(raw: RawPrices, rows: np.ndarray, *, need_open: bool) -> np.ndarray:
    same_date = raw.dates[rows[1:]] == raw.dates[rows[:-1]]
    if not same_date.any():
        return rows
    differ = raw.close[rows[1:]] != raw.close[rows[:-1]]
    if need_open and raw.open is not None:
        differ = differ | (raw.open[rows[1:]] != raw.open[rows[:-1]])
    contradictions = np.flatnonzero(same_date & differ)
    if len(contradictions):
        one, two = rows[contradictions[0]], rows[contradictions[0] + 1]
        raise UserError(
            f"{raw.name}: {_day(raw.dates[one])} has two different prices, in "
            f"{raw.place(one)} and {raw.place(two)}; keep one of them. "
            f"Received: {float(raw.close[one])} and {float(raw.close[two])}"
        )
    logger.info("%s: dropped %d rows that repeat a date and its price", raw.name, same_date.sum())
    return rows[np.concatenate(([True], ~same_date))]


def _warn_of_jumps(raw: RawPrices, rows: np.ndarray, *, need_open: bool) -> None:
    """Log the largest implausible jump of sorted `rows`, by date and size, and their number."""
    series = raw.close[rows]
    each = 1
    if need_open and raw.open is not None:
        series, each = np.stack([raw.open[rows], series], axis=1).ravel(), 2
    # To infinity, from one end of float64 to the other.
    with np.errstate(over="ignore", divide="ignore"):
        ratios = series[1:] / series[:-1]
        factors = np.maximum(ratios, 1 / ratios)
    jumps = np.flatnonzero(factors >= IMPLAUSIBLE_FACTOR)
    if len(jumps) == 0:
        return
    largest = jumps[np.argmax(factors[jumps])]
    row = rows[(largest + 1) // each]
    others = f" (the largest of {len(jumps):,})" if len(jumps) > 1 else ""
    logger.warning(
        "%s, %s: implausible jump on %s by a factor of %.3g, from %.6g to %.6g%s; "
        "check for a split, a typo or a second symbol",
        raw.name,
        raw.place(row),
        _day(raw.dates[row]),
        factors[largest],
        series[largest],
        series[largest + 1],
        others,
    )


def _is_price(prices: np.ndarray) -> np.ndarray:
    return np.isfinite(prices) & (prices > 0)


def _read_only(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    # A copy: what the caller does to the array given must not change the prices.
    copy = np.array(values, dtype=dtype)
    copy.flags.writeable = False
    return copy


def _day(moment: np.datetime64) -> str:
    """Return an ISO date, with the time only where there is one."""
    text = str(moment.astype("datetime64[s]"))
    return text.removesuffix("T00:00:00")
