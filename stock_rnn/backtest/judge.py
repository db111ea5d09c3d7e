"""From the forecasts of all fits to tables, intervals and one sentence."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stock_rnn.backtest.fit import Fitted, all_examples
from stock_rnn.backtest.plan import Fit, Walk
from stock_rnn.config import Config
from stock_rnn.data import StockDataSet
from stock_rnn.forecasting.accuracy import Scale
from stock_rnn.forecasting.comparison import MODEL, Comparison, compare
from stock_rnn.forecasting.interval_evaluation import relative_errors
from stock_rnn.forecasting.intervals import Intervals, IntervalScore, score_intervals
from stock_rnn.prices import Prices

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PERSISTENCE = "persistence"

#: What the tables say of intervals: fields of `IntervalScore`.
INTERVAL_COLUMNS = ("coverage", "width", "winkler", "unbounded")


@dataclasses.dataclass(frozen=True)
class Judged:
    """The result of a backtest, without its files.

    Attributes:
        comparison: the model beside the baselines over all folds.
        intervals: forecast -> the score of its intervals, widths in per cent of the last known
            price; with "dropout" the model's alone, for a baseline has no dropout.
        folds: a row a fold and forecast. Columns: fold, from 1; first, last: dates; examples;
            fit, the number of the fit that forecasts it; start, what that fit started from, as
            `start_of` says; trained_on: examples; epochs; best_epoch; forecast; mse,
            mae, persistence_mse in the labels' units; skill; coverage, width, winkler, unbounded.
        forecasts: a row a price. Columns: date; kind, "open" or "close"; fold; actual,
            model, low, high, the model's interval, and each baseline, as prices.
        relative_losses: forecast -> (k,), squared errors of persistence minus those of the
            forecast, in the labels' units, an example each.
        dates: (k,), of the last price of each example.
    """

    comparison: Comparison
    intervals: dict[str, IntervalScore]
    folds: pd.DataFrame
    forecasts: pd.DataFrame
    relative_losses: dict[str, FloatArray]
    dates: NDArray[np.datetime64]

    @property
    def folds_better(self) -> tuple[int, int]:
        """In how many folds the model's MSE is below persistence's, and how many there are."""
        rows = self.folds[self.folds["forecast"] == MODEL]
        return int((rows["mse"] < rows["persistence_mse"]).sum()), len(rows)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, in words: against the best baseline, fold by fold, shift, intervals."""
        better, count = self.folds_better
        return (
            self.comparison.sentence,
            f"lower MSE than persistence in {better} of {count} folds",
            self.comparison.shift,
            f"the model's {self.intervals[MODEL].in_words}",
        )


def judge(
    config: Config,
    walk: Walk,
    intervals: Intervals,
    prices: Prices,
    fits: Sequence[Fit],
    fitted: Sequence[Fitted],
) -> Judged:
    """Judge the forecasts of all fits on the examples of the folds.

    The errors of fit 0 and those of the folds before are what the intervals of a fold come from.

    Args:
        config, walk, intervals: what was asked for.
        prices: of the whole backtest.
        fits: as `plan_fits`.
        fitted: one for each.
    """
    dataset = all_examples(config, prices)
    starts = [start for fit in fits[1:] for start in fit.starts]
    begin = fits[0].end
    every = np.arange(begin, fits[-1].stop)
    judged = every[starts[0] - begin :]
    forecasts = {
        name: np.concatenate([each.forecasts[name] for each in fitted])
        for name in fitted[0].forecasts
    }
    spread = np.concatenate([each.spread for each in fitted[1:]])
    relative = {name: relative_errors(dataset, every, each) for name, each in forecasts.items()}
    bases = dataset.label_bases(judged)[:, None]
    noise = spread if dataset.normalized or not len(spread) else spread / bases
    blocks = [start - begin for start in starts]
    banded = [MODEL] if intervals.method == "dropout" else list(forecasts)
    reach = {name: intervals.reach(relative[name], blocks, noise) for name in banded}
    after = slice(starts[0] - begin, None)
    forecasts = {name: values[after] for name, values in forecasts.items()}
    relative = {name: 100 * values[after] for name, values in relative.items()}
    percent = {name: 100 * values for name, values in reach.items()}
    name = f"{walk.folds} folds"
    comparison = compare(name, dataset, judged, forecasts, Scale(*fitted[1].scale))
    losses = {which: each.losses for which, each in comparison.accuracies.items()}
    numbers = _fold_numbers(starts, fits[-1].stop)
    return Judged(
        comparison=comparison,
        intervals={
            which: score_intervals(relative[which], percent[which], intervals.coverage)
            for which in banded
        },
        folds=_fold_rows(dataset, walk, intervals, fits, fitted, forecasts, relative, percent),
        forecasts=_forecast_table(dataset, judged, numbers, forecasts, reach[MODEL]),
        relative_losses={
            which: losses[PERSISTENCE] - each
            for which, each in losses.items()
            if which != PERSISTENCE
        },
        dates=dataset.label_dates(judged)[:, -1],
    )


