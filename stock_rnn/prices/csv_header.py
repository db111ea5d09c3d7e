"""The header of a CSV file: where it is, what separates fields, which column is which."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from stock_rnn.errors import UserError
from stock_rnn.prices.series import shown

# Compared without case, underscores, footnote marks and angle brackets.
# The first that is there is the date.
DATE_NAMES = (
    *("date", "datetime", "date/time", "date time", "timestamp", "trade date", "datum"),
    *("dtyyyymmdd", "unix", "time"),
)
# One of the first group is the close, or else one of the second: investing.com and
# German sites call it the price. Never "Adj Close".
CLOSE_NAMES = (
    ("close", "close price", "closing price", "close/last", "schluss", "schlusskurs"),
    ("price", "last", "last price", "zuletzt", "letzter", "kurs"),
)
OPEN_NAMES = (
    *("open", "open price", "opening price"),
    *("eröffnung", "eröffnungskurs", "eröffn.", "erster"),
)
TIME_NAMES = ("time", "zeit", "uhrzeit")
SYMBOL_NAMES = ("symbol", "ticker")

DELIMITERS = ",;\t|"
MAX_LINE_BYTES = 64 * 1024
MAX_COLUMNS = 1000
# Titles, sources and remarks stand above some headers.
MAX_HEADER_LINES = 40


@dataclass(frozen=True)
class Wanted:
    """What is looked for in a header.

    Attributes:
        date: The date column's name, or None for one of `DATE_NAMES`.
        close: The close column's name, or None for one of `CLOSE_NAMES`.
        need_open: Whether there must be one of `OPEN_NAMES` too.
    """

    date: str | None = None
    close: str | None = None
    need_open: bool = False


@dataclass(frozen=True)
class Table:
    """Where the columns are in an open file.

    Attributes:
        path: What error messages call the file.
        delimiter: What separates fields.
        line: The header's last line, from 1.
        offset: The byte after it, from 0.
        above: Lines with text above the header.
        names: The columns' names, as the file spells them.
        date, close: Numbers of the columns, from 0.
        open: Likewise, or None unless it was asked for.
        time: Likewise, of a time of day beside the date, or None.
        symbol: Likewise, of the symbols, or None.
    """

    path: str
    delimiter: str
    line: int
    offset: int
    above: int
    names: tuple[str, ...]
    date: int
    close: int
    open: int | None = None
    time: int | None = None
    symbol: int | None = None

    @property
    def columns(self) -> int:
        """The number of columns."""
        return len(self.names)

    def fault(self, line: int, text: str) -> UserError:
        """Return an error that names the file and the line."""
        return UserError(f"{self.path}, line {line}: {text}")


@dataclass(frozen=True)
class _Line:
    number: int
    text: str
    end: int  # the byte after it

    def fields(self, delimiter: str) -> list[str]:
        """Return the fields, or all as one where quotation marks are not paired."""
        try:
            return next(csv.reader([self.text], delimiter=delimiter, strict=True), [])
        except csv.Error:
            return [self.text]


@dataclass(frozen=True)
class _Header:
    """A line, or up to three, that may be a header.

    Attributes:
        line: Its last line.
        delimiter: What separates its fields.
        above: Lines with text above it.
        names: A name a column.
        symbols: The symbol that stands above or below each name; "" where none does.
    """

    line: _Line
    delimiter: str
    above: int
    names: list[str]
    symbols: list[str]

    def date(self, wanted: Wanted) -> int | None:
        names = [normal(name) for name in self.names]
        if wanted.date is not None:
            return next(iter(_named(wanted.date, self.labels())), None)
        # The index that pandas writes without a name.
        known = (*DATE_NAMES, "") if names and names[0] == "" else DATE_NAMES
        return next((names.index(name) for name in known if name in names), None)

    def closes(self, wanted: Wanted) -> list[int]:
        if wanted.close is not None:
            return _named(wanted.close, self.labels())
        groups = (self.columns_named(names) for names in CLOSE_NAMES)
        return next((group for group in groups if group), [])

    def columns_named(self, known: Sequence[str]) -> list[int]:
        return [i for i, name in enumerate(self.names) if normal(name) in known]

    def labels(self) -> list[str]:
        """Return the names, with the symbol where there are several."""
        if len(set(filter(None, self.symbols))) < 2:
            return self.names
        return [f"{n} {s}".strip() for n, s in zip(self.names, self.symbols, strict=True)]


def find_table(file: BinaryIO, path: str, wanted: Wanted) -> Table:
    """Find the header among the first `MAX_HEADER_LINES` lines with text.

    It is the first line that names a date and a close column under any of
    `DELIMITERS`, or the two or three lines that pandas writes for columns with
    several levels, as yfinance's are. Titles and `sep=;` above it are left out.

    Args:
        file: UTF-8 text, at its beginning.
        path: What error messages call it.
        wanted: Which columns are needed.

    Raises:
        UserError: No such line, more than one close column, or a line that is no text.
    """
    lines = _first_lines(file, path)
    headers = [*_level_headers(lines), *_plain_headers(lines)]
    for header in headers:
        if header.date(wanted) is not None and header.closes(wanted):
            return _table(header, path, wanted)
    raise _missing(headers, path, wanted)


def normal(name: str) -> str:
    """Fold case, spaces and marks: " Close* ", "<CLOSE>" and "close" are one name."""
    return " ".join(name.replace("_", " ").strip(" *<>[]").casefold().split())


def check_text(line: bytes, path: str, number: int) -> None:
    """Raise UserError where a line is no text, too long, or has Macintosh's line ends."""
    if b"\0" in line:
        raise UserError(
            f"{path}, line {number}: holds NUL bytes, so it is binary, or UTF-16 without its "
            "mark; save it as CSV in UTF-8"
        )
    if len(line) > MAX_LINE_BYTES:
        raise UserError(
            f"{path}, line {number}: longer than {MAX_LINE_BYTES:,} bytes, so this is no "
            "table of prices; name a CSV file"
        )
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        # After a byte order mark of UTF-8, nothing else is tried.
        raise UserError(f"{path}, line {number}: not UTF-8 text; save it as CSV in UTF-8") from None
    if b"\r" in line.rstrip(b"\r\n"):
        raise UserError(
            f"{path}, line {number}: carriage returns without line feeds; save it with "
            "Unix or Windows line ends"
        )


