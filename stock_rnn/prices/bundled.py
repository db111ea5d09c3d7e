"""Daily prices of two indices that the `arch` package carries: no network needed."""

import importlib.util
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from stock_rnn.errors import UserError
from stock_rnn.prices.series import RawPrices, shown
from stock_rnn.prices.span import Span

BUNDLED_SYMBOLS = ("^GSPC", "^IXIC")

# Every trading day in between is there; the first is 1999-01-04.
FIRST_DAY, LAST_DAY = date(1999, 1, 1), date(2018, 12, 31)


def holds(symbol: str, span: Span) -> bool:
    """Tell whether the bundled prices have `symbol` on every day of `span`.

    Every period is held, because it counts back from `LAST_DAY`. A start without an
    end means "until now", an end without a start "from the beginning": neither is held.
    """
    if symbol.upper() not in BUNDLED_SYMBOLS:
        return False
    if span.period is not None:
        return True
    if span.start is None or span.end is None:
        return False
    return span.start >= FIRST_DAY and span.end <= LAST_DAY


def read_bundled(symbol: str) -> RawPrices:
    """Return the daily opens and closes of `symbol`, 1999-01-04 to 2018-12-31.

    Raises:
        UserError: `symbol` is not one of `BUNDLED_SYMBOLS`.
    """
    name = symbol.upper()
    if name not in BUNDLED_SYMBOLS:
        raise UserError(
            f"only {' and '.join(BUNDLED_SYMBOLS)} are bundled; use --source yahoo or "
            f"--csv FILE for others. Received: symbol={shown(symbol)}"
        )
    table = pd.read_csv(_file("sp500" if name == "^GSPC" else "nasdaq"))
    return RawPrices(
        symbol=name,
        source="bundled",
        name=f"the bundled prices of {name}",
        last_day=LAST_DAY,
        dates=pd.to_datetime(table["Date"]).to_numpy().astype("datetime64[s]"),
        close=table["Close"].to_numpy(dtype=np.float64),
        open=table["Open"].to_numpy(dtype=np.float64),
    )


def _file(name: str) -> Path:
    """The file that `arch.data.NAME.load` reads. `arch` is not imported: that takes a second."""
    spec = importlib.util.find_spec("arch")
    assert spec is not None, "arch is a requirement"
    assert spec.submodule_search_locations is not None, "arch is a package"
    return Path(spec.submodule_search_locations[0], "data", name, f"{name}.csv.gz")
