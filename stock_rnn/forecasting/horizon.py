"""The prices that follow the newest ones, with intervals from measured errors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stock_rnn.config import INTERVAL_STEP, NO_DROPOUT, Config
from stock_rnn.data import StockDataSet, StocksDataSet, dataset_of
from stock_rnn.data.stocks import UNSEEN_ROW
from stock_rnn.errors import UserError
from stock_rnn.forecasting.baselines import label_starts, series
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.forecasting.intervals import (
    DROPOUT_PASSES,
    Intervals,
    adapt,
    conformal_quantile,
    dropout_reach,
)
from stock_rnn.forecasting.metrics import Score, score
from stock_rnn.forecasting.pooling import pooled_score
from stock_rnn.forecasting.trading_days import TradingDays, next_trading_days
from stock_rnn.prices import Prices, Stocks
from stock_rnn.training import runs

FloatArray = NDArray[np.float64]

#: The most trading days that are predicted.
MAX_HORIZON = 1000

NOTICE = "not advice to buy or sell"

# Origins of which the errors are measured at once.
_BATCH = 4096


@dataclasses.dataclass(frozen=True)
class NextPrices:
    """The predicted prices of the next trading days.

    Attributes:
        run: the run's name.
        prices: the prices that are followed.
        last_price: the newest one.
        table: a row a price. Columns: date; kind, "open" or "close"; step, from 1; predicted, low,
            high, persistence: prices; measured: how many errors the interval comes from. low and
            high are nan where these are too few.
        coverage: of the intervals.
        intervals: one line on what the intervals come from.
        days: the calendar.
        score: of the model on its test examples, one window ahead; of several stocks on those of
            this one, or of all for a stock that is not among them.
        unseen: one line on a stock that is not among the several of the training; None if it is.
    """

    run: str
    prices: Prices
    last_price: float
    table: pd.DataFrame
    coverage: float
    intervals: str
    days: TradingDays
    score: Score
    unseen: str | None = None

    @property
    def verdict(self) -> str:
        """In words: whether the model beats guessing no change."""
        return self.score.verdict("test")

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON: null where a number is undefined."""
        rows = self.table.assign(date=self.table["date"].astype(str))
        skill, ends = self.score.skill, self.score.interval
        return {
            "run": self.run,
            "symbol": self.prices.symbol,
            "source": self.prices.source,
            "last_date": str(self.prices.dates[-1].astype("datetime64[D]")),
            "last_price": self.last_price,
            "calendar": self.days.calendar,
            "calendar_note": self.days.note,
            "coverage": self.coverage,
            "intervals": self.intervals,
            "skill": skill if math.isfinite(skill) else None,
            "skill_interval": list(ends) if np.isfinite(ends).all() else None,
            "verdict": self.verdict,
            **({"unseen": self.unseen} if self.unseen else {}),
            "notice": NOTICE,
            "predictions": [
                {name: None if value != value else value for name, value in row.items()}
                for row in rows.to_dict("records")
            ],
        }


def predict_next(
    forecaster: Forecaster,
    prices: Prices,
    *,
    horizon: int | None = None,
    coverage: float = 0.9,
    intervals: str = "conformal",
    step: float = INTERVAL_STEP,
    calendar: str | None = None,
) -> NextPrices:
    """Predict the prices of the next trading days.

    Beyond the first window the predictions are read in place of prices. The interval of a
    price h steps ahead is predicted · exp(±q_h), and never narrower than that of the step
    before. q_h is the ⌈(n + 1) · coverage⌉-th smallest of |log(actual / predicted)|, measured h
    steps ahead from each of the run's test examples, which had no part in the training. For
    errors that are exchangeable in time, such an interval covers with at least this
    probability (split-conformal prediction; Lei et al. 2018, section 2.2); markets only come
    near to that. Other kinds of intervals have other q_h, as `next_reach` says.

    Of a run of several stocks the test examples are those of the one that is predicted. For
    another stock the embedding's row for unseen stocks is read, and the errors are those that the
    model makes with this row on the test examples of all.

    Args:
        forecaster: as `load_run` gives it.
        prices: what is to be followed; the newest T·N + 1 are read.
        horizon: trading days, 1 to `MAX_HORIZON`; None: as many as the next N prices touch.
        coverage: in (0, 1).
        intervals: "conformal", "adaptive" or "dropout".
        step: γ of adaptive intervals.
        calendar: as `next_trading_days`.

    Raises:
        UserError: too few prices, an argument is out of range, the model predicts a price that
            is not positive, the run's own prices are damaged, or intervals by dropout are asked
            for of a run without it.
    """
    training = dataset_of(forecaster.config, runs.read_prices(forecaster.run))
    kind = Intervals(method=intervals, coverage=coverage, step=step)
    return _predict_next(forecaster, prices, training, horizon, kind, calendar)


