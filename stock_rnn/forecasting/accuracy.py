"""Measures of a forecast on the examples of a data set."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stock_rnn.data import StockDataSet
from stock_rnn.forecasting.baselines import label_starts, label_steps, series
from stock_rnn.forecasting.metrics import Score, scores

#: How many prices back a forecast is looked for in the past.
MAX_SHIFT = 5

_DAY = 24 * 60 * 60


@dataclasses.dataclass(frozen=True)
class Scale:
    """The mean size of a relative change from one price to the next, over the training labels.

    Relative, so that it also measures prices of another level or currency.

    Attributes:
        absolute: Σ |p_t / p_{t-1} - 1| / n.
        squared: Σ (p_t / p_{t-1} - 1)² / n.
    """

    absolute: float
    squared: float

    @classmethod
    def of_training(cls, dataset: StockDataSet) -> Scale:
        """The scale of a data set's training labels."""
        prices, steps = series(dataset), label_steps(dataset, dataset.train)
        changes = prices[steps] / prices[steps - 1] - 1.0
        return cls(float(np.mean(np.abs(changes))), float(np.mean(changes**2)))


@dataclasses.dataclass(frozen=True)
class Direction:
    """How often a forecast tells a rise from a fall, by the last price of each label.

    Attributes:
        hits: forecasts whose sign was right.
        count: forecasts and changes that both have a sign; persistence has none.
        share: hits / count; nan if count is 0.
        interval: Wilson's 95 % interval of the share (Wilson 1927), which takes the examples as
            independent; (nan, nan) if count is 0.
    """

    hits: int
    count: int
    share: float
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Shift:
    """Where in the past a forecast is found again.

    Attributes:
        correlations: (MAX_SHIFT + 1,), Pearson's correlation of the predicted price of day t
            with the price k prices before t, for k = 0, 1, ...; nan where there are fewer than
            three pairs or one of both never changes.
        best: the k of the highest correlation, the smallest one of several; None if all are nan.
        daily: whether there is one price a day.
    """

    correlations: tuple[float, ...]
    best: int | None
    daily: bool = True

    @property
    def in_words(self) -> str:
        """One line: whether the predictions are a price of the past, shifted."""
        if self.best is None:
            return "no shift can be told: predictions or prices never change"
        highest = f"correlation {self.correlations[self.best]:.4f}"
        own = "the day's own price" if self.daily else "their own price"
        if self.best == 0:
            return f"predictions follow {own} most closely ({highest})"
        one = "yesterday's price" if self.daily else "the price before"
        several = f"the price {self.best} {'days' if self.daily else 'prices'} before"
        when = one if self.best == 1 else several
        return (
            f"predictions follow {when} most closely ({highest}; {own} {self.correlations[0]:.4f})"
        )


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """A forecast's errors on k examples of N prices.

    With predictions p̂ and prices p, both as x̂ and x in the units of the labels, the last price b
    that is known, and the `Scale` of the training:

    Attributes:
        score: MSE, Σ (x̂ - x)² / n, beside persistence's; skill with its interval.
        mae: Σ |x̂ - x| / n, in the labels' units.
        rmse_price: √(Σ (p̂ - p)² / n), in the prices' currency.
        mape: 100 Σ |p̂ - p| / p / n, in per cent.
        mase: Σ |p̂ - p| / b / n over the scale's `absolute` (Hyndman and Koehler 2006, here of
            relative changes); nan if the training's prices never change. Below 1 the error is
            smaller than a change from price to price was in the training.
        rmsse: √(Σ ((p̂ - p) / b)² / n over the scale's `squared`) (Makridakis, Spiliotis and
            Assimakopoulos, M5, 2022, here of relative changes).
        direction: of the change since the last known price.
        shift: whether it is yesterday's price.
        losses: (k,), the mean squared error of each example in the labels' units.
    """

    score: Score
    mae: float
    rmse_price: float
    mape: float
    mase: float
    rmsse: float
    direction: Direction
    shift: Shift
    losses: NDArray[np.float64]


def accuracy(
    dataset: StockDataSet,
    examples: NDArray[np.integer],
    predicted: NDArray[np.floating],
    scale: Scale,
) -> Accuracy:
    """Measure predictions (k, N) of examples (k,), in the units of the data set's labels.

    Args:
        dataset: what was predicted.
        examples: (k,), k >= 1, in order of time.
        predicted: (k, N).
        scale: of the prices that the forecast was trained on.
    """
    return accuracies(dataset, examples, {"": predicted}, scale)[""]


