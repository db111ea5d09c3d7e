"""Simple forecasts that a network has to beat, on the same examples.

All of them work on log prices, y = log p, and all are fitted on the training examples alone.
A forecast reads what lies before the first price of its label, and nothing later.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stock_rnn.data import StockDataSet
from stock_rnn.data.windows import denormalize

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer]

#: No autoregression has more lags, so that its fit stays cheap and its coefficients few.
MAX_LAGS = 20


class Predictor(Protocol):
    """What forecasts the examples of a data set: a trained run's model, or a baseline."""

    def predict_examples(self, dataset: StockDataSet, examples: IntArray, /) -> FloatArray:
        """Predictions (k, N) for examples (k,), in the units of the data set's labels."""
        ...


@dataclasses.dataclass(frozen=True)
class Persistence:
    """The price stays where it is: ŷ_{t+h} = y_t."""

    def predict_examples(self, dataset: StockDataSet, examples: IntArray, /) -> FloatArray:
        """As `Predictor`."""
        return np.asarray(dataset.persistence(examples), np.float64)


@dataclasses.dataclass(frozen=True)
class Drift:
    """The random walk with drift: ŷ_{t+h} = y_t + h c.

    Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, section 5.2; c is
    the mean change in place of the whole stretch's slope, which is the same for changes that
    follow each other.

    Attributes:
        change: c, the mean change of log prices.
    """

    change: float

    @classmethod
    def fit(cls, dataset: StockDataSet) -> Drift:
        """The mean change over the labels of the training examples."""
        log_prices = _log_prices(dataset)
        steps = label_steps(dataset, dataset.train)
        return cls(float(np.mean(log_prices[steps] - log_prices[steps - 1])))

    def predict_examples(self, dataset: StockDataSet, examples: IntArray, /) -> FloatArray:
        """As `Predictor`."""
        ahead = np.arange(1, dataset.input_size + 1) * self.change
        return _from_log_changes(dataset, examples, np.tile(ahead, (len(examples), 1)))


@dataclasses.dataclass(frozen=True)
class MovingMean:
    """The mean of the T·N log prices that the network reads too: ŷ_{t+h} = Σ y_{t-j} / (T·N)."""

    def predict_examples(self, dataset: StockDataSet, examples: IntArray, /) -> FloatArray:
        """As `Predictor`."""
        log_prices = _log_prices(dataset)
        first = label_starts(dataset, examples)
        count = dataset.num_steps * dataset.input_size
        read = log_prices[first[:, None] - np.arange(1, count + 1)]
        return _constant(dataset, examples, read.mean(axis=1) - log_prices[first - 1])


