from .bundled import BUNDLED_SYMBOLS
from .load import load_prices
from .series import Prices
from .span import PERIODS
from .stocks import Stocks, load_stocks, read_symbols

__all__ = [
    "BUNDLED_SYMBOLS",
    "PERIODS",
    "Prices",
    "Stocks",
    "load_prices",
    "load_stocks",
    "read_symbols",
]
