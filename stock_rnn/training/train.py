"""Training: a configuration in, a run directory out."""

from __future__ import annotations

import logging
from pathlib import Path

from stock_rnn.config import Config, flag
from stock_rnn.data.dataset import StockDataSet
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices, load_prices
from stock_rnn.terminal import quiet_import
from stock_rnn.training import runs
from stock_rnn.training.runs import Run

_log = logging.getLogger("stock_rnn.training.train")


def train(
    config: Config,
    *,
    run_name: str | None = None,
    models_dir: Path = Path("models"),
    logs_dir: Path = Path("logs"),
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Train a configuration and leave its run directory.

    Same configuration, same prices, same machine: the same weights, bit for
    bit, also when it was interrupted at any moment and resumed. For that
    TensorFlow's deterministic operations are switched on for the process, and
    Python's, NumPy's and Keras's random generators are seeded.

    Args:
        config: the settings.
        run_name: instead of the name spelled out from the settings.
        models_dir, logs_dir: where runs and event files go.
        resume: go on with an interrupted run; a new one is started, and a
            complete one left as it is.
        overwrite: replace an existing run.

    Raises:
        UserError: the prices, the existing run, or the course of the training
            do not allow it.
    """
    run = Run(run_name or runs.run_name(config), models_dir, logs_dir)
    with runs.locked(run):
        resuming = resume and run.config.exists()
        if resuming:
            check_same(run, config)
            if run.complete:
                _log.info("run %s is complete", run.folder)
                return run
            prices = runs.read_prices(run)
        else:
            prices = prices_of(config)
        dataset = dataset_of(config, prices)
        if not resuming:
            runs.create(run, config, prices, overwrite=overwrite)
        _log.info("%s", dataset.describe())
        with quiet_import():
            from stock_rnn.training.fit import fit
        fit(run, config, dataset)
    return run


def prices_of(config: Config) -> Prices:
    """The prices that a configuration asks for."""
    return load_prices(
        config.symbol,
        source=config.source,
        csv=config.csv,
        date_column=config.date_column,
        close_column=config.close_column,
        decimal=config.decimal,
        period=config.period,
        start=config.start,
        end=config.end,
        need_open=config.open_and_close,
    )


def dataset_of(config: Config, prices: Prices) -> StockDataSet:
    """The windows that a configuration cuts from prices."""
    return StockDataSet.from_prices(
        prices,
        open_and_close=config.open_and_close,
        input_size=config.input_size,
        num_steps=config.num_steps,
        normalized=config.normalized,
        split=config.split,
        test_ratio=config.test_ratio,
        train_ratio=config.train_ratio,
        seed=config.seed,
    )


def check_same(run: Run, config: Config) -> None:
    """An interrupted run goes on only with the settings it began with.

    Raises:
        UserError: they differ; the message names each.
    """
    differing = runs.read_record(run).config.differences(config)
    if differing:
        words = ", ".join(
            f"{flag(name)} {was}, now {now}" for name, (was, now) in differing.items()
        )
        raise UserError(
            f"run {run.folder} was begun with other settings ({words}): give the same ones, "
            "or another --run-name"
        )
