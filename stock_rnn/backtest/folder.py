"""The folder of a backtest, models/NAME: its files, and the record of what was asked for."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
import shutil
from pathlib import Path

import numpy as np

from stock_rnn import __version__
from stock_rnn.backtest.fit import Fitted
from stock_rnn.backtest.plan import Walk
from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.files import PART_PREFIX, write_arrays, write_json
from stock_rnn.forecasting.intervals import Intervals
from stock_rnn.prices import Prices
from stock_rnn.settings import flag
from stock_rnn.training.runs.directory import Run
from stock_rnn.training.runs.names import run_name, short_hash
from stock_rnn.training.runs.reading import reading
from stock_rnn.training.runs.record import (
    Record,
    describe_data,
    git_revision,
    prices_in,
    write_prices,
)
from stock_rnn.workers.environment import versions

_FORMAT = 1

_AGAIN = "start the backtest again with --overwrite"


class Folder:
    """The paths of a backtest's files; reads and writes nothing.

    It is no run: `runs` does not list it, and `train` does not take its name.

    Args:
        name: as that of a run.
        models_dir: where it is.

    Raises:
        UserError: no run could have this name.
    """

    def __init__(self, name: str, models_dir: Path) -> None:
        # A run's rules for names, and its lock: no training can take the name meanwhile.
        self.run = Run(name, models_dir, models_dir)
        self.name, self.path = name, self.run.folder
        self.record = self.path / "backtest.json"
        self.prices = self.path / "prices.npz"
        self.fits = self.path / "fits"
        self.result = self.path / "result.json"
        self.folds = self.path / "folds.csv"
        self.pooled = self.path / "pooled.csv"
        self.forecasts = self.path / "forecasts.csv"
        self.figure = self.path / "backtest.png"
        self.report = self.path / "report.html"

    def fit(self, number: int) -> Path:
        """The file of a fit."""
        return self.fits / f"{number:03d}.npz"

    def resume_command(self) -> str:
        """The command line that goes on with this backtest."""
        words = [f"python -m stock_rnn backtest --resume {self.name}"]
        if self.run.models_dir != Path("models"):
            words.append(f"--models-dir {shlex.quote(str(self.run.models_dir))}")
        return " ".join(words)


@dataclasses.dataclass(frozen=True)
class Asked(Record):
    """What a backtest was asked for, as `backtest.json` keeps it.

    Attributes:
        walk, intervals: its settings beside those of each fit.
    """

    walk: Walk
    intervals: Intervals


def default_name(config: Config, walk: Walk) -> str:
    """A backtest's name from its settings: those that differ have different names."""
    others = dataclasses.replace(walk, folds=Walk().folds)
    ending = "" if others == Walk() else f"_etc-{short_hash(repr(others))}"
    return f"backtest_{run_name(_with_curvature(config))}_folds{walk.folds}{ending}"


def _with_curvature(config: Config) -> Config:
    """A backtest measures none and has no flags for it, so that its name says nothing of it."""
    return dataclasses.replace(config, hessian_every=Config().hessian_every)


def command(config: Config, walk: Walk, intervals: Intervals) -> str:
    """The shortest command line that makes this backtest."""
    shown = _with_curvature(config).command()
    words = [shown.replace("python train.py", "python -m stock_rnn backtest", 1)]
    for ours, default, prefix in ((walk, Walk(), ""), (intervals, Intervals(), "interval-")):
        for field in dataclasses.fields(ours):
            value = getattr(ours, field.name)
            if value == getattr(default, field.name):
                continue
            name = {"method": "intervals", "coverage": "coverage"}.get(
                field.name, prefix + field.name
            )
            words.append(flag(name) if value is True else f"{flag(name)} {value}")
    return " ".join(words)