def accuracies(
    dataset: StockDataSet,
    examples: NDArray[np.integer],
    predictions: Mapping[str, NDArray[np.floating]],
    scale: Scale,
) -> dict[str, Accuracy]:
    """Measure several forecasts of the same examples, each as `accuracy` does, in less time.

    Args:
        dataset, examples, scale: as of `accuracy`.
        predictions: forecast -> (k, N), in the units of the labels.
    """
    labels, bases = dataset.labels(examples), dataset.label_bases(examples)
    prices = dataset.to_prices(labels, examples)
    as_prices = {name: dataset.to_prices(each, examples) for name, each in predictions.items()}
    # A diverged network predicts infinite prices.
    with np.errstate(over="ignore", invalid="ignore"):
        scored = scores(labels, predictions, dataset.persistence(examples))
        shifts = _shifts(dataset, examples, as_prices)
        found = {}
        for name, predicted in predictions.items():
            errors = np.asarray(predicted, np.float64) - labels
            in_price = as_prices[name] - prices
            relative = in_price / bases[:, None]
            absolute, squared = float(np.mean(np.abs(relative))), float(np.mean(relative**2))
            found[name] = Accuracy(
                score=scored[name],
                mae=float(np.mean(np.abs(errors))),
                rmse_price=float(np.sqrt(np.mean(in_price**2))),
                mape=float(100 * np.mean(np.abs(in_price) / prices)),
                mase=absolute / scale.absolute if scale.absolute > 0 else math.nan,
                rmsse=math.sqrt(squared / scale.squared) if scale.squared > 0 else math.nan,
                direction=_direction(bases, prices, as_prices[name]),
                shift=shifts[name],
                losses=np.mean(errors**2, axis=1),
            )
        return found


def _direction(
    last: NDArray[np.floating], prices: NDArray[np.floating], predicted: NDArray[np.floating]
) -> Direction:
    rises, told = np.sign(prices[:, -1] - last), np.sign(predicted[:, -1] - last)
    signed = (rises != 0) & (np.abs(told) == 1)
    return wilson(int((rises == told)[signed].sum()), int(signed.sum()))


def wilson(hits: int, count: int) -> Direction:
    """A share of successes with Wilson's 95 % interval."""
    if count == 0:
        return Direction(0, 0, math.nan, (math.nan, math.nan))
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return Direction(hits, count, hits / count, (float(interval.low), float(interval.high)))


def _shifts(
    dataset: StockDataSet,
    examples: NDArray[np.integer],
    predictions: Mapping[str, NDArray[np.floating]],
) -> dict[str, Shift]:
    """The shift of each forecast, whose predictions (k, N) are prices."""
    prices, steps = series(dataset), label_steps(dataset, examples)
    # As far back as the first label has a past.
    most = min(MAX_SHIFT, int(label_starts(dataset, examples).min()))
    unit = {name: _unit(each.ravel()) for name, each in predictions.items()}
    found: dict[str, list[float]] = {name: [] for name in predictions}
    for k in range(most + 1):
        past = _unit(prices[steps - k])
        for name, each in unit.items():
            found[name].append(_product(each, past))
    gaps = np.diff(dataset.label_dates().ravel())
    daily = len(gaps) > 0 and bool(np.median(gaps.astype(np.int64)) == _DAY)
    undefined = [math.nan] * (MAX_SHIFT - most)
    return {name: _shift([*each, *undefined], daily) for name, each in found.items()}


def _shift(correlations: list[float], daily: bool) -> Shift:
    known = np.isfinite(correlations).any()
    best = int(np.nanargmax(correlations)) if known else None
    return Shift(tuple(correlations), best, daily)


def _product(one: NDArray[np.floating] | None, two: NDArray[np.floating] | None) -> float:
    # Rounding may lead beyond 1.
    return math.nan if one is None or two is None else float(np.clip(one @ two, -1, 1))


def _unit(values: NDArray[np.floating]) -> NDArray[np.floating] | None:
    """Values less their mean, of norm 1: products of two such are Pearson's correlation.

    None of fewer than three values, of infinite ones, and of those that are all equal.
    """
    if len(values) < 3 or not np.isfinite(values).all() or np.ptp(values) == 0:
        return None
    centred = values - values.mean()
    return centred / np.linalg.norm(centred)