def predict_stocks(
    forecaster: Forecaster,
    stocks: Stocks,
    *,
    horizon: int | None = None,
    coverage: float = 0.9,
    intervals: str = "conformal",
    step: float = INTERVAL_STEP,
    calendar: str | None = None,
) -> tuple[NextPrices, ...]:
    """Predict the next trading days of several stocks, each as `predict_next` does.

    Args:
        forecaster: of a run of several stocks.
        stocks: what is to be followed.
        horizon, coverage, intervals, step, calendar: as of `predict_next`.

    Raises:
        UserError: as `predict_next`.
    """
    training = dataset_of(forecaster.config, runs.read_prices(forecaster.run))
    kind = Intervals(method=intervals, coverage=coverage, step=step)
    return tuple(
        _predict_next(forecaster, prices, training, horizon, kind, calendar)
        for prices in stocks.prices
    )


def _predict_next(
    forecaster: Forecaster,
    prices: Prices,
    training: StockDataSet,
    horizon: int | None,
    kind: Intervals,
    calendar: str | None,
) -> NextPrices:
    """As `predict_next`, with the run's own data set."""
    config = forecaster.config
    forecaster = forecaster.of(prices.symbol)
    a_day = 2 if config.open_and_close else 1
    horizon = -(-config.input_size // a_day) if horizon is None else horizon
    if not 1 <= horizon <= MAX_HORIZON:
        raise UserError(f"--horizon must be 1 to {MAX_HORIZON} days. Received: {horizon}")
    if kind.method == "dropout" and not config.has_dropout:
        raise UserError(f"{forecaster.run.folder} {NO_DROPOUT}")
    needed = config.num_steps * config.input_size + config.normalized
    if len(prices) * a_day < needed:
        raise UserError(
            f"{prices.symbol}: {len(prices) * a_day} prices are too few: the model reads "
            f"{needed}; take a longer --period"
        )
    days = next_trading_days(prices, horizon, calendar)
    steps = horizon * a_day
    inputs, last = forecaster.newest_windows(prices)
    predicted = predict_ahead(forecaster, inputs, np.array([last]), steps)[0]
    if not (np.isfinite(predicted).all() and (predicted > 0).all()):
        raise UserError(
            f"{forecaster.run.folder} predicts a price that is not positive and finite, at step "
            f"{int(np.argmin(np.isfinite(predicted) & (predicted > 0))) + 1}: take a shorter "
            "--horizon, or train again"
        )
    measured = _measured(training, prices.symbol)
    if kind.method == "adaptive" and len(measured) > 1:
        raise UserError(
            f"--intervals adaptive needs test errors of {prices.symbol} itself, in the order of "
            "time: take conformal"
        )
    errors = np.concatenate(
        [errors_ahead(forecaster, each, each.test, steps) for each in measured if len(each.test)]
    )
    reach, counts = next_reach(forecaster, inputs, last, errors, kind)
    table = pd.DataFrame(
        {
            "date": np.repeat(days.days, a_day),
            "kind": np.tile(["open", "close"][-a_day:], horizon),
            "step": np.arange(1, steps + 1),
            "predicted": predicted,
            "low": predicted * np.exp(-reach),
            "high": predicted * np.exp(reach),
            "persistence": last,
            "measured": counts,
        }
    )
    return NextPrices(
        run=forecaster.run.name,
        prices=prices,
        last_price=last,
        table=table,
        coverage=kind.coverage,
        intervals=_describe_intervals(config, measured, training, prices, kind, reach),
        days=days,
        score=_test_score(forecaster, measured),
        unseen=forecaster.describe_unseen(prices.symbol),
    )


def _measured(training: StockDataSet, symbol: str) -> tuple[StockDataSet, ...]:
    """The data sets on whose test examples the errors of a stock's predictions are measured."""
    if not isinstance(training, StocksDataSet):
        return (training,)
    row = training.row(symbol)
    known = training.stocks[row - 1 : row] if row != UNSEEN_ROW else ()
    # A stock that ended before the test began has no errors of its own.
    return known if any(len(stock.test) for stock in known) else training.stocks


def predict_ahead(
    forecaster: Forecaster,
    inputs: FloatArray,
    last: FloatArray,
    steps: int,
    *,
    dropout: bool = False,
) -> FloatArray:
    """Predict several windows ahead, each from the predictions before it.

    Args:
        forecaster: the model.
        inputs: (k, T, N), in the units that the network reads.
        last: (k,), the newest price of each.
        steps: prices to predict.
        dropout: whether it is on, as `Forecaster.predict_windows`.

    Returns:
        (k, steps) prices.
    """
    found: list[FloatArray] = []
    for _ in range(-(-steps // forecaster.config.input_size)):
        predicted = forecaster.predict_windows(inputs, dropout=dropout)
        # A network may diverge when it reads its own predictions.
        with np.errstate(over="ignore", invalid="ignore"):
            normalized = forecaster.config.normalized
            found.append((predicted + 1.0) * last[:, None] if normalized else predicted)
        last = found[-1][:, -1]
        # A normalized window is relative to the window before it, as the network predicts it.
        inputs = np.concatenate([inputs[:, 1:], predicted[:, None]], axis=1)
    return np.concatenate(found, axis=1)[:, :steps]


def errors_ahead(
    forecaster: Forecaster, dataset: StockDataSet, examples: NDArray[np.integer], steps: int
) -> FloatArray:
    """The errors at each step ahead, measured from each of some examples on.

    Returns:
        (k, steps), |log(actual / predicted)| of prices: nan where the data set has ended, inf
        where the prediction is not a positive price.
    """
    parts = []
    for start in range(0, len(examples), _BATCH):
        part = examples[start : start + _BATCH]
        inputs = np.asarray(dataset.inputs(part), np.float64)
        last = np.asarray(dataset.label_bases(part), np.float64)
        parts.append(predict_ahead(forecaster, inputs, last, steps))
    predicted = np.concatenate(parts)
    at = label_starts(dataset, examples)[:, None] + np.arange(steps)
    prices = series(dataset)
    actual = np.where(at < len(prices), prices[np.minimum(at, len(prices) - 1)], np.nan)
    possible = np.isfinite(predicted) & (predicted > 0)
    errors = np.abs(np.log(actual / np.where(possible, predicted, 1.0)))
    return np.where(possible | np.isnan(actual), errors, np.inf)


def interval_reach(errors: FloatArray, coverage: float) -> tuple[FloatArray, NDArray[np.int64]]:
    """How far intervals reach at each step: q_h of `predict_next`.

    Args:
        errors: (k, steps), not negative, nan where not measured.
        coverage: in (0, 1).

    Returns:
        (steps,), ascending; nan from the first step on that has too few errors.
        (steps,), how many errors each step has.
    """
    known = [column[~np.isnan(column)] for column in errors.T]
    reach = [conformal_quantile(np.sort(column), coverage) for column in known]
    return _ascending(reach), _counts(errors)


def next_reach(
    forecaster: Forecaster, inputs: FloatArray, last: float, errors: FloatArray, kind: Intervals
) -> tuple[FloatArray, NDArray[np.int64]]:
    """How far the intervals of the next prices reach, for any kind of intervals.

    - conformal: `interval_reach`.
    - adaptive: what `intervals.adapt` has for the price after the test examples. The older half
      of each step's errors calibrates, and α adapts on the newer half.
    - dropout: z √(s² + σ²) as `intervals.dropout_reach`, of log prices: s² is the variance of
      `DROPOUT_PASSES` predictions with dropout on, each led on by itself, σ² the mean squared
      error of the step.

    Args:
        forecaster: the model.
        inputs, last: as `Forecaster.newest_windows`.
        errors: (k, steps), of `errors_ahead`.
        kind: of the intervals.

    Returns:
        As `interval_reach`.
    """
    if kind.method == "conformal":
        return interval_reach(errors, kind.coverage)
    known = [column[~np.isnan(column)][:, None] for column in errors.T]
    if kind.method == "adaptive":
        found = [
            float(adapt(each, kind.coverage, len(each) // 2, step=kind.step)[1][0])
            for each in known
        ]
        return _ascending(found), _counts(errors)
    forecaster.begin_masks()
    many = np.repeat(inputs, DROPOUT_PASSES, axis=0)
    bases = np.full(DROPOUT_PASSES, last)
    paths = predict_ahead(forecaster, many, bases, errors.shape[1], dropout=True)
    # A path that leaves the prices has no logarithm, and its step no interval.
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.std(np.log(paths), axis=0, ddof=1)
    found = [
        float(dropout_reach(np.vstack([each, [[0.0]]]), [[s]], kind.coverage, [len(each)])[0, 0])
        for each, s in zip(known, spread, strict=True)
    ]
    return _ascending(found), _counts(errors)


def _ascending(reach: Sequence[float]) -> FloatArray:
    """(steps,): never less than at the step before; nan from the first that is not finite on."""
    found = np.array(reach, np.float64)
    # Too few at a step are too few at all later ones: nan stays.
    return np.maximum.accumulate(np.where(np.isfinite(found), found, np.nan))


def _counts(errors: FloatArray) -> NDArray[np.int64]:
    return (~np.isnan(errors)).sum(axis=0)


def _describe_intervals(
    config: Config,
    measured: tuple[StockDataSet, ...],
    training: StockDataSet,
    prices: Prices,
    kind: Intervals,
    reach: FloatArray,
) -> str:
    count = f"{sum(len(each.test) for each in measured):,} test examples"
    if np.isnan(reach).all():
        return f"no intervals: {count} are too few for {100 * kind.coverage:g} %"
    symbol = training.symbol if len(measured) > 1 else measured[0].symbol
    other = "" if symbol == prices.symbol else f" of {symbol}, not {prices.symbol}"
    ended = int(np.isnan(reach).sum())
    without = f"; too few for the last {ended}" if ended else ""
    # Of a random split, what follows a test example may have been trained on.
    random = "; of a random split, so those of later steps may be too narrow"
    origin = {
        "conformal": "intervals from the errors",
        "adaptive": f"adaptive intervals (step {kind.step:g}) from the errors",
        "dropout": f"intervals from {DROPOUT_PASSES} passes with dropout on and from the errors",
    }[kind.method]
    return (
        f"{origin} on the {count} of the training's prices{other}, measured at "
        f"each step ahead{without}{random if config.split == 'random' else ''}"
    )


def _test_score(forecaster: Forecaster, measured: tuple[StockDataSet, ...]) -> Score:
    if len(measured) == 1:
        (dataset,) = measured
        predicted = forecaster.predict_examples(dataset, dataset.test)
        return score(dataset.labels(dataset.test), predicted, dataset.persistence(dataset.test))
    losses, reference, days = [], [], []
    for dataset in measured:
        if len(dataset.test):
            labels = dataset.labels(dataset.test)
            predicted = forecaster.predict_examples(dataset, dataset.test)
            losses.append(np.mean((predicted - labels) ** 2, axis=1))
            reference.append(np.mean((dataset.persistence(dataset.test) - labels) ** 2, axis=1))
            days.append(dataset.label_dates(dataset.test)[:, -1].astype("datetime64[D]"))
    return pooled_score(*map(np.concatenate, (losses, reference, days)))