def _fold_numbers(starts: Sequence[int], stop: int) -> IntArray:
    """(k,): the fold of each judged example, from 1."""
    lengths = np.diff([*starts, stop])
    return np.repeat(np.arange(1, len(starts) + 1), lengths)


def start_of(walk: Walk, fit: Fit, fold: int) -> str:
    """What the network of a fold started from.

    "anew": the initial weights of the seed; "warm": the weights of the fit before; "kept": it was
    not trained for this fold, but for an earlier one.

    Args:
        walk: of the backtest.
        fit: that forecasts the fold.
        fold: where it begins.
    """
    if fold != fit.starts[0]:
        return "kept"
    return "warm" if walk.warm_start else "anew"


def _fold_rows(
    dataset: StockDataSet,
    walk: Walk,
    intervals: Intervals,
    fits: Sequence[Fit],
    fitted: Sequence[Fitted],
    forecasts: dict[str, FloatArray],
    relative: dict[str, FloatArray],
    reach: dict[str, FloatArray],
) -> pd.DataFrame:
    """The rows of `Judged.folds`; arrays begin at the first fold, `reach` is in per cent."""
    begin, rows = fits[1].end, []
    bounds = [start for fit in fits[1:] for start in fit.starts] + [fits[-1].stop]
    fit_of = {start: fit for fit in fits[1:] for start in fit.starts}
    for number, (start, stop) in enumerate(itertools.pairwise(bounds), 1):
        fit, examples = fit_of[start], np.arange(start, stop)
        part = slice(start - begin, stop - begin)
        labels, days = dataset.labels(examples), dataset.label_dates(examples)
        reference = float(np.mean((dataset.persistence(examples) - labels) ** 2))
        about = {
            "fold": number,
            "first": days[0, 0].astype("datetime64[D]"),
            "last": days[-1, -1].astype("datetime64[D]"),
            "examples": stop - start,
            "fit": fit.number,
            "start": start_of(walk, fit, start),
            "trained_on": fit.end - fit.first,
            "epochs": fitted[fit.number].epochs,
            "best_epoch": fitted[fit.number].best_epoch,
        }
        for name, values in forecasts.items():
            errors = values[part] - labels
            mse = float(np.mean(errors**2))
            row = {
                "forecast": name,
                "mse": mse,
                "mae": float(np.mean(np.abs(errors))),
                "persistence_mse": reference,
                "skill": 1.0 - mse / reference if reference > 0 else math.nan,
            }
            if name in reach:
                found = score_intervals(relative[name][part], reach[name][part], intervals.coverage)
                row |= {
                    key: getattr(found, key)
                    for key in ("coverage", "width", "winkler", "unbounded")
                }
            rows.append(about | row)
    return pd.DataFrame(rows).astype({"unbounded": "Int64"})


def _forecast_table(
    dataset: StockDataSet,
    examples: IntArray,
    folds: IntArray,
    forecasts: dict[str, FloatArray],
    reach: FloatArray,
) -> pd.DataFrame:
    prices = {name: dataset.to_prices(values, examples) for name, values in forecasts.items()}
    wide = reach * dataset.label_bases(examples)[:, None]
    columns: dict[str, NDArray[Any]] = {
        "date": dataset.label_dates(examples),
        "kind": dataset.label_kinds(examples),
        "fold": np.repeat(folds[:, None], dataset.input_size, axis=1),
        "actual": dataset.to_prices(dataset.labels(examples), examples),
        MODEL: prices.pop(MODEL),
        "low": np.empty(0),
        "high": np.empty(0),
        **prices,
    }
    columns |= {"low": columns[MODEL] - wide, "high": columns[MODEL] + wide}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})
