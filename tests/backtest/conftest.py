"""A walk over made prices: three fits, made once."""

import pytest

from tests.backtest import cases


@pytest.fixture(scope="session")
def prices():
    return cases.walk_prices()


@pytest.fixture(scope="session")
def fitted(prices):
    return cases.fitted_of(prices)
