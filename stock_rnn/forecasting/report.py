"""The page of an evaluation: what came out, by which settings, and how to make it again."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from stock_rnn import __version__
from stock_rnn.config import Config, settings
from stock_rnn.curvature.figures import epochs_figure
from stock_rnn.curvature.tracking.measurement import load_measurements
from stock_rnn.data import StockDataSet
from stock_rnn.errors import UserError
from stock_rnn.forecasting import figures
from stock_rnn.forecasting.comparison import Comparison
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.forecasting.pooling import PooledComparison
from stock_rnn.forecasting.tables import (
    comparison_heading,
    comparison_rows,
    score_rows,
    stock_rows,
    stocks_heading,
)
from stock_rnn.page import Command, Picture, Section, Table, write_page
from stock_rnn.plots import SHOWN_DAYS
from stock_rnn.prices import Prices, Stocks
from stock_rnn.training import runs
from stock_rnn.training.runs import Record, Run
from stock_rnn.training.runs.reading import TRAIN_AGAIN, reading

if TYPE_CHECKING:
    from stock_rnn.forecasting.evaluation import Evaluation

_log = logging.getLogger("stock_rnn.forecasting.report")


def write_report(
    path: Path,
    forecaster: Forecaster,
    prices: Prices | Stocks,
    dataset: StockDataSet,
    result: Evaluation,
    drawn: Mapping[str, Figure],
    *,
    command: str | None,
) -> None:
    """Write the page of an evaluation, whole or not at all.

    Args:
        path: of the page.
        forecaster: the run and its model.
        prices, dataset: what was predicted.
        result: what came out.
        drawn: file name -> picture of predictions.
        command: that repeats the evaluation; None: the page shows the training's alone.

    Raises:
        UserError: the run's record cannot be read or is damaged.
        OSError: the page cannot be written.
    """
    record = runs.read_record(forecaster.run)
    sections = [
        _forecasts(result),
        settings_section(record.config),
        _data(prices, dataset, result),
        _predictions(result, drawn),
        *training_sections(forecaster.run, record),
        again_section([record.made_by["command"], *([command] if command else [])], record),
    ]
    sentence, lead = result.verdict, []
    if result.comparison and result.baseline_verdict:
        sentence, lead = result.baseline_verdict, [result.verdict, result.comparison.shift]
    title = f"{prices.symbol}: {forecaster.title}"
    lead = [as_sentence(line) for line in lead]
    write_page(path, title, as_sentence(sentence), sections, lead=lead)


def as_sentence(line: str) -> str:
    """A line of the terminal with a capital letter and a full stop."""
    return f"{line[:1].upper()}{line[1:]}."


def settings_section(config: Config) -> Section:
    """The settings of a run: those that differ from the default, then all others, folded."""
    values, defaults = config.to_dict(), Config().to_dict()
    differing = set(config.differences(Config()))
    rows = {
        setting.name: (setting.flag, _shown(values[setting.name]), _shown(defaults[setting.name]))
        for setting in settings()
    }
    columns = ("setting", "value", "default")
    others = [row for name, row in rows.items() if name not in differing]
    found: list[str | Table] = ["All settings are the default."]
    caption = "all settings"
    if differing:
        caption = "all other settings"
        differ = [row for name, row in rows.items() if name in differing]
        found = [Table("settings that differ from the default", columns, differ, numbers=False)]
    folded = Table(caption, columns, others, numbers=False, folded=True)
    return Section("Settings", [*found, folded])


def again_section(commands: Sequence[str], record: Record) -> Section:
    """How to make a run and its results again: commands, seed and versions."""
    made = record.made_by
    rows = [
        ("seed", record.config.seed),
        ("trained", made["time"]),
        ("trained with", ", ".join(f"{name} {v}" for name, v in made["versions"].items())),
        ("git revision", made.get("git_revision") or "none"),
        ("evaluated with", f"stock_rnn {__version__}"),
        ("SHA-256 of the training's prices", record.data["sha256"]),
    ]
    table = Table("what made it", ("what", "value"), rows, numbers=False)
    return Section("How to make it again", [*(Command(line) for line in commands), table])


def _shown(value: Any) -> str:
    """A setting's value as text."""
    words = {None: "none", True: "yes", False: "no"}
    # 1 is equal to True.
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _forecasts(result: Evaluation) -> Section:
    """The tables of scores and of baselines, and the skills as a picture."""
    columns, *rows = score_rows(result.scores, result.price_errors)
    parts: list[str | Table | Picture] = [
        Table("errors of the model on each set of examples, beside persistence", columns, rows)
    ]
    if result.dropout:
        parts.append(as_sentence(result.dropout))
    if result.comparison:
        columns, *rows = comparison_rows(result.comparison)
        caption = comparison_heading(result.comparison).replace("\n", "; ")
        parts.append(Table(caption, columns, rows))
        figure = figures.skills_figure(result.comparison)
        if figure:
            parts.append(Picture(figure, _skills_in_words(result.comparison), _SKILLS))
    if isinstance(result.comparison, PooledComparison):
        columns, *rows = stock_rows(result.comparison)
        parts.append(Table(stocks_heading(result.comparison), columns, rows))
    return Section("Forecasts", parts)


