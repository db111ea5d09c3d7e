from .config import Config, resolve
from .data import StockDataSet
from .errors import UserError
from .forecasting import Evaluation, Forecaster, evaluate, load_run
from .network import build_model
from .prices import Prices, load_prices
from .training.train import train

__version__: str

__all__ = [
    "Config",
    "Evaluation",
    "Forecaster",
    "Prices",
    "StockDataSet",
    "UserError",
    "build_model",
    "evaluate",
    "load_prices",
    "load_run",
    "resolve",
    "train",
]
