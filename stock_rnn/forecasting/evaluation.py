"""Evaluating a saved model: losses beside persistence, predictions, pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn.config import SECOND_ORDER
from stock_rnn.data import StockDataSet, StocksDataSet, dataset_of
from stock_rnn.errors import writing_to
from stock_rnn.files import atomic_write, write_json
from stock_rnn.forecasting.accuracy import Scale
from stock_rnn.forecasting.baselines import Predictor, fit_baselines
from stock_rnn.forecasting.comparison import MODEL, Comparison, compare
from stock_rnn.forecasting.figures import predictions_figure
from stock_rnn.forecasting.forecaster import WRITE_ELSEWHERE, Forecaster
from stock_rnn.forecasting.metrics import PriceError, Score, price_error, score
from stock_rnn.forecasting.pooling import pool, pooled_score
from stock_rnn.forecasting.report import write_report
from stock_rnn.prices import Prices, Stocks
from stock_rnn.training import runs

#: The sets of examples of other prices that overlap with the training.
UNTIL_END, AFTER_END = "until training's end", "after training's end"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a model on a series of prices.

    Attributes:
        scores: name of a set of examples -> its score: "train", "validation" if the run has
            such examples, and "test" of the run's own prices; of others "all", or
            `UNTIL_END` and `AFTER_END`, as far as they have examples, where they overlap
            with the training.
        price_errors: name of a set -> the errors of its predictions as prices.
        predictions: a row a predicted price of the test set, or of all of other prices.
            Columns: date; kind, "open" or "close"; predicted, actual, persistence in the
            model's units; the same three as prices, with `_price` at the end of the name. Of
            several stocks also symbol.
        files: the files written.
        overlap: one line on prices that lie in the span of the training; None if none do.
        dropout: one line on the training loss with dropout off and on, and on that of the
            epoch; None if the training had no dropout, or the prices are not the run's own.
        comparison: the model beside the baselines on the last set of `scores`; of several stocks
            a `PooledComparison`. None if there is no training to fit the baselines on.
        unseen: one line on a stock that is not among those of the training; None if it is.
    """

    scores: dict[str, Score]
    price_errors: dict[str, PriceError]
    predictions: pd.DataFrame
    files: tuple[Path, ...]
    overlap: str | None = None
    dropout: str | None = None
    comparison: Comparison | None = None
    unseen: str | None = None

    @property
    def verdict(self) -> str:
        """In words: whether the model beats guessing no change on what it has not seen."""
        name, last = list(self.scores.items())[-1]
        if name == UNTIL_END:
            return "no verdict: nothing here lies after the training's end"
        return last.verdict(name)

    @property
    def baseline_verdict(self) -> str | None:
        """In words: whether the model beats the best baseline at 5 %.

        None if nothing lies after the training's end, or nothing was compared.
        """
        if self.comparison is None or self.comparison.name == UNTIL_END:
            return None
        return self.comparison.sentence


@dataclasses.dataclass(frozen=True)
class _Evaluated:
    """An evaluation, and what its page needs beside it."""

    result: Evaluation
    folder: Path
    prices: Prices | Stocks
    dataset: StockDataSet
    drawn: dict[str, Figure]


def evaluate(
    forecaster: Forecaster,
    prices: Prices | None = None,
    *,
    report: bool = True,
    command: str | None = None,
) -> Evaluation:
    """Score a run's model, and write the result into the run's folder.

    On the run's own prices its training, validation and test sets are scored. On others all
    examples are, and the files go into `evaluations/` of the folder, one folder a series. Where
    these overlap in time with what the run was trained on, the examples after the training's end
    are scored apart from the rest: also other symbols move with what the model has seen.

    Of several stocks the sets are those of all, with intervals of days, and the test set of each
    stands beside. On another stock the embedding's row for unseen stocks is read.

    Beside the model stand baselines that are fitted on the training examples alone.

    Args:
        forecaster: as `load_run` gives it.
        prices: other prices than the run's own.
        report: whether to write `report.html`, all of it on one page.
        command: what was typed, for the page.

    Raises:
        UserError: too few prices, the run's own are damaged, or the folder cannot be
            written.
    """
    done = _on_own_prices(forecaster) if prices is None else _on_others(forecaster, prices)
    if not report:
        return done.result
    path = done.folder / "report.html"
    with writing_to(done.folder, WRITE_ELSEWHERE):
        write_report(
            path, forecaster, done.prices, done.dataset, done.result, done.drawn, command=command
        )
    return dataclasses.replace(done.result, files=(*done.result.files, path))


