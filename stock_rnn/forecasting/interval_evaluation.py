"""Intervals around a run's forecasts of its own test examples, and how good they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stock_rnn.config import NO_DROPOUT
from stock_rnn.data import StockDataSet, dataset_of
from stock_rnn.errors import UserError
from stock_rnn.forecasting.baselines import fit_baselines
from stock_rnn.forecasting.comparison import MODEL
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.forecasting.intervals import (
    DROPOUT_PASSES,
    Intervals,
    IntervalScore,
    score_intervals,
)
from stock_rnn.training import runs

FloatArray = NDArray[np.float64]


def relative_errors(
    dataset: StockDataSet, examples: NDArray[np.integer], forecast: NDArray[np.floating]
) -> FloatArray:
    """(k, N): |forecast - actual| as prices, over the last known price.

    Args:
        dataset: what was forecast.
        examples: (k,).
        forecast: (k, N), in the units of the labels.
    """
    forecast, actual = (
        dataset.to_prices(values, examples) for values in (forecast, dataset.labels(examples))
    )
    errors = np.abs(forecast - actual) / dataset.label_bases(examples)[:, None]
    return np.asarray(errors, np.float64)


def evaluate_intervals(forecaster: Forecaster, kind: Intervals) -> dict[str, IntervalScore]:
    """Judge intervals on the newer half of a run's test examples.

    Errors are relative to the last known price. Those on the older half calibrate; each example
    of the newer half has the interval that comes from the errors before it.

    Args:
        forecaster: as `load_run` gives it.
        kind: of the intervals.

    Returns:
        `MODEL` and each baseline -> the score, widths in per cent of the last known price; with
        the method "dropout" the model alone, for a baseline has no dropout.

    Raises:
        UserError: intervals by dropout are asked for of a run without it, there are fewer than
            two test examples, the run is of several stocks, a forecast is not finite, or the
            run's prices are damaged.
    """
    folder = forecaster.run.folder
    if kind.method == "dropout" and not forecaster.config.has_dropout:
        raise UserError(f"{folder} {NO_DROPOUT}")
    if forecaster.config.several:
        raise UserError(f"{folder} is of several stocks: --intervals judges those of one")
    dataset = dataset_of(forecaster.config, runs.read_prices(forecaster.run))
    examples, first = dataset.test, len(dataset.test) // 2
    if not first:
        raise UserError(f"{folder} has one test example: --intervals needs two or more")
    forecasts = {MODEL: forecaster.predict_examples(dataset, examples)}
    spread = None
    if kind.method == "dropout":
        spread = _spread(forecaster, dataset, examples[first:])
    else:
        for name, baseline in fit_baselines(dataset).items():
            forecasts[name] = baseline.predict_examples(dataset, examples)
    if not np.isfinite(forecasts[MODEL]).all():
        raise UserError(f"{folder} forecasts what is not finite: there are no intervals")
    scores = {}
    for name, forecast in forecasts.items():
        errors = 100.0 * relative_errors(dataset, examples, forecast)
        reach = kind.reach(errors, range(first, len(examples)), spread)
        scores[name] = score_intervals(errors[first:], reach, kind.coverage)
    return scores


def _spread(
    forecaster: Forecaster, dataset: StockDataSet, examples: NDArray[np.integer]
) -> FloatArray:
    """(k, N): standard deviation of forecasts with dropout on, % of the last known price."""
    forecaster.begin_masks()
    inputs = np.asarray(dataset.inputs(examples))
    passes = [forecaster.predict_windows(inputs, dropout=True) for _ in range(DROPOUT_PASSES)]
    found = np.std(passes, axis=0, ddof=1)
    return 100.0 * (found if dataset.normalized else found / dataset.label_bases(examples)[:, None])
