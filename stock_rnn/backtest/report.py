"""The page of a backtest: what came out, by which settings, and how to make it again."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from stock_rnn.backtest.folder import Asked, command
from stock_rnn.backtest.judge import Judged
from stock_rnn.backtest.tables import fold_rows, how
from stock_rnn.forecasting.comparison import MODEL
from stock_rnn.forecasting.intervals import Intervals
from stock_rnn.forecasting.report import again_section, as_sentence, settings_section
from stock_rnn.forecasting.tables import (
    comparison_heading,
    comparison_rows,
    interval_rows,
    intervals_heading,
)
from stock_rnn.page import Picture, Section, Table, write_page
from stock_rnn.prices import Prices

_CAPTION = (
    "Above, the price, and where folds begin. In the middle, the newest forecasts with their "
    "intervals. Below, squared errors of persistence minus those of the forecast, summed over "
    "time: the line rises where the forecast is better than persistence."
)


def write_report(
    path: Path,
    title: str,
    asked: Asked,
    intervals: Intervals,
    prices: Prices,
    judged: Judged,
    figure: Figure,
) -> None:
    """Write the page of a backtest, whole or not at all.

    Args:
        path: of the page.
        title: of the page.
        asked: the settings that the backtest was begun with.
        intervals: those that were judged.
        prices: what was predicted.
        judged: what came out.
        figure: of `backtest_figure`.

    Raises:
        OSError: the page cannot be written.
    """
    columns, *rows = comparison_rows(judged.comparison)
    heading = comparison_heading(judged.comparison).replace("\n", "; ")
    fold_columns, *folds = fold_rows(judged)
    interval_columns, *scores = interval_rows(judged.intervals)
    sections = [
        Section("Forecasts", [Table(heading, columns, rows)]),
        Section("Over time", [Picture(figure, _in_words(judged), _CAPTION)]),
        Section(
            "Folds",
            [
                as_sentence(how(asked.config, asked.walk)),
                Table("the model, and the best baseline of each fold", fold_columns, folds),
            ],
        ),
        Section("Intervals", [Table(intervals_heading(intervals), interval_columns, scores)]),
        settings_section(asked.config),
        Section("Data", [f"{prices.describe()}."]),
        # Other intervals than at its beginning may have been asked for.
        again_section([command(asked.config, asked.walk, intervals)], asked),
    ]
    first, *others = map(as_sentence, judged.sentences)
    write_page(path, title, first, sections, lead=others)


def _in_words(judged: Judged) -> str:
    """The picture, for those who cannot see it."""
    better, count = judged.folds_better
    total = judged.relative_losses[MODEL].sum()
    return (
        f"Prices and forecasts from {judged.dates[0]} to {judged.dates[-1]}. Squared errors of "
        f"persistence minus those of the model sum to {total:.3g}; the model is better in "
        f"{better} of {count} folds."
    )