def _on_own_prices(forecaster: Forecaster) -> _Evaluated:
    prices = runs.read_prices(forecaster.run)
    if isinstance(prices, Stocks):
        return _on_own_stocks(forecaster, prices)
    dataset = dataset_of(forecaster.config, prices)
    sets = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    sets = {name: examples for name, examples in sets.items() if len(examples)}
    folder = forecaster.run.folder
    done = _evaluate(forecaster, dataset, prices, sets, dataset.test, folder, trained_on=dataset)
    line = _dropout(forecaster, dataset, done.result.scores["train"].mse)
    return dataclasses.replace(done, result=dataclasses.replace(done.result, dropout=line))


def _dropout(forecaster: Forecaster, dataset: StockDataSet, mse: float) -> str | None:
    """The training loss with dropout off and on, and that of the epoch, as one line."""
    if forecaster.config.keep_prob == 1 or forecaster.config.optimizer in SECOND_ORDER:
        return None
    predicted = forecaster.predict_examples(dataset, dataset.train, dropout=True)
    loss = float(np.mean((predicted - dataset.labels(dataset.train)) ** 2))
    line = f"train MSE of the saved weights: {mse:.2e} with dropout off, {loss:.2e} with it on"
    summary = runs.summarize(forecaster.run)
    epoch = summary.last if forecaster.which == "last" else summary.best
    # Not a number where the history is damaged or missing.
    told = f"; the epoch's {epoch.train:.2e} is a mean over its steps"
    return line + told if np.isfinite(epoch.train) else line


def _on_others(forecaster: Forecaster, prices: Prices) -> _Evaluated:
    dataset = dataset_of(forecaster.config, prices)
    trained_on = runs.read_prices(forecaster.run)
    if isinstance(trained_on, Stocks):
        return _on_another_stock(forecaster.of(prices.symbol), prices, trained_on)
    training = dataset_of(forecaster.config, trained_on)
    first, last = _training_span(training)
    everything = np.arange(len(dataset), dtype=np.int32)
    sets, overlap = {"all": everything}, None
    if (within := (prices.dates >= first) & (prices.dates <= last)).any():
        after = (dataset.label_dates() > last).all(axis=1)
        sets = {UNTIL_END: everything[~after], AFTER_END: everything[after]}
        sets = {name: examples for name, examples in sets.items() if len(examples)}
        overlap = (
            f"overlap: {int(within.sum()):,} of {len(prices):,} prices lie in the training's "
            f"span, {_day(first)} to {_day(last)}; {_shared(prices, trained_on, within):,} of "
            "them are the prices that it was trained on"
        )
    folder = forecaster.run.evaluations / runs.series_name(prices)
    done = _evaluate(forecaster, dataset, prices, sets, everything, folder, trained_on=training)
    return dataclasses.replace(done, result=dataclasses.replace(done.result, overlap=overlap))


def _on_own_stocks(forecaster: Forecaster, stocks: Stocks) -> _Evaluated:
    """Score the sets of all stocks together, and the test set of each."""
    dataset = dataset_of(forecaster.config, stocks)
    sets = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    sets = {name: examples for name, examples in sets.items() if len(examples)}
    scores, errors = {}, {}
    for name, examples in sets.items():
        predicted = forecaster.predict_examples(dataset, examples)
        scores[name] = _pooled_score(dataset, examples, predicted)
        actual = dataset.to_prices(dataset.labels(examples), examples)
        error = price_error(actual, dataset.to_prices(predicted, examples))
        # Stocks have other prices: only the relative error has a meaning for all.
        errors[name] = dataclasses.replace(error, rmse=math.nan)
    tested = [stock for stock in dataset.stocks if len(stock.test)]
    compared, tables, days = {}, {}, {}
    for stock in tested:
        predicted = forecaster.of(stock.symbol).predict_examples(stock, stock.test)
        baselines = fit_baselines(stock)
        compared[stock.symbol] = _compare("test", stock, stock.test, predicted, baselines, stock)
        tables[stock.symbol] = _prediction_table(stock, stock.test, predicted)
        days[stock.symbol] = _days(stock, stock.test)
    shown = dataset.shown.symbol
    table = pd.concat(tables, names=["symbol"]).reset_index("symbol")
    result = Evaluation(
        scores,
        errors,
        table,
        (),
        dropout=_dropout(forecaster, dataset, scores["train"].mse),
        comparison=pool(compared, days),
    )
    folder = forecaster.folder_in(forecaster.run.folder)
    with writing_to(folder, WRITE_ELSEWHERE):
        files, drawn = _write(folder, forecaster, dataset, stocks, result, shown=shown)
    result = dataclasses.replace(result, files=files)
    return _Evaluated(result, folder, stocks, dataset, drawn)


