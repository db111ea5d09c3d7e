"""Evaluating a saved model: losses beside persistence, predictions, pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stock_rnn.data import StockDataSet, dataset_of
from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write, write_json
from stock_rnn.forecasting.figures import predictions_figure
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.forecasting.metrics import Score, score
from stock_rnn.prices import Prices
from stock_rnn.training import runs


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a model on a series of prices.

    Attributes:
        scores: name of a set of examples ("train", "test", "all") -> its score.
        predictions: a row a predicted price of the last set. Columns: date; predicted,
            actual, persistence in the model's units; the same three as prices, with
            `_price` at the end of the name.
        files: the files written.
    """

    scores: dict[str, Score]
    predictions: pd.DataFrame
    files: tuple[Path, ...]


def evaluate(forecaster: Forecaster) -> Evaluation:
    """Score a run on its own training and test sets; write the result into its folder.

    Raises:
        UserError: the run's prices are damaged, or the folder cannot be written.
    """
    prices = runs.read_prices(forecaster.run)
    dataset = dataset_of(forecaster.config, prices)
    sets = {"train": dataset.train, "test": dataset.test}
    return _evaluate(forecaster, dataset, prices, sets, forecaster.run.folder)


def evaluate_on(forecaster: Forecaster, prices: Prices) -> Evaluation:
    """Score a run's model on all examples of other prices.

    The files go into `evaluations/` of the run's folder, one folder a series.

    Raises:
        UserError: too few prices, or the folder cannot be written.
    """
    dataset = dataset_of(forecaster.config, prices)
    sets = {"all": np.arange(len(dataset), dtype=np.int32)}
    folder = forecaster.run.evaluations / runs.series_name(prices)
    return _evaluate(forecaster, dataset, prices, sets, folder)


def _evaluate(
    forecaster: Forecaster,
    dataset: StockDataSet,
    prices: Prices,
    sets: Mapping[str, NDArray[np.integer]],
    folder: Path,
) -> Evaluation:
    scores = {}
    for name, examples in sets.items():
        predicted = forecaster.predict_examples(dataset, examples)
        scores[name] = score(dataset.labels(examples), predicted, dataset.persistence(examples))
    # The predictions of the last set are written and drawn.
    table = _prediction_table(dataset, examples, predicted)
    try:
        files = _write(folder, forecaster, dataset, prices, scores, table)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    return Evaluation(scores, table, files)


def _prediction_table(
    dataset: StockDataSet, examples: NDArray[np.integer], predicted: NDArray[np.floating]
) -> pd.DataFrame:
    columns: dict[str, NDArray[Any]] = {"date": dataset.label_dates(examples).ravel()}
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
    prices: Prices,
    scores: dict[str, Score],
    table: pd.DataFrame,
) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(
        folder / name
        for name in (
            "final_predictions.json",
            "final_predictions.csv",
            "predictions_normalized.png" if dataset.normalized else "predictions.png",
            "predictions_price.png",
        )
    )
    content = {
        "run": forecaster.run.name,
        "prices": runs.describe_data(prices),
        "scores": {name: _json_score(value) for name, value in scores.items()},
        "predictions": {
            "date": [str(date) for date in table["date"].to_numpy().astype("datetime64[s]")],
            **{name: table[name].tolist() for name in table.columns if name != "date"},
        },
    }
    write_json(files[0], content)
    with atomic_write(files[1]) as part:
        table.to_csv(part, index=False)
    units = "change since the window before" if dataset.normalized else "price"
    for path, suffix, ylabel in ((files[2], "", units), (files[3], "_price", "price")):
        title = f"{prices.symbol}: {forecaster.run.name}"
        figure = predictions_figure(table, suffix, title=title, ylabel=ylabel)
        with atomic_write(path) as part:
            figure.savefig(part)
    return files


def _json_score(value: Score) -> dict[str, Any]:
    """A score for JSON: null where it is NaN."""
    fields = dataclasses.asdict(value)
    finite = bool(np.isfinite(value.interval).all())
    return {
        **fields,
        "skill": value.skill if np.isfinite(value.skill) else None,
        "interval": list(value.interval) if finite else None,
    }
