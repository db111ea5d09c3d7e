"""From a configuration to its prices, and to its data set."""

from __future__ import annotations

from typing import overload

from stock_rnn.config import Config, stock_file
from stock_rnn.data.dataset import StockDataSet
from stock_rnn.data.stocks import StocksDataSet
from stock_rnn.prices import Prices, Stocks, load_prices, load_stocks, read_symbols
from stock_rnn.prices.sources import parse_symbols


def prices_of(config: Config) -> Prices | Stocks:
    """The prices that a configuration asks for, loaded from their source.

    Raises:
        UserError: the source does not have them, or cannot be reached.
    """
    if not config.several:
        return _load(config, config.symbol, config.csv)
    if config.symbols_file is not None:
        symbols = read_symbols(config.symbols_file)
    else:
        symbols = [(symbol, "") for symbol in parse_symbols(config.symbols or "")]

    def load(symbol: str) -> Prices:
        return _load(config, symbol, config.csv and stock_file(config.csv, symbol))

    return load_stocks(symbols, load, name=config.symbol)


def one_stock(config: Config) -> Prices:
    """The prices of a configuration that asks for those of one stock.

    Raises:
        UserError: as `prices_of`.
        ValueError: it asks for several.
    """
    prices = prices_of(config)
    if isinstance(prices, Stocks):
        raise ValueError(f"{config.symbol} are several stocks")
    return prices


def _load(config: Config, symbol: str, csv: str | None) -> Prices:
    return load_prices(
        symbol,
        source=config.source,
        csv=csv,
        date_column=config.date_column,
        close_column=config.close_column,
        decimal=config.decimal,
        period=config.period,
        start=config.start,
        end=config.end,
        need_open=config.open_and_close,
    )


@overload
def dataset_of(config: Config, prices: Prices) -> StockDataSet: ...
@overload
def dataset_of(config: Config, prices: Stocks) -> StocksDataSet: ...
@overload
def dataset_of(config: Config, prices: Prices | Stocks) -> StockDataSet: ...


def dataset_of(config: Config, prices: Prices | Stocks) -> StockDataSet:
    """The data set that a configuration makes of prices.

    Raises:
        UserError: too few prices, or no opening prices where they are needed.
    """
    if isinstance(prices, Stocks):
        return StocksDataSet(
            prices,
            open_and_close=config.open_and_close,
            input_size=config.input_size,
            num_steps=config.num_steps,
            normalized=config.normalized,
            align=config.align,
            test_ratio=config.test_ratio,
            validation_ratio=config.validation_ratio,
        )
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