def _pooled_score(
    dataset: StocksDataSet, examples: NDArray[np.integer], predicted: NDArray[np.floating]
) -> Score:
    losses = [
        np.mean((values - dataset.labels(examples)) ** 2, axis=1)
        for values in (predicted, dataset.persistence(examples))
    ]
    return pooled_score(losses[0], losses[1], _days(dataset, examples))


def _days(dataset: StockDataSet, examples: NDArray[np.integer]) -> NDArray[np.datetime64]:
    """(k,): the days on which the labels end."""
    return dataset.label_dates(examples)[:, -1].astype("datetime64[D]")


def _on_another_stock(forecaster: Forecaster, prices: Prices, trained_on: Stocks) -> _Evaluated:
    """Score a model of several stocks on one; baselines are fitted on this one's own training."""
    training = dataset_of(forecaster.config, trained_on)
    stock = training.cut(prices)
    everything = np.arange(len(stock), dtype=np.int32)
    sets: dict[str, NDArray[np.integer]] = {"all": everything}
    overlap = None
    oldest = [each.input_dates(each.train[:1]).min() for each in training.stocks]
    first, end = min(oldest), training.cutoff
    if (within := (prices.dates >= first) & (prices.dates < end)).any():
        sets = {UNTIL_END: np.setdiff1d(everything, stock.test), AFTER_END: stock.test}
        sets = {name: examples for name, examples in sets.items() if len(examples)}
        overlap = (
            f"overlap: {int(within.sum()):,} of {len(prices):,} prices lie in the training's "
            f"span, {_day(first)} to the day before {end}"
        )
        if prices.symbol in trained_on.symbols:
            shared = _shared(prices, trained_on[prices.symbol], within)
            overlap += f"; {shared:,} of them are the prices that it was trained on"
    folder = forecaster.run.evaluations / runs.series_name(prices)
    fitted = stock if len(stock.train) else None
    done = _evaluate(forecaster, stock, prices, sets, everything, folder, trained_on=fitted)
    unseen = forecaster.describe_unseen(prices.symbol)
    result = dataclasses.replace(done.result, overlap=overlap, unseen=unseen)
    return dataclasses.replace(done, result=result)


def _training_span(dataset: StockDataSet) -> tuple[np.datetime64, np.datetime64]:
    """The oldest and the newest date that the training read or predicted.

    Validation belongs to it: by it the best epoch is chosen, and the training may stop.
    """
    newest = np.concatenate([dataset.train, dataset.validation])[-1:]
    return dataset.input_dates(dataset.train[:1]).min(), dataset.label_dates(newest).max()


def _shared(prices: Prices, trained_on: Prices, within: NDArray[np.bool_]) -> int:
    """How many of the prices `within` the training's span are the training's own."""
    _, ours, theirs = np.intersect1d(prices.dates, trained_on.dates, return_indices=True)
    # Sources round differently.
    same = np.isclose(prices.close[ours], trained_on.close[theirs], rtol=1e-4, atol=0.0)
    return int((same & within[ours]).sum())


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]"))


def _evaluate(
    forecaster: Forecaster,
    dataset: StockDataSet,
    prices: Prices,
    sets: Mapping[str, NDArray[np.integer]],
    shown: NDArray[np.integer],
    folder: Path,
    *,
    trained_on: StockDataSet | None,
) -> _Evaluated:
    """Score each set; write and draw the predictions of the examples `shown`."""
    predicted = {
        name: forecaster.predict_examples(dataset, examples) for name, examples in sets.items()
    }
    scores = {
        name: score(dataset.labels(examples), predicted[name], dataset.persistence(examples))
        for name, examples in sets.items()
    }
    errors = {
        name: price_error(
            dataset.to_prices(dataset.labels(examples), examples),
            dataset.to_prices(predicted[name], examples),
        )
        for name, examples in sets.items()
    }
    # Those of one set, or of several in turn.
    newest = np.concatenate(list(predicted.values()))[-len(shown) :]
    table = _prediction_table(dataset, shown, newest)
    last = list(sets)[-1]
    compared = None
    if trained_on is not None:
        baselines = fit_baselines(trained_on)
        compared = _compare(last, dataset, sets[last], predicted[last], baselines, trained_on)
    result = Evaluation(scores, errors, table, (), comparison=compared)
    folder = forecaster.folder_in(folder)
    with writing_to(folder, WRITE_ELSEWHERE):
        files, drawn = _write(folder, forecaster, dataset, prices, result)
    result = dataclasses.replace(result, files=files)
    return _Evaluated(result, folder, prices, dataset, drawn)


