"""Yahoo's answers on disk: a file of rows and a description for each symbol.

`SYMBOL-DIGEST.npz` holds the rows. `SYMBOL-DIGEST.json` holds the days asked for,
the time, and the SHA-256 of the rows' file. Both are written to a temporary name
and renamed; the SHA-256 shows when only one of them is new. Prices are never
appended, because a split changes all older ones: a span that is not inside the
cached one is fetched whole.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from urllib.parse import quote
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout

from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write

logger = logging.getLogger("stock_rnn.prices")

FOLDER_VARIABLE = "STOCK_RNN_CACHE"
# Longer than any fetch takes with all its retries.
LOCK_SECONDS = 300.0
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class History:
    """Daily rows of one symbol as Yahoo gave them, complete days only.

    Attributes:
        symbol: Yahoo's symbol.
        first: First day that was asked for; Yahoo may begin later.
        last: Last day that was asked for, complete when it was fetched.
        fetched: When, with a time zone.
        dates: datetime64[s], shape (n,), the exchange's days.
        close: float64, shape (n,), NaN where missing, adjusted for splits up to
            `fetched`, not for dividends.
        open: float64, shape (n,), likewise.
    """

    symbol: str
    first: date
    last: date
    fetched: datetime
    dates: np.ndarray
    close: np.ndarray
    open: np.ndarray

    def covers(self, first: date, last: date) -> bool:
        """Tell whether the days `first`..`last` were all asked for."""
        return self.first <= first and last <= self.last


class Cache:
    """The cached histories in one folder.

    Args:
        folder: Created when first written to.
        lock_seconds: How long to wait for another process.
    """

    def __init__(self, folder: Path, lock_seconds: float = LOCK_SECONDS) -> None:
        self.folder = folder
        self.lock_seconds = lock_seconds

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder, so that one process at a time fetches and writes.

        All symbols share one lock: many processes that ask Yahoo at once would reach
        its rate limit.

        Raises:
            UserError: The folder cannot be written to, or another process holds
                it for longer than `lock_seconds`.
        """
        lock = FileLock(self.folder / "lock", timeout=self.lock_seconds)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise UserError(
                f"another process has held {lock.lock_file} for {self.lock_seconds:g} seconds; "
                "wait for it or end it"
            ) from error
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            lock.release()

    def paths(self, symbol: str) -> tuple[Path, Path]:
        """Return the files of `symbol`: rows, description.

        The digest separates names that a file system may not: "aapl" and "AAPL",
        very long names, "..".
        """
        readable = quote(symbol, safe="", errors="surrogatepass")[:60].strip(".")
        digest = hashlib.sha256(symbol.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        stem = f"{readable}-{digest}"
        return self.folder / f"{stem}.npz", self.folder / f"{stem}.json"

    def read(self, symbol: str, damage: int = logging.WARNING) -> History | None:
        """Return what is cached, or None if there is nothing or the files are damaged.

        Damage is logged at level `damage`. Without `lock`, files look damaged while
        another process replaces them.
        """
        rows, description = self.paths(symbol)
        try:
            return _decode(symbol, rows.read_bytes(), description.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
            logger.log(damage, "ignoring the damaged cache file %s: %s", rows, error)
            return None

    def write(self, history: History) -> None:
        """Replace what is cached for `history.symbol`; the caller holds `lock`.

        Raises:
            UserError: The folder cannot be written to.
        """
        rows, description = self.paths(history.symbol)
        content = BytesIO()
        np.savez(content, dates=history.dates, close=history.close, open=history.open)
        data = content.getvalue()
        about = {
            "format": _FORMAT,
            "symbol": history.symbol,
            "first": history.first.isoformat(),
            "last": history.last.isoformat(),
            "fetched": history.fetched.isoformat(),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(rows) as temporary:
                temporary.write_bytes(data)
            with atomic_write(description) as temporary:
                temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"the cache folder {self.folder} cannot be written to: {error.strerror or error}; "
            f"make it writable or set {FOLDER_VARIABLE} to another folder"
        )


def default_folder() -> Path:
    """Return $STOCK_RNN_CACHE, or this user's cache folder on this system."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("stock_rnn"))


def _decode(symbol: str, data: bytes, description: bytes) -> History:
    """Read a history; raise ValueError, TypeError or KeyError if it is damaged."""
    about = json.loads(description)
    if about["format"] != _FORMAT or about["symbol"] != symbol:
        raise ValueError("it describes another symbol or format")
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise ValueError("its checksum does not fit")
    fetched = datetime.fromisoformat(about["fetched"])
    with np.load(BytesIO(data), allow_pickle=False) as rows:
        dates, close, opening = rows["dates"], rows["close"], rows["open"]
    if dates.dtype != "datetime64[s]" or not dates.shape == close.shape == opening.shape:
        raise ValueError("its arrays do not fit together")
    return History(
        symbol,
        date.fromisoformat(about["first"]),
        date.fromisoformat(about["last"]),
        fetched,
        dates,
        close.astype(np.float64),
        opening.astype(np.float64),
    )
