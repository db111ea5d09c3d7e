"""Training: a configuration in, a run directory out."""

from __future__ import annotations

import logging
from pathlib import Path

from stock_rnn.config import Config, flag
from stock_rnn.data import dataset_of, prices_of
from stock_rnn.errors import UserError
from stock_rnn.files import remove_part_files
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

    The same configuration, prices and machine give the same weights, bit for bit, even
    if the training was interrupted at any moment and resumed. For that, TensorFlow's
    deterministic operations are switched on, and Python's, NumPy's and Keras's random
    generators are seeded, for the whole process.

    Args:
        config: the settings.
        run_name: another name than the one made from the settings.
        models_dir, logs_dir: the folders of all runs.
        resume: go on with an interrupted run. If there is none, a new one is started; a
            complete run is left as it is.
        overwrite: replace an existing run.

    Returns:
        The run, complete.

    Raises:
        UserError: the prices cannot be had or are too few; the run exists, is locked or
            was begun with other settings; the loss diverges; or a folder cannot be
            written.
    """
    run = Run(run_name or runs.run_name(config), models_dir, logs_dir)
    with runs.locked(run):
        resuming = resume and run.config.exists()
        if resuming:
            _check_same(run, config)
            if run.complete:
                _log.info("run %s is complete", run.folder)
                return run
            remove_part_files(run.folder)
            prices = runs.read_prices(run)
        else:
            prices = prices_of(config)
        dataset = dataset_of(config, prices)
        if not resuming:
            runs.create(run, config, prices, overwrite=overwrite)
        _log.info("%s", dataset.describe())
        if dataset.left_out:
            _log.info("%s: %s", dataset.symbol, dataset.left_out)
        with quiet_import():
            from stock_rnn.training.fit import fit
        fit(run, config, dataset)
    return run


def _check_same(run: Run, config: Config) -> None:
    """Check that a run is resumed with the settings it was begun with.

    Raises:
        UserError: they differ; the message names each difference.
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