def _compare(
    name: str,
    dataset: StockDataSet,
    examples: NDArray[np.integer],
    predicted: NDArray[np.floating],
    baselines: Mapping[str, Predictor],
    trained_on: StockDataSet,
) -> Comparison:
    """Compare a model's predictions with those of baselines on one set of examples."""
    others = {which: each.predict_examples(dataset, examples) for which, each in baselines.items()}
    scale = Scale.of_training(trained_on)
    return compare(name, dataset, examples, {MODEL: predicted, **others}, scale)


def _prediction_table(
    dataset: StockDataSet, examples: NDArray[np.integer], predicted: NDArray[np.floating]
) -> pd.DataFrame:
    columns: dict[str, NDArray[Any]] = {
        "date": dataset.label_dates(examples).ravel(),
        "kind": dataset.label_kinds(examples).ravel(),
    }
    values = {
        "predicted": predicted,
        "actual": dataset.labels(examples),
        "persistence": dataset.persistence(examples),
    }
    columns |= {name: value.ravel() for name, value in values.items()}
    columns |= {
        f"{name}_price": dataset.to_prices(value, examples).ravel()
        for name, value in values.items()
    }
    return pd.DataFrame(columns)


def _write(
    folder: Path,
    forecaster: Forecaster,
    dataset: StockDataSet,
    prices: Prices | Stocks,
    result: Evaluation,
    *,
    shown: str | None = None,
) -> tuple[tuple[Path, ...], dict[str, Figure]]:
    """Write all files but the page: their paths, and the pictures by file name.

    Args:
        shown: of several stocks that of the pictures.
    """
    table = result.predictions
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(
        folder / name
        for name in (
            "final_predictions.json",
            "final_predictions.csv",
            "predictions_normalized.png" if dataset.normalized else "predictions.png",
            "predictions_price.png",
            *(("comparison.json", "comparison.csv") if result.comparison else ()),
        )
    )
    content = {
        "run": forecaster.run.name,
        "model": forecaster.which,
        "epochs": forecaster.config.max_epoch,
        "prices": runs.describe_data(prices),
        "scores": {
            name: {**_json_score(value), **_json_error(result.price_errors[name])}
            for name, value in result.scores.items()
        },
        "predictions": {
            "date": [str(date) for date in table["date"].to_numpy().astype("datetime64[s]")],
            **{name: table[name].tolist() for name in table.columns if name != "date"},
        },
    }
    write_json(files[0], content)
    with atomic_write(files[1]) as part:
        table.to_csv(part, index=False)
    units = "change from the last known price" if dataset.normalized else "price"
    rows = table if shown is None else table[table["symbol"] == shown]
    drawn = {}
    for path, suffix, ylabel in ((files[2], "", units), (files[3], "_price", "price")):
        title = f"{shown or prices.symbol}: {forecaster.title}"
        figure = predictions_figure(rows, suffix, title=title, ylabel=ylabel)
        with atomic_write(path) as part:
            figure.savefig(part)
        # The page draws the same figure: its layout is found.
        figure.set_layout_engine("none")
        drawn[path.name] = figure
    if result.comparison is not None:
        write_json(files[4], result.comparison.to_dict())
        with atomic_write(files[5]) as part:
            result.comparison.to_frame().to_csv(part, index=False)
    return files, drawn


def _json_score(value: Score) -> dict[str, Any]:
    """A score for JSON: null where it is NaN."""
    fields = dataclasses.asdict(value)
    finite = value.no_interval is None
    return {
        **{name: v if np.isfinite(v).all() else None for name, v in fields.items()},
        "interval": list(value.interval) if finite else None,
        "no_interval": value.no_interval,
    }


def _json_error(value: PriceError) -> dict[str, float | None]:
    """Errors of prices for JSON: null where they are not finite."""
    named = {"rmse_price": value.rmse, "rmse_percent": value.rmse_percent}
    return {name: v if np.isfinite(v) else None for name, v in named.items()}
