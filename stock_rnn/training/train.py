"""Training: a configuration in, a run directory out."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from stock_rnn.config import SECOND_ORDER, Config
from stock_rnn.data import dataset_of, prices_of
from stock_rnn.errors import UserError
from stock_rnn.files import remove_part_files
from stock_rnn.prices import Prices
from stock_rnn.settings import flag
from stock_rnn.terminal import quiet_import
from stock_rnn.training import runs
from stock_rnn.training.runs import Run

_log = logging.getLogger("stock_rnn.training.train")


def train(
    config: Config,
    *,
    run_name: str | None = None,
    models_dir: str | os.PathLike[str] = "models",
    logs_dir: str | os.PathLike[str] = "logs",
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
            complete run is left as it is. If `max_epoch` is more than the run was begun
            with, and all else the same, it is trained on, to the bits of one training of
            that length; its name stays.
        overwrite: replace an existing run.

    Returns:
        The run, complete.

    Raises:
        UserError: the prices cannot be had or are too few; the run exists, is locked or
            was begun with other settings; the loss diverges or did; a folder cannot be
            written; or both `resume` and `overwrite` are set.
    """
    if resume and overwrite:
        raise UserError("--overwrite starts again and --resume goes on: give one or the other")
    models_dir, logs_dir = Path(models_dir), Path(logs_dir)
    run = Run(run_name or runs.run_name(config), models_dir, logs_dir)
    if resume and run_name is None and not run.config.exists():
        run = runs.begun_run(config, models_dir, logs_dir) or run
    with runs.locked(run):
        resuming = resume and run.config.exists()
        if resuming:
            longer = _check_same(run, config)
            prices = runs.read_prices(run)
            _tell_of_another_csv(run, config, prices)
            runs.refuse_diverged(run)
            if run.complete and not longer:
                _log.info("run %s is complete", run.folder)
                return run
            remove_part_files(run.folder)
            runs.check_resumable(run)
        else:
            prices = prices_of(config)
        dataset = dataset_of(config, prices)
        if config.optimizer in SECOND_ORDER:
            with quiet_import():
                from stock_rnn.training.second_order import refuse_large
            refuse_large(config)
        if not resuming:
            runs.create(run, config, prices, overwrite=overwrite)
        _log.info("%s", dataset.describe())
        if dataset.left_out:
            _log.info("%s: %s", dataset.symbol, dataset.left_out)
        with quiet_import():
            from stock_rnn.training.fit import fit
        try:
            if resuming and longer:
                runs.lengthen(run, config.max_epoch)
            fit(run, config, dataset)
        except OSError as error:
            raise UserError(
                f"cannot write the run to {run.folder} and {run.logs} "
                f"({error.strerror or error}): every epoch before is saved; make room there, then "
                f"{run.resume_command()}"
            ) from error
    return run


def _check_same(run: Run, config: Config) -> bool:
    """Check that a run is resumed with the settings it was begun with.

    Returns:
        Whether it is to have more epochs now.

    Raises:
        UserError: they differ in anything else; the message names each difference.
    """
    differing = runs.read_record(run).config.differences(config)
    before, now = differing.get("max_epoch", (0, 0))
    if longer := now > before:
        del differing["max_epoch"]
    if differing:
        words = ", ".join(
            f"{flag(name)} {was}, now {now}" for name, (was, now) in differing.items()
        )
        raise UserError(
            f"run {run.folder} was begun with other settings ({words}): give the same ones, or "
            f"another --run-name; {run.resume_command()} goes on with its own"
        )
    return longer


def _tell_of_another_csv(run: Run, config: Config, ours: Prices) -> None:
    """Say so if the CSV of a run is no longer what the run was begun with."""
    if config.csv is None:
        return
    try:
        now = prices_of(config)
    except UserError as error:
        change = f"cannot be compared with what the run was begun with ({error})"
    else:
        if now.sha256 == ours.sha256:
            return
        change = (
            f"has changed since the run was begun: then {_describe(ours)}, now {_describe(now)}"
        )
    _log.warning("%s %s; the run goes on with its own prices, %s", config.csv, change, run.prices)


def _describe(prices: Prices) -> str:
    first, last = (prices.dates[i].astype("datetime64[D]") for i in (0, -1))
    return f"{len(prices):,} prices from {first} to {last} (sha256 {prices.sha256[:8]})"