def _first_lines(file: BinaryIO, path: str) -> list[_Line]:
    lines: list[_Line] = []
    number = 0
    while len(lines) < MAX_HEADER_LINES:
        number += 1
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            break
        check_text(line, path, number)
        if line.strip():
            lines.append(_Line(number, line.decode("utf-8").strip("\r\n"), file.tell()))
    if not lines:
        raise UserError(f"{path} holds blank lines only; name a CSV file with prices")
    return lines


def _plain_headers(lines: list[_Line]) -> list[_Header]:
    return [
        _Header(line, delimiter, i, names, [""] * len(names))
        for i, line in enumerate(lines)
        for delimiter in DELIMITERS
        if (names := line.fields(delimiter))
    ]


def _level_headers(lines: list[_Line]) -> list[_Header]:
    """Return the headers whose last line names the date and nothing else.

    pandas writes columns of two levels so: a line of names and one of symbols, in
    either order, then the name of the index.
    """
    headers = []
    for i, line in enumerate(lines[1:], start=1):
        for delimiter in DELIMITERS:
            first, *others = line.fields(delimiter) or [""]
            if normal(first) not in DATE_NAMES or not others or any(others):
                continue
            count = 1 + len(others)
            levels = [above.fields(delimiter) for above in lines[max(0, i - 2) : i]]
            levels = [fields for fields in levels if len(fields) == count]
            known = {name for names in CLOSE_NAMES for name in names}
            named = [fields for fields in levels if known & {normal(n) for n in fields[1:]}]
            if not named:
                continue
            symbols = next((fields for fields in levels if fields is not named[0]), [""] * count)
            headers.append(
                _Header(
                    line, delimiter, i - len(levels), [first, *named[0][1:]], ["", *symbols[1:]]
                )
            )
    return headers


def _named(name: str, labels: list[str]) -> list[int]:
    """Return the columns of that name: as it is spelled, or else but for case and marks."""
    exact = [i for i, label in enumerate(labels) if label.strip() == name.strip()]
    return exact or [i for i, label in enumerate(labels) if normal(label) == normal(name)]


def _table(header: _Header, path: str, wanted: Wanted) -> Table:
    date, closes = header.date(wanted), header.closes(wanted)
    assert date is not None
    where, labels = f"{path}, line {header.line.number}", header.labels()
    if len(closes) > 1:
        names = ", ".join(shown(labels[i], 30) for i in closes[:5])
        hint = (
            f"name one, as in --close-column {shown(labels[closes[0]], 30)!r}"
            if len({labels[i] for i in closes}) == len(closes) and labels is not header.names
            else "keep one of them, or name one with --close-column"
        )
        raise UserError(f"{where}: more than one close column; {hint}. Received: {names}")
    (close,) = closes
    opens = [
        i for i in header.columns_named(OPEN_NAMES) if header.symbols[i] == header.symbols[close]
    ]
    if wanted.need_open and len(opens) != 1:
        count = "more than one" if opens else "no"
        raise UserError(
            f"{where}: {count} open column; --open-and-close needs one, such as Open. "
            f"Received: {shown(header.line.text)}"
        )
    if len(header.names) > MAX_COLUMNS:
        raise UserError(
            f"{where}: more than {MAX_COLUMNS} columns; keep only the date and the prices. "
            f"Received: {len(header.names):,}"
        )
    # A date column that was named stands for itself.
    times = [i for i in header.columns_named(TIME_NAMES) if i != date and wanted.date is None]
    symbols = [i for i in header.columns_named(SYMBOL_NAMES) if i not in (date, close)]
    return Table(
        path=path,
        delimiter=header.delimiter,
        line=header.line.number,
        offset=header.line.end,
        above=header.above,
        names=tuple(labels),
        date=date,
        close=close,
        open=opens[0] if wanted.need_open else None,
        time=times[0] if times else None,
        symbol=symbols[0] if symbols else None,
    )


def _missing(headers: list[_Header], path: str, wanted: Wanted) -> UserError:
    """Return the error for a file in which no line is a header."""
    # The line that comes closest, else the first.
    nearest = next(
        (h for h in headers if h.date(wanted) is not None or h.closes(wanted)), headers[0]
    )
    missing = []
    if nearest.date(wanted) is None:
        missing.append(("date", wanted.date, DATE_NAMES[:3], "--date-column"))
    if not nearest.closes(wanted):
        missing.append(("close", wanted.close, CLOSE_NAMES[0][:3], "--close-column"))
    columns = " and no ".join(
        kind if name is None else f"{kind} column {shown(name, 40)!r}"
        for kind, name, _, _ in missing
    )
    if missing[-1][1] is None:
        columns += " column"
    advice = "; ".join(
        f"the header must name the {kind} ({', '.join(known)}, ...), or {option} must"
        for kind, _, known, option in missing
    )
    return UserError(
        f"{path}, line {nearest.line.number}: no {columns}; {advice}. "
        f"Received: {shown(nearest.line.text)}"
    )
