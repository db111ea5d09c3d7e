"""From a configuration to its prices, and to its data set."""

from __future__ import annotations

from stock_rnn.config import Config
from stock_rnn.data.dataset import StockDataSet
from stock_rnn.prices import Prices, load_prices


def prices_of(config: Config) -> Prices:
    """The prices that a configuration asks for, loaded from their source.

    Raises:
        UserError: the source does not have them, or cannot be reached.
    """
    return load_prices(
        config.symbol,
        source=config.source,
        csv=config.csv,
        date_column=config.date_column,
        close_column=config.close_column,
        decimal=config.decimal,
        period=config.period,
        start=config.start,
        end=config.end,
        need_open=config.open_and_close,
    )


def dataset_of(config: Config, prices: Prices) -> StockDataSet:
    """The data set that a configuration makes of prices.

    Raises:
        UserError: too few prices, or no opening prices where they are needed.
    """
    return StockDataSet.from_prices(
        prices,
        open_and_close=config.open_and_close,
        input_size=config.input_size,
        num_steps=config.num_steps,
        normalized=config.normalized,
        align=config.align,
        split=config.split,
        test_ratio=config.test_ratio,
        train_ratio=config.train_ratio,
        validation_ratio=config.validation_ratio,
        seed=config.seed,
    )
