from .backtest.run import Backtest, walk_forward
from .config import Config, resolve
from .data import StockDataSet
from .errors import UserError
from .forecasting import Evaluation, Forecaster, NextPrices, evaluate, load_run, predict_next
from .network import build_model
from .prices import Prices, load_prices
from .training.train import train

__version__: str

__all__ = [
    "Backtest",
    "Config",
    "Evaluation",
    "Forecaster",
    "NextPrices",
    "Prices",
    "StockDataSet",
    "UserError",
    "build_model",
    "evaluate",
    "load_prices",
    "load_run",
    "predict_next",
    "resolve",
    "train",
    "walk_forward",
]
