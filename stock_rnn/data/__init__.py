"""From prices to a data set of windows. No TensorFlow.

`windows` has the arithmetic, `splits` says which examples train, `batches` in which
order an epoch sees them; `StockDataSet` puts these together.
"""

from stock_rnn.data.batches import epoch_order
from stock_rnn.data.dataset import StockDataSet, interleave, series_of
from stock_rnn.data.from_config import dataset_of, one_stock, prices_of
from stock_rnn.data.splits import split_day, split_examples
from stock_rnn.data.stocks import StocksDataSet
from stock_rnn.data.windows import base_prices, cut_windows, denormalize, normalize

__all__ = [
    "StockDataSet",
    "StocksDataSet",
    "base_prices",
    "cut_windows",
    "dataset_of",
    "denormalize",
    "epoch_order",
    "interleave",
    "normalize",
    "one_stock",
    "prices_of",
    "series_of",
    "split_day",
    "split_examples",
]
