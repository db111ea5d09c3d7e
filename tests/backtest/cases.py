"""Short walks that several tests share."""

import concurrent.futures

import numpy as np
import pandas as pd

from stock_rnn.backtest.fit import Fitted, train_and_forecast
from stock_rnn.backtest.judge import judge
from stock_rnn.backtest.plan import Walk, plan_fits
from stock_rnn.backtest.run import _task
from stock_rnn.config import Config
from stock_rnn.data import dataset_of
from stock_rnn.forecasting.baselines import fit_baselines
from stock_rnn.forecasting.comparison import MODEL
from stock_rnn.forecasting.intervals import Intervals
from stock_rnn.prices import Prices

#: A network that trains in a moment, with dropout and validation.
CONFIG = Config(
    symbol="^X",
    csv="made.csv",
    cell="simple_rnn",
    num_steps=2,
    lstm_size=2,
    max_epoch=6,
    hessian_every=0,
    validation_ratio=0.2,
    init_learning_rate=0.01,
)
# Fewer than 20 judged examples need no bootstrap.
WALK = Walk(folds=2, initial=0.65, model="best")
INTERVALS = Intervals(method="adaptive", coverage=0.7, step=0.1, errors=7)


def made_prices(closes, dates=None):
    dates = pd.bdate_range("2020-01-01", periods=len(closes)) if dates is None else dates
    return Prices("^X", "csv", dates.to_numpy("datetime64[s]"), np.asarray(closes, np.float64))


def walk_prices(count=50, seed=0):
    return made_prices(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count))))


def fits_of(prices, walk=WALK, config=CONFIG):
    return plan_fits(len(dataset_of(config, prices)), walk)


def fitted_of(prices, walk=WALK, config=CONFIG, only=None):
    """The fits of a walk, made in this process."""
    found, weights = [], ()
    for fit in fits_of(prices, walk, config):
        if only is None or fit.number in only:
            found.append(train_and_forecast(_task(config, walk, fit), prices, weights))
            weights = found[-1].weights
    return found


def judged(prices, fitted, walk=WALK, config=CONFIG, intervals=INTERVALS):
    return judge(config, walk, intervals, prices, fits_of(prices, walk, config), fitted)


def known_fit(config, fit, prices, model):
    """A fit without training: real baselines, and a function of data set and examples."""
    data = dataset_of(config, prices)
    examples = np.arange(fit.end, fit.stop)
    forecasts = {MODEL: model(data, examples)}
    for name, each in fit_baselines(data).items():
        forecasts[name] = each.predict_examples(data, examples)
    return Fitted(forecasts, np.full((len(examples), 1), 0.01), 2, 1, (0.01, 0.0001), 0.0)


def halfway(data, examples):
    """Half of each change is foreseen: the errors are half of persistence's."""
    return data.labels(examples) / 2


class KnownFits:
    """A `Submit` that trains nothing: it returns known fits, and lists what is submitted."""

    def __init__(self, fitted):
        self.fitted, self.submitted, self.weights = fitted, [], []

    def __call__(self, task, prices, weights=()):
        self.submitted.append(task.fit.number)
        self.weights.append(weights)
        future = concurrent.futures.Future()
        future.set_result(self.fitted[task.fit.number])
        return future
