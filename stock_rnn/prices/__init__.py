"""Daily prices: where they come from, and the checks that all of them pass.

`load_prices` is the way in; it returns a checked, immutable `Prices`. Nothing
here imports TensorFlow, and each source's library is imported only when that
source is read. Names are imported when they are first used: the configuration
needs those of the sources and no NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stock_rnn.prices.bundled import BUNDLED_SYMBOLS
    from stock_rnn.prices.load import load_prices
    from stock_rnn.prices.series import Prices
    from stock_rnn.prices.span import PERIODS

__all__ = ["BUNDLED_SYMBOLS", "PERIODS", "Prices", "load_prices"]

_HOMES = {
    "BUNDLED_SYMBOLS": "bundled",
    "PERIODS": "span",
    "Prices": "series",
    "load_prices": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
