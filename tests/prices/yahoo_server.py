"""A server on 127.0.0.1 that speaks as much Yahoo as yfinance asks for.

`YahooServer` answers the chart requests of the symbols it was given, and with
scripted faults before that. `session_to(server)` is the product's session with
another transport: it sends Yahoo's hosts there. All above it is real.
"""

import json
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from stock_rnn.prices import yahoo

OPENING_HOUR_UTC = 14


@dataclass
class Reply:
    """One HTTP answer; `hang` seconds pass before it."""

    status: int = 200
    body: bytes | str = b""
    kind: str = "application/json"
    hang: float = 0.0


RATE_LIMITED = Reply(429, "Edge: Too Many Requests", "text/plain")
SERVER_ERROR = Reply(500, "Internal Server Error", "text/plain")
WEB_PAGE = Reply(200, "<!doctype html><html><body>Yahoo</body></html>", "text/html")
EMPTY = Reply(200, json.dumps({"chart": {"result": [], "error": None}}))
NOT_A_CHART = Reply(200, json.dumps({"chart": {"result": [{"meta": {}}], "error": None}}))
FORBIDDEN = Reply(
    401,
    json.dumps({"finance": {"result": None, "error": {"code": "Unauthorized"}}}),
)
UNKNOWN = Reply(
    404,
    json.dumps(
        {
            "chart": {
                "result": None,
                "error": {
                    "code": "Not Found",
                    "description": "No data found, symbol may be delisted",
                },
            }
        }
    ),
)


@dataclass
class Series:
    """What Yahoo has of one symbol: days, opens and closes (None: null)."""

    days: list[date]
    close: list[float | None]
    open: list[float | None] | None = None
    splits: dict[date, tuple[int, int]] = field(default_factory=dict)
    beyond: int = 0  # Bars given before and after the span, too; Yahoo appends its latest.

    def chart(self, symbol: str, first: float, end: float) -> dict[str, Any]:
        """The v8 chart JSON of the bars with first <= time < end, seconds since 1970."""
        stamps = [_stamp(day) for day in self.days]
        kept = [i for i, stamp in enumerate(stamps) if first <= stamp < end]
        if kept and self.beyond:
            kept = list(range(len(stamps)))[max(0, kept[0] - self.beyond) :]
            kept = kept[: sum(stamps[i] < end for i in kept) + self.beyond]
        opens = self.close if self.open is None else self.open
        result: dict[str, Any] = {
            "meta": {
                "currency": "USD",
                "symbol": symbol,
                "exchangeName": "SNP",
                "instrumentType": "INDEX",
                "exchangeTimezoneName": "America/New_York",
                "gmtoffset": -18000,
                "timezone": "EST",
                "regularMarketPrice": 1.0,
                "regularMarketTime": stamps[-1],
                "priceHint": 2,
                "dataGranularity": "1d",
                "range": "",
                "validRanges": ["1d", "5d", "1mo", "1y", "5y", "max"],
            },
            "indicators": {"quote": [{}], "adjclose": [{}]},
        }
        if kept:
            close = [self.close[i] for i in kept]
            result["timestamp"] = [stamps[i] for i in kept]
            result["indicators"] = {
                "quote": [
                    {
                        "open": [opens[i] for i in kept],
                        "high": close,
                        "low": close,
                        "close": close,
                        "volume": [None if price is None else 1000 for price in close],
                    }
                ],
                "adjclose": [{"adjclose": close}],
            }
            result["events"] = {
                "splits": {
                    str(_stamp(day)): {
                        "date": _stamp(day),
                        "numerator": new,
                        "denominator": old,
                        "splitRatio": f"{new}:{old}",
                    }
                    for day, (new, old) in self.splits.items()
                }
            }
        return {"chart": {"result": [result], "error": None}}


def weekdays(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=i) for i in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


class YahooServer:
    """A context manager; `url` is its address.

    Attributes:
        charts: How often each symbol's chart was asked for.
        paths: Host and path of every request, in order.
        other: The answer where yfinance looks for a time zone that no chart told.
    """

    def __init__(self, series: dict[str, Series] | None = None) -> None:
        self.series = dict(series or {})
        self.charts: Counter[str] = Counter()
        self.paths: list[str] = []
        self.other = Reply(404, json.dumps({"quoteSummary": {"result": None, "error": {}}}))
        self._faults: deque[Reply] = deque()
        self._always: Reply | None = None
        self._stopped = threading.Event()

    def fail(self, reply: Reply, times: int | None = None) -> None:
        """Give `reply` to the next so many chart requests, or to all from now on."""
        if times is None:
            self._always = reply
        else:
            self._faults.extend([reply] * times)

    def chart_reply(self, symbol: str, query: dict[str, list[str]]) -> Reply:
        self.charts[symbol] += 1
        if self._faults:
            return self._faults.popleft()
        if self._always is not None:
            return self._always
        if symbol not in self.series:
            return UNKNOWN
        first, end = (
            float(query.get("period1", ["-1e12"])[0]),
            float(query.get("period2", ["1e12"])[0]),
        )
        return Reply(200, json.dumps(self.series[symbol].chart(symbol, first, end)))

    def reply(self, host: str, path: str, query: dict[str, list[str]]) -> Reply:
        self.paths.append(f"{host}{path}")
        if "/v8/finance/chart/" in path:
            return self.chart_reply(unquote(path.rpartition("/")[2]), query)
        if path == "/v1/test/getcrumb":
            return Reply(200, "a-crumb", "text/plain")
        if host == "fc.yahoo.com" or "quoteSummary" in path or path == "/v7/finance/quote":
            # The real fc.yahoo.com gives its cookie along with a 404, too.
            return self.other
        return Reply(200, "<html></html>", "text/html")

    def __enter__(self) -> "YahooServer":
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def session_to(server: YahooServer) -> Callable[[yahoo.RetryPolicy], yahoo.YahooSession]:
    """Return a replacement of `yahoo.new_session` whose requests go to `server`."""

    class Session(yahoo.YahooSession):
        def send(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            parts = urlsplit(url)
            query = f"?{parts.query}" if parts.query else ""
            url = f"{server.url}/{parts.netloc}{parts.path or '/'}{query}"
            return super().send(method, url, *args, **kwargs)

    return Session


def forget_yfinance_state() -> None:
    """Undo what yfinance remembers for the whole process: cookies, crumb, time zones."""
    import yfinance.base
    import yfinance.cache
    import yfinance.data

    yfinance.data.SingletonMeta._instances.clear()
    yfinance.base._tz_info_fetch_ctr = 0
    for manager, name in (
        (yfinance.cache._TzCacheManager, "_tz_cache"),
        (yfinance.cache._CookieCacheManager, "_Cookie_cache"),
        (yfinance.cache._ISINCacheManager, "_isin_cache"),
    ):
        assert hasattr(manager, name)
        setattr(manager, name, None)


def _stamp(day: date) -> int:
    opening = datetime(day.year, day.month, day.day, OPENING_HOUR_UTC, 30, tzinfo=timezone.utc)
    return int(opening.timestamp())


def _handler(server: YahooServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            _, host, path = parts.path.split("/", 2)
            reply = server.reply(host, f"/{path}", parse_qs(parts.query))
            server.wait(reply.hang)
            body = reply.body.encode() if isinstance(reply.body, str) else reply.body
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler
