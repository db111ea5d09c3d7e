"""A configuration on other prices than its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from stock_rnn.config.config import Config
from stock_rnn.config.rules import refuse_ignored
from stock_rnn.errors import UserError


def on_other_prices(config: Config, given: Mapping[str, Any]) -> Config:
    """The same settings on the prices that are named.

    What is not named stays, as far as it still means the same: a new CSV brings its own
    name and columns, a new symbol comes from no CSV, and a span replaces the whole span.

    Args:
        given: settings among `PRICE_SETTINGS`, by name.

    Raises:
        UserError: a value is out of range or ignored, or a source is named without the
            symbol that it is to have.
    """
    changed: dict[str, Any] = {}
    if config.several:
        changed = _one_of_several(config, given)
    elif "csv" in given or ("symbol" in given and config.csv is not None):
        changed |= {"csv": None, "source": "auto", "symbol": None}
    elif given.get("source", "csv") != "csv" and config.csv is not None:
        if "symbol" not in given:
            raise UserError(
                f"--source {given['source']} needs --symbol: the run's prices come from "
                f"the file {config.csv}"
            )
        changed |= {"csv": None}
    if "csv" in given or ("csv" in changed and changed["csv"] is None):
        changed |= {"date_column": None, "close_column": None, "decimal": None}
    if given.keys() & {"period", "start", "end"}:
        changed |= {"period": Config().period, "start": None, "end": None}
    found = dataclasses.replace(config, **{**changed, **given})
    refuse_ignored(found, given)
    return found


def _one_of_several(config: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """What `on_other_prices` changes of a configuration of several stocks."""
    changed: dict[str, Any] = {}
    if given.get("source", "csv") != "csv":
        changed = {"csv": None}
    if "symbol" not in given and "csv" not in given:
        return changed
    if config.csv is not None and not changed and "csv" not in given:
        # From the folder of the others.
        changed = {"csv": stock_file(config.csv, str(given.get("symbol")))}
    return {**changed, "symbols": None, "symbols_file": None, "symbol": None}


def stock_file(folder: str, symbol: str) -> str:
    """The CSV of a stock in a folder of several.

    Raises:
        UserError: the symbol cannot be a file's name.
    """
    if any(sign in symbol for sign in "/\\") or symbol.startswith("."):
        raise UserError(f"--csv {folder}: a file cannot be named after the symbol {symbol!r}")
    return os.path.join(folder, f"{symbol}.csv")
