"""A run's name from its settings, a folder's name from a series of prices."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from stock_rnn.config import Config
from stock_rnn.prices import Prices
from stock_rnn.prices.sources import default_symbol

# Their names go without the ^, and do so since the first version.
_INDICES = frozenset(
    f"^{name}"
    for name in (
        *("GSPC", "IXIC", "DJI", "RUT", "NDX", "VIX", "NYA", "TNX", "GSPTSE", "BVSP"),
        *("FTSE", "GDAXI", "FCHI", "STOXX50E", "STOXX", "SSMI", "IBEX", "AEX"),
        *("N225", "HSI", "AXJO", "KS11", "BSESN", "NSEI", "TWII"),
    )
)

# A name with more characters spells out fewer settings: TensorBoard's cards and the titles of
# pictures would cut it.
_LONGEST = 60

# How a name spells the settings of the report's appendix where they are not the default.
_LABELS = {
    "init_learning_rate": "lr",
    "learning_rate_decay": "decay",
    "num_steps": "step",
    "input_size": "input",
    "batch_size": "batch",
    "max_epoch": "epoch",
}

_ALWAYS = ("symbol", "optimizer", "cell", "lstm_size", "num_layers", "seed")

_MADE_OF_SETTINGS = (
    r".+_[a-z0-9-]+_[a-z_-]+[0-9]+x[0-9]+_(.+_)?seed[0-9]+(_.*)?",
    # The appendix's settings were always spelled out before version 0.2.
    r".+_lr[^_]+_decay[^_]+_[a-z_]+[0-9]+x[0-9]+_step[0-9]+_input[0-9]+_batch[0-9]+"
    r"_epoch[0-9]+_seed[0-9]+(_.*)?",
)


def run_name(config: Config) -> str:
    """A run's name from its settings: configurations that differ have different names.

    Symbol, optimizer, network and seed are always spelled out; the others when they are not the
    default, as long as the name stays short. Where it does not, a hash stands for all but those
    of the report's appendix: `config.json` has them. A value that cannot stand in a file name is
    replaced by its hash.
    """
    c = config
    named_by_csv = c.csv is not None and c.symbol == default_symbol(c.csv)
    symbol = _slug(c.symbol) if named_by_csv else _symbol_slug(c.symbol)
    main = f"{symbol}_{c.optimizer}_{c.cell}{c.lstm_size}x{c.num_layers}"
    others = ""
    for setting, (value, _) in config.differences(Config()).items():
        if setting == "csv" and named_by_csv:
            others += _csv_ending(c.symbol, value)
        elif setting in _LABELS:
            main += f"_{_LABELS[setting]}{_number(value)}"
        elif setting not in _ALWAYS:
            others += f"_{setting.replace('_', '')}-{_slug(str(value))}"
    main += f"_seed{c.seed}"
    if others and len(main) + len(others) > _LONGEST:
        others = f"_etc-{short_hash(others)}"
    return main + others


def is_made_of_settings(name: str) -> bool:
    """Whether a run's name is one that `run_name` makes, or has made in an earlier version."""
    return re.fullmatch("|".join(_MADE_OF_SETTINGS), name) is not None


def series_name(prices: Prices) -> str:
    """A folder's name for a series of prices; different series have different names."""
    return f"{_symbol_slug(prices.symbol)}_{prices.source}_{prices.sha256[:8]}"


def _symbol_slug(symbol: str) -> str:
    """A symbol in a name: the great indices without their ^, the stock GSPC as another."""
    bare = symbol.removeprefix("^")
    if (symbol in _INDICES) or (bare == symbol and f"^{symbol}" not in _INDICES):
        return _slug(bare)
    return f"{_slug(bare)}-{short_hash(symbol)}"


def _number(value: float) -> str:
    """A number in a name: short where that is exact."""
    if isinstance(value, int):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _csv_ending(symbol: str, csv: str) -> str:
    """How a name ends whose beginning is the name of the CSV."""
    suffix = csv.removeprefix(symbol)
    if csv.startswith(symbol) and re.fullmatch(r"(\.[A-Za-z]+)+", suffix):
        return suffix.replace(".", "_", 1)
    return f"_csv-{short_hash(csv)}"


def _slug(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.=+-]{1,40}", text):
        return text
    kept = re.sub(r"[^A-Za-z0-9]+", "-", Path(text).stem)[:24].strip("-")
    return f"{kept}-{short_hash(text)}" if kept else short_hash(text)


def short_hash(text: str) -> str:
    """Eight hexadecimal digits that stand for a text in a name."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