def create(
    folder: Folder,
    config: Config,
    walk: Walk,
    intervals: Intervals,
    prices: Prices,
    *,
    overwrite: bool,
) -> None:
    """Make a backtest's folder, and write its prices and its record.

    Args:
        folder: locked by the caller.
        config, walk, intervals, prices: what goes into the record.
        overwrite: whether an existing backtest is removed first.

    Raises:
        UserError: the folder exists and `overwrite` is not set, or it holds something else,
            or it cannot be written.
    """
    if folder.path.exists():
        _make_room(folder, overwrite=overwrite)
    content = {
        "format": _FORMAT,
        "config": config.to_dict(),
        "walk": dataclasses.asdict(walk),
        "intervals": dataclasses.asdict(intervals),
        "data": describe_data(prices),
        "made_by": {
            "command": command(config, walk, intervals),
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "versions": {"stock_rnn": __version__} | versions(),
            "git_revision": git_revision(),
        },
    }
    try:
        folder.fits.mkdir(parents=True, exist_ok=True)
        write_prices(folder.prices, prices)
        # Last: a folder that has it is a backtest that can be gone on with.
        write_json(folder.record, content)
    except OSError as error:
        raise UserError(
            f"cannot write the backtest to {folder.path}: {error.strerror}; choose another "
            "folder with --models-dir"
        ) from error


def _make_room(folder: Folder, *, overwrite: bool) -> None:
    if not folder.path.is_dir():
        raise UserError(f"{folder.path} is a file; choose another --run-name or move it away")
    if not folder.record.exists():
        # One that was killed before it wrote the record leaves prices and part files.
        own = {folder.prices.name, folder.fits.name}
        found = {path.name for path in folder.path.iterdir()} - own
        if any(not name.startswith(PART_PREFIX) for name in found) or (
            folder.fits.is_dir() and any(folder.fits.iterdir())
        ):
            raise UserError(
                f"{folder.path} exists and is not a backtest; choose another --run-name"
            )
    elif not overwrite:
        state = "is complete" if folder.result.exists() else "was interrupted"
        raise UserError(
            f"backtest {folder.path} exists and {state}: {folder.resume_command()} goes on with "
            "it, --overwrite starts again, --run-name makes another"
        )
    shutil.rmtree(folder.path)


def read_asked(folder: Folder) -> Asked:
    """What a backtest was asked for.

    Raises:
        UserError: the record is missing or damaged, or of a newer version.
    """
    if not folder.record.is_file():
        raise UserError(
            f"no backtest at {folder.path}: make it with python -m stock_rnn backtest, or name "
            "another"
        )
    with reading(folder.record, _AGAIN):
        content = json.loads(folder.record.read_text(encoding="utf-8"))
        if content["format"] <= _FORMAT:
            return Asked(
                config=Config.from_dict(content["config"]),
                walk=Walk(**content["walk"]),
                intervals=Intervals(**content["intervals"]),
                data=dict(content["data"]),
                made_by=dict(content["made_by"]),
            )
    raise UserError(
        f"{folder.record} has format {content['format']}, of a newer version of stock_rnn than "
        f"this one, {__version__}: upgrade it"
    )


def check_same(folder: Folder, asked: Asked, config: Config, walk: Walk) -> None:
    """Check that a backtest goes on with the settings and versions that it was begun with.

    Raises:
        UserError: they differ; the message names each difference.
    """
    differing = {flag(name): pair for name, pair in asked.config.differences(config).items()}
    for field in dataclasses.fields(walk):
        was, now = getattr(asked.walk, field.name), getattr(walk, field.name)
        if was != now:
            differing[flag(field.name)] = (was, now)
    then = {name: asked.made_by["versions"].get(name) for name in versions()}
    for name, now in versions().items():
        if then[name] != now:
            differing[name] = (then[name], now)
    if differing:
        words = ", ".join(f"{name} {was}, now {now}" for name, (was, now) in differing.items())
        raise UserError(
            f"backtest {folder.path} was begun with others ({words}): give the same ones, or "
            "another --run-name, or start again with --overwrite"
        )


def read_prices(folder: Folder, asked: Asked) -> Prices:
    """The prices of a backtest.

    Raises:
        UserError: they cannot be read, are damaged, or are not the recorded ones.
    """
    prices = prices_in(folder.prices, asked.data, _AGAIN)
    assert isinstance(prices, Prices)
    return prices


def write_fit(folder: Folder, number: int, fitted: Fitted) -> None:
    """Write what is kept of a fit, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_arrays(folder.fit(number), fitted.to_arrays())


def read_fit(folder: Folder, number: int) -> Fitted:
    """What is kept of a fit.

    Raises:
        UserError: it cannot be read or is damaged.
    """
    path = folder.fit(number)
    with (
        reading(path, "remove it, and --resume makes it again"),
        np.load(path, allow_pickle=False) as arrays,
    ):
        return Fitted.from_arrays(dict(arrays))
