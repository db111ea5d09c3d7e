"""LSTMs on stock prices, with the curvature of the loss beside every epoch.

    >>> import stock_rnn
    >>> forecaster = stock_rnn.load_run("default")   # doctest: +SKIP
    >>> forecaster.predict(prices)                   # doctest: +SKIP

Names are imported when they are first used: most of them need TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stock_rnn.config import Config, resolve
    from stock_rnn.data.dataset import StockDataSet
    from stock_rnn.errors import UserError
    from stock_rnn.forecasting.forecaster import Forecaster, load_run
    from stock_rnn.network.model import build_model
    from stock_rnn.prices import Prices, load_prices
    from stock_rnn.training.train import train

__version__ = "0.1.0"

_HOMES = {
    "Config": "config",
    "Forecaster": "forecasting.forecaster",
    "Prices": "prices",
    "StockDataSet": "data.dataset",
    "UserError": "errors",
    "build_model": "network.model",
    "load_prices": "prices",
    "load_run": "forecasting.forecaster",
    "resolve": "config",
    "train": "training.train",
}

__all__ = [
    "Config",
    "Forecaster",
    "Prices",
    "StockDataSet",
    "UserError",
    "build_model",
    "load_prices",
    "load_run",
    "resolve",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
