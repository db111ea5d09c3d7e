"""Daily prices of 20 US stocks that the `skfolio` package carries: no network needed."""

import importlib.util
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from stock_rnn.errors import UserError
from stock_rnn.prices.series import RawPrices, shown

#: Of the last row.
LAST_DAY = date(2022, 12, 28)

_FILE = Path("datasets", "data", "sp500_dataset.csv.gz")


def read_skfolio(symbol: str) -> RawPrices:
    """Return the daily closes of a stock, 1990-01-02 to 2022-12-28, in US dollars.

    They are adjusted for splits and dividends and have three decimals. There are no opening
    prices. Source: `skfolio.datasets.load_sp500_dataset`.

    Raises:
        UserError: The package is not installed or has no such file, or has no such stock.
    """
    path = _path()
    try:
        table = pd.read_csv(path, index_col=0, parse_dates=True)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"cannot read {path} ({error}); pip install --force-reinstall skfolio"
        ) from error
    name = symbol.upper()
    if name not in table.columns:
        raise UserError(
            f"skfolio has {', '.join(table.columns)}; use --source yahoo or --csv FILE for others. "
            f"Received: symbol={shown(symbol)}"
        )
    return RawPrices(
        symbol=name,
        source="skfolio",
        name=f"skfolio's prices of {name}",
        last_day=LAST_DAY,
        dates=table.index.to_numpy().astype("datetime64[s]"),
        close=table[name].to_numpy(dtype=np.float64),
    )


def _path() -> Path:
    """Where the file is.

    The package is not imported, which takes seconds: only its folder is looked up.
    """
    found = importlib.util.find_spec("skfolio")
    folders = (found and found.submodule_search_locations) or []
    for folder in folders:
        return Path(folder) / _FILE
    raise UserError(
        "--source skfolio needs the package of that name, of which it reads the prices alone: "
        "pip install --no-deps skfolio"
    )