@dataclasses.dataclass(frozen=True)
class Autoregression:
    """A linear autoregression of the log changes r_t = y_t - y_{t-1}, with p lags.

    r̂_t = c + Σ_{j=1..p} φ_j r_{t-j}; several steps ahead by recursion. It is fitted by least
    squares on the training labels (conditional maximum likelihood). p is that of the lowest
    BIC among 1 to min(T·N, MAX_LAGS): it never reads more than the network. Source: Hamilton,
    Time Series Analysis (1994), section 5.2.

    Attributes:
        constant: c.
        coefficients: (p,), φ_1 to φ_p.
    """

    constant: float
    coefficients: FloatArray

    @classmethod
    def fit(cls, dataset: StockDataSet) -> Autoregression:
        """Choose p and fit, on the labels of the training examples."""
        changes = _log_changes(_log_prices(dataset))
        steps = label_steps(dataset, dataset.train)
        most = min(dataset.num_steps * dataset.input_size, MAX_LAGS, max(1, len(steps) // 4))
        lagged = changes[steps[:, None] - np.arange(1, most + 1)]
        design = np.column_stack([np.ones(len(steps)), lagged])
        lags = _lags_of_lowest_bic(design, changes[steps])
        found = np.linalg.lstsq(design[:, : lags + 1], changes[steps], rcond=None)[0]
        return cls(float(found[0]), found[1:])

    def predict_examples(self, dataset: StockDataSet, examples: IntArray, /) -> FloatArray:
        """As `Predictor`."""
        changes = _log_changes(_log_prices(dataset))
        first = label_starts(dataset, examples)
        recent = changes[first[:, None] - np.arange(1, len(self.coefficients) + 1)]
        ahead = np.empty((len(examples), dataset.input_size))
        for step in range(dataset.input_size):
            ahead[:, step] = self.constant + recent @ self.coefficients
            recent = np.column_stack([ahead[:, step], recent[:, :-1]])
        return _from_log_changes(dataset, examples, ahead.cumsum(axis=1))


@dataclasses.dataclass(frozen=True)
class ExponentialSmoothing:
    """Simple exponential smoothing: ŷ_{t+h} = l_t, l_t = α y_t + (1 - α) l_{t-1}, l_0 = y_0.

    α minimizes the mean squared error one price ahead over the training labels. α = 1 is
    persistence. Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice,
    section 8.1.

    Attributes:
        alpha: α in (0, 1].
    """

    alpha: float

    @classmethod
    def fit(cls, dataset: StockDataSet) -> ExponentialSmoothing:
        """Find α on the labels of the training examples."""
        from scipy.optimize import minimize_scalar

        steps = label_steps(dataset, dataset.train)
        # What comes after the training's last label changes none of its errors.
        log_prices = _log_prices(dataset)[: steps.max() + 1]

        def loss(alpha: float) -> float:
            return float(np.mean(_smoothing_errors(log_prices, alpha)[steps] ** 2))

        # There may be two minima: the grid finds the lower one, the search its place.
        grid = np.concatenate([[0.001, 0.01], np.linspace(0.05, 1.0, 20)])
        at = int(np.argmin([loss(alpha) for alpha in grid]))
        bounds = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
        found = float(minimize_scalar(loss, bounds=bounds, method="bounded").x)
        return cls(min((found, float(grid[at])), key=loss))

    def predict_examples(self, dataset: StockDataSet, examples: IntArray, /) -> FloatArray:
        """As `Predictor`."""
        log_prices = _log_prices(dataset)
        last = label_starts(dataset, examples) - 1
        # l_t = y_t - (1 - α) e_t, with the error e_t = y_t - l_{t-1}.
        below = -(1.0 - self.alpha) * _smoothing_errors(log_prices, self.alpha)[last]
        return _constant(dataset, examples, below)


def fit_baselines(dataset: StockDataSet) -> dict[str, Predictor]:
    """All baselines by name, fitted on the training examples of a data set.

    Persistence comes first; it has nothing to be fitted.
    """
    return {
        "persistence": Persistence(),
        "drift": Drift.fit(dataset),
        "moving mean": MovingMean(),
        "AR": Autoregression.fit(dataset),
        "smoothing": ExponentialSmoothing.fit(dataset),
    }


def series(dataset: StockDataSet) -> FloatArray:
    """The prices (W·N,) that the windows of a data set were cut from, oldest first."""
    windows = np.asarray(dataset.windows, np.float64)
    prices = denormalize(windows, dataset.bases) if dataset.normalized else windows
    return np.asarray(prices.ravel(), np.float64)


def label_starts(dataset: StockDataSet, examples: IntArray) -> NDArray[np.int64]:
    """Where in `series` the label of each example (k,) begins: (k,), at least 1."""
    return (np.asarray(examples, np.int64) + dataset.num_steps) * dataset.input_size


def label_steps(dataset: StockDataSet, examples: IntArray) -> NDArray[np.int64]:
    """Where in `series` the prices of the labels are: (k·N,)."""
    return (label_starts(dataset, examples)[:, None] + np.arange(dataset.input_size)).ravel()


def _log_prices(dataset: StockDataSet) -> FloatArray:
    return np.log(series(dataset))


def _log_changes(log_prices: FloatArray) -> FloatArray:
    """r_t = y_t - y_{t-1}, and 0 for the first price, as the network's windows have it."""
    return np.diff(log_prices, prepend=log_prices[:1])


def _lags_of_lowest_bic(design: FloatArray, target: FloatArray) -> int:
    """How many lags p >= 1 minimize n log(RSS_p / n) + (p + 1) log n.

    Args:
        design: (n, 1 + most), ones, then the lags.
        target: (n,).
    """
    count = len(target)
    total = float(target @ target)
    if total == 0 or count <= design.shape[1]:
        return 1
    # One factorization for all p: the q-th column of Q takes (q'y)² off the sum of squares.
    taken = (np.linalg.qr(design)[0].T @ target) ** 2
    # Rounding alone is left of an exact fit, which needs no further lag.
    squares = np.maximum(total - np.cumsum(taken)[1:], 1e-15 * total)
    lags = np.arange(1, len(squares) + 1)
    return int(lags[np.argmin(count * np.log(squares / count) + (lags + 1) * np.log(count))])


def _smoothing_errors(log_prices: FloatArray, alpha: float) -> FloatArray:
    """The errors one price ahead, e_t = y_t - l_{t-1}, by e_t = r_t + (1 - α) e_{t-1}."""
    from scipy.signal import lfilter

    errors = lfilter([1.0], [1.0, alpha - 1.0], _log_changes(log_prices))
    return np.asarray(errors, np.float64)


def _constant(dataset: StockDataSet, examples: IntArray, change: FloatArray) -> FloatArray:
    """One change (k,) for all N prices of each label."""
    changes = np.repeat(change[:, None], dataset.input_size, axis=1)
    return _from_log_changes(dataset, examples, changes)


def _from_log_changes(dataset: StockDataSet, examples: IntArray, changes: FloatArray) -> FloatArray:
    """Changes (k, N) of the log price since the last known one, in the units of the labels."""
    if dataset.normalized:
        return np.expm1(changes)
    last = series(dataset)[label_starts(dataset, examples) - 1]
    return last[:, None] * np.exp(changes)
