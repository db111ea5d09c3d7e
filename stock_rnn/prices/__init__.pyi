from .bundled import BUNDLED_SYMBOLS
from .load import load_prices
from .series import Prices
from .span import PERIODS

__all__ = ["BUNDLED_SYMBOLS", "PERIODS", "Prices", "load_prices"]
