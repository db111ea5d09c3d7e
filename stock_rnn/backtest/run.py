"""A whole backtest: the fits in worker processes, then tables, intervals and the picture."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import math
import os
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pandas as pd

from stock_rnn.backtest import folder as folders
from stock_rnn.backtest.figures import backtest_figure
from stock_rnn.backtest.fit import (
    FitTask,
    Fitted,
    all_examples,
    dataset_before,
    run_fit,
    run_in_new_process,
)
from stock_rnn.backtest.folder import Folder
from stock_rnn.backtest.judge import INTERVAL_COLUMNS, Judged, judge
from stock_rnn.backtest.plan import Fit, Walk, plan_fits
from stock_rnn.backtest.report import write_report
from stock_rnn.config import NO_DROPOUT, Config
from stock_rnn.data import one_stock
from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write, remove_part_files, write_json
from stock_rnn.forecasting.intervals import Intervals
from stock_rnn.prices import Prices
from stock_rnn.training import runs
from stock_rnn.workers import pool
from stock_rnn.workers.pool import Submit
from stock_rnn.workers.progress import TaskProgress

_log = logging.getLogger("stock_rnn.backtest")


@dataclasses.dataclass(frozen=True)
class Backtest:
    """A finished backtest.

    Attributes:
        path: its folder.
        config: the settings of each fit.
        walk: how it went along time.
        intervals: which stand around the forecasts.
        judged: tables, intervals, sentences.
        files: the files written for reading.
    """

    path: Path
    config: Config
    walk: Walk
    intervals: Intervals
    judged: Judged
    files: tuple[Path, ...]


def walk_forward(
    config: Config,
    walk: Walk | None = None,
    intervals: Intervals | None = None,
    *,
    run_name: str | None = None,
    models_dir: str | os.PathLike[str] = "models",
    resume: bool = False,
    overwrite: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    submit: Submit | None = None,
) -> Backtest:
    """Train and test a configuration fold after fold, and judge the forecasts of all folds.

    A fit trains on nothing but the prices before its first test example: windows, epochs and
    baselines cannot read later ones. The intervals of a fold come from errors before it. Every
    finished fit is kept, so that an interrupted backtest goes on. The same configuration,
    prices and versions give the same numbers, bit for bit, for any number of processes.

    Args:
        config: the settings of each fit. Its split and its curvature are not used.
        walk: how to go along time.
        intervals: that stand around the forecasts.
        run_name: another name of the folder than the one made from the settings.
        models_dir: where the folder goes.
        resume: go on with one that was begun with the same settings, intervals aside; one
            that is finished is judged again. If there is none, it is started.
        overwrite: replace an existing backtest.
        jobs: processes on this machine; None: one a core.
        scheduler: address of a Dask scheduler, in place of processes on this machine.
        submit: starts a fit by other means than both.

    Raises:
        UserError: the prices cannot be had or are too few; the backtest exists, is locked or
            was begun with other settings; a loss diverges; intervals by dropout are asked for
            where there is none; a worker was killed; a folder cannot be written; or both `resume`
            and `overwrite` are set.
    """
    if resume and overwrite:
        raise UserError("--overwrite starts again and --resume goes on: give one or the other")
    if config.several:
        raise UserError(
            "backtest is of one stock: give --symbol in place of --symbols or --symbols-file"
        )
    walk, intervals = walk or Walk(), intervals or Intervals()
    config = dataclasses.replace(config, hessian_every=0, split="chronological")
    if intervals.method == "dropout" and not config.has_dropout:
        raise UserError(f"the training {NO_DROPOUT}")
    folder = Folder(run_name or folders.default_name(config, walk), Path(models_dir))
    with runs.locked(folder.run):
        if resume and folder.record.exists():
            asked = folders.read_asked(folder)
            folders.check_same(folder, asked, config, walk)
            prices = folders.read_prices(folder, asked)
            remove_part_files(folder.path)
            remove_part_files(folder.fits)
        else:
            prices = one_stock(config)
            # Too few prices are told before anything is written.
            _fits(config, walk, prices)
            folders.create(folder, config, walk, intervals, prices, overwrite=overwrite)
        fits = _fits(config, walk, prices)
        tasks = [_task(config, walk, fit) for fit in fits]
        try:
            _make_missing(folder, tasks, prices, jobs, scheduler, submit)
            fitted = [folders.read_fit(folder, fit.number) for fit in fits]
            judged = judge(config, walk, intervals, prices, fits, fitted)
            files = _write(folder, config, walk, intervals, prices, judged)
        except OSError as error:
            raise UserError(
                f"cannot write the backtest to {folder.path} ({error.strerror or error}): every "
                f"fit before is kept; make room there, then {folder.resume_command()}"
            ) from error
    return Backtest(folder.path, config, walk, intervals, judged, files)


def _fits(config: Config, walk: Walk, prices: Prices) -> tuple[Fit, ...]:
    """The fits, each with something to train on.

    Raises:
        UserError: too few prices.
    """
    fits = plan_fits(len(all_examples(config, prices)), walk, symbol=prices.symbol)
    for fit in fits[:2]:
        dataset_before(config, prices, fit.first, fit.end)
    return fits


def _task(config: Config, walk: Walk, fit: Fit) -> FitTask:
    return FitTask(
        config=config,
        fit=fit,
        model=walk.model,
        # Asked for or not, so that --resume can give other intervals.
        dropout=config.has_dropout,
        keep_weights=walk.warm_start,
    )


def _make_missing(
    folder: Folder,
    tasks: Sequence[FitTask],
    prices: Prices,
    jobs: int | None,
    scheduler: str | None,
    submit: Submit | None,
) -> None:
    """Run the fits that have no file yet."""
    missing = [task for task in tasks if not folder.fit(task.fit.number).exists()]
    kept = len(tasks) - len(missing)
    _log.info("%d fits: %d kept in %s, %d to make", len(tasks), kept, folder.path, len(missing))
    if not missing:
        return
    workers: contextlib.AbstractContextManager[Submit] = (
        contextlib.nullcontext(submit)
        if submit is not None
        else pool.dask_cluster(scheduler, run_in_new_process)
        if scheduler is not None
        else pool.local_processes(min(jobs or os.cpu_count() or 1, len(missing)), run_fit)
    )
    run = _one_by_one if missing[0].keep_weights else _all_at_once
    try:
        with workers as start, TaskProgress([task.cost() for task in missing], "fit") as progress:
            run(folder, missing, prices, start, progress)
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps because memory ran out; "
            f"{folder.resume_command()} goes on, and --jobs 1 needs the least memory"
        ) from error


def _all_at_once(
    folder: Folder,
    tasks: Sequence[FitTask],
    prices: Prices,
    start: Submit,
    progress: TaskProgress,
) -> None:
    # The longest first: they are the newest ones.
    futures = {start(task, prices): task for task in reversed(tasks)}
    for future in concurrent.futures.as_completed(futures):
        task = futures[future]
        folders.write_fit(folder, task.fit.number, future.result())
        progress.finished(task.cost())


def _one_by_one(
    folder: Folder,
    tasks: Sequence[FitTask],
    prices: Prices,
    start: Submit,
    progress: TaskProgress,
) -> None:
    """Each fit from the weights of the one before it."""
    for task in tasks:
        number = task.fit.number
        before: tuple[Any, ...] = folders.read_fit(folder, number - 1).weights if number else ()
        fitted: Fitted = start(task, prices, before).result()
        folders.write_fit(folder, number, fitted)
        progress.finished(task.cost())


def _write(
    folder: Folder,
    config: Config,
    walk: Walk,
    intervals: Intervals,
    prices: Prices,
    judged: Judged,
) -> tuple[Path, ...]:
    """Write tables and the picture; the JSON last, which makes the backtest complete."""
    for path, table in (
        (folder.folds, judged.folds),
        (folder.pooled, pooled_table(judged)),
        (folder.forecasts, judged.forecasts),
    ):
        with atomic_write(path) as part:
            table.to_csv(part, index=False)
    title = (
        f"{prices.symbol}: {walk.folds} folds, {config.optimizer}, "
        f"{config.num_layers} x {config.lstm_size}"
    )
    figure = backtest_figure(judged, title=title)
    with atomic_write(folder.figure) as part:
        figure.savefig(part)
    # The page draws the same figure: its layout is found.
    figure.set_layout_engine("none")
    asked = folders.read_asked(folder)
    write_report(folder.report, title, asked, intervals, prices, judged, figure)
    content = {
        "command": folders.command(config, walk, intervals),
        "prices": runs.describe_data(prices),
        "walk": dataclasses.asdict(walk),
        "interval_settings": dataclasses.asdict(intervals),
        "sentences": list(judged.sentences),
        "pooled": judged.comparison.to_dict(),
        "intervals": {name: each.to_dict() for name, each in judged.intervals.items()},
        "folds": [_json_row(row) for row in judged.folds.to_dict("records")],
    }
    write_json(folder.result, content)
    return (
        *(folder.result, folder.folds, folder.pooled, folder.forecasts, folder.figure),
        folder.report,
    )


def pooled_table(judged: Judged) -> pd.DataFrame:
    """A row a forecast: its measures over all folds, then those of its intervals."""
    table = judged.comparison.to_frame()
    scores = {name: each.to_dict() for name, each in judged.intervals.items()}
    for column in INTERVAL_COLUMNS:
        table[column] = [scores.get(name, {}).get(column) for name in table["forecast"]]
    ends = {name: each.coverage_interval for name, each in judged.intervals.items()}
    for i, column in enumerate(("coverage_low", "coverage_high")):
        table[column] = [ends.get(name, (None, None))[i] for name in table["forecast"]]
    return table


def _json_row(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A row of a table for JSON: null where a number is undefined."""
    return {str(name): _json_value(value) for name, value in row.items()}


def _json_value(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str) else str(value)[:10]