_SKILLS = (
    "Skill of each forecast, with its 95 % interval over the examples. Persistence, the forecast "
    "that the price stays where it is, has skill 0."
)


def _skills_in_words(comparison: Comparison) -> str:
    """The picture of skills, for those who cannot see it."""
    found = []
    for name, each in comparison.accuracies.items():
        score = each.score
        if math.isfinite(score.skill):
            interval = "" if score.no_interval else " ({:+.2f} to {:+.2f})".format(*score.interval)
            found.append(f"{name} {score.skill:+.2f}{interval}")
    return f"Skill on {comparison.name}, with 95 % intervals: {', '.join(found)}."


def _predictions(result: Evaluation, drawn: Mapping[str, Figure]) -> Section:
    """The pictures of predictions; of several stocks those of the first one drawn."""
    newest = result.predictions.tail(SHOWN_DAYS)
    first, last = (str(newest["date"].iloc[at])[:10] for at in (0, -1))
    parts = []
    for name, figure in drawn.items():
        suffix, units = ("_price", "as prices") if "price" in name else ("", "in the model's units")
        lines = "; ".join(
            f"{line} from {newest[line + suffix].min():.4g} to {newest[line + suffix].max():.4g}"
            for line in ("actual", "predicted", "persistence")
        )
        text = f"Lines of the newest predictions {units}, {first} to {last}: {lines}."
        caption = f"Actual, predicted and persistence {units}: the newest {SHOWN_DAYS} at most."
        parts.append(Picture(figure, text, caption))
    return Section("Predictions", parts)


def training_sections(run: Run, record: Record) -> list[Section]:
    """The losses and, if the run has it, the curvature by epoch of a complete run.

    A file that cannot be read is told on the page and in the log: the results above do not
    need it.
    """
    monitored = "validation" if record.config.validation_ratio else "test"
    sections = [
        Section("Loss by epoch", _or_why_not("losses", lambda: _losses(run, monitored))),
    ]
    if run.spectrum.exists():
        heading = "Curvature by epoch"
        sections.append(Section(heading, _or_why_not("curvature", lambda: _curvature(run))))
    return sections


def _or_why_not(what: str, draw: Callable[[], Picture]) -> list[str | Picture]:
    try:
        return [draw()]
    except UserError as error:
        _log.warning("report.html has no %s by epoch: %s", what, error)
        return [f"Not here: {error}."]


def _losses(run: Run, monitored: str) -> Picture:
    with reading(run.history, "the losses are those of the training and cannot be made again"):
        history = pd.read_csv(run.history)
        if missing := {"epoch", "loss", "val_loss"} - set(history.columns):
            raise ValueError(f"no column {', '.join(sorted(missing))}")
        if history.empty:
            raise ValueError("no epoch is in it")
        first, last = (history.iloc[at].astype(float) for at in (0, -1))
        figure = figures.losses_figure(history, monitored=monitored)
    text = (
        f"Mean squared errors from epoch {first['epoch']:.0f} to {last['epoch']:.0f}: "
        f"train {first['loss']:.3g} to {last['loss']:.3g}, "
        f"{monitored} {first['val_loss']:.3g} to {last['val_loss']:.3g}."
    )
    caption = f"Training loss, as trained (with dropout), and {monitored} loss, without dropout."
    return Picture(figure, text, caption)


def _curvature(run: Run) -> Picture:
    with reading(run.spectrum, TRAIN_AGAIN):
        measurements = load_measurements(run.spectrum)
        figure, last = epochs_figure(measurements), measurements[-1]
    figures.fix_margins(figure, left=1.05, top=0.4)
    ends = last.extremes
    errors = [value + ends.rounding for value in (ends.residual_min, ends.residual_max)]
    text = (
        f"Training loss, largest and smallest eigenvalue of its Hessian after {len(measurements)} "
        f"epochs. After epoch {last.epoch} the smallest is {ends.lambda_min:.4g} ± "
        f"{errors[0]:.1g}, the largest {ends.lambda_max:.4g} ± {errors[1]:.1g}."
    )
    caption = (
        "Training loss without dropout, and both ends of its Hessian; epoch 0 is before the "
        "training. Bars are residual plus rounding: an eigenvalue is no further from the point."
    )
    return Picture(figure, text, caption)


def _data(prices: Prices | Stocks, dataset: StockDataSet, result: Evaluation) -> Section:
    """The prices, and the span of what was scored."""
    examples = ", ".join(f"{name} {each.examples:,}" for name, each in result.scores.items())
    dates = result.predictions["date"]
    first, last = (str(date)[:10] for date in (dates.min(), dates.max()))
    lines = [
        f"{prices.describe()}.",
        f"Examples of {dataset.num_steps} windows of {dataset.input_size}, by set: {examples}. "
        f"The pictures and final_predictions.csv have those of {first} to {last}.",
    ]
    return Section("Data", [*lines, *([as_sentence(result.overlap)] if result.overlap else [])])
