"""What a run was made of: its settings, its prices, and the versions that made it."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stock_rnn import __version__
from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.files import PART_PREFIX, remove_part_files, write_arrays, write_json
from stock_rnn.prices import Prices, Stocks
from stock_rnn.training.runs.directory import Run
from stock_rnn.training.runs.reading import TRAIN_AGAIN, reading

_FORMAT = 1

# What `describe_data` makes, by type.
_DATA = {
    **dict.fromkeys(("symbol", "source", "first", "last", "sha256"), str),
    **dict.fromkeys(("count", "dropped"), int),
}

_PACKAGES = ("tensorflow", "keras", "numpy", "pandas")


class NewerVersionError(UserError):
    """A run was begun by a newer version of the package."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What `config.json` says of a run.

    Attributes:
        config: its settings.
        data: of its prices, as `describe_data`.
        made_by: command, time, versions of packages, git revision.
    """

    config: Config
    data: dict[str, Any]
    made_by: dict[str, Any]


def create(run: Run, config: Config, prices: Prices | Stocks, *, overwrite: bool) -> None:
    """Make a run's folders, and write its prices and its record.

    Args:
        run: locked by the caller.
        config, prices: what goes into the record.
        overwrite: whether an existing run is removed first.

    Raises:
        UserError: the run exists and `overwrite` is not set, the folder holds
            something else, or it cannot be written.
    """
    if run.folder.exists():
        _make_room(run, overwrite=overwrite)
    made = [folder for folder in (run.folder, run.logs) if not folder.exists()]
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        run.logs.mkdir(parents=True, exist_ok=True)
        write_prices(run.prices, prices)
        _write_record(run, config, prices)
    except OSError as error:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"cannot write the run to {run.folder} and {run.logs}: {error.strerror}; "
            "choose other folders with --models-dir and --logs-dir"
        ) from error


def _make_room(run: Run, *, overwrite: bool) -> None:
    if not run.config.exists():
        if not run.folder.is_dir():
            raise UserError(f"{run.folder} is a file; choose another --run-name or move it away")
        # A training killed before it wrote the record leaves prices and part files.
        foreign = {path.name for path in run.folder.iterdir()} - {run.prices.name}
        if any(not name.startswith(PART_PREFIX) for name in foreign):
            raise UserError(f"{run.folder} exists and is not a run; choose another --run-name")
        remove_part_files(run.folder)
        return
    if not overwrite:
        interrupted = not run.complete and not run.divergence.exists()
        advice = "--resume goes on with it, " if interrupted else ""
        raise UserError(
            f"run {run.folder} exists and {run.state}: {advice}--overwrite starts again, "
            "--run-name makes another"
        )
    shutil.rmtree(run.folder)
    shutil.rmtree(run.logs, ignore_errors=True)


def read_record(run: Run) -> Record:
    """What `config.json` says of a run.

    Raises:
        NewerVersionError: it is of a newer version of the package.
        UserError: the record cannot be read or is damaged.
    """
    with reading(run.config, TRAIN_AGAIN):
        content = json.loads(run.config.read_text(encoding="utf-8"))
        unknown = sorted(content["config"].keys() - Config().to_dict().keys())
        if content["format"] <= _FORMAT and not unknown:
            return _record(content)
    newer = f"the settings {', '.join(unknown)}" if unknown else f"format {content['format']}"
    raise NewerVersionError(
        f"{run.config} has {newer}, of a newer version of stock_rnn than this one, {__version__}: "
        "upgrade it"
    )


def _record(content: dict[str, Any]) -> Record:
    """The record in the content of `config.json`.

    Raises:
        KeyError, TypeError, UserError: it is none.
    """
    data, made_by = content["data"], content["made_by"]
    for name, kind in _DATA.items():
        if not isinstance(data[name], kind):
            raise TypeError(f"data.{name} is {data[name]!r}")
    for name, kind in {"command": str, "time": str, "versions": dict}.items():
        if not isinstance(made_by[name], kind):
            raise TypeError(f"made_by.{name} is {made_by[name]!r}")
    return Record(Config.from_dict(content["config"]), data, made_by)


def lengthen(run: Run, max_epoch: int) -> None:
    """Make a run one of more epochs: incomplete until these are trained.

    Args:
        run: locked by the caller.
        max_epoch: more than it was begun with.

    Raises:
        UserError: the record cannot be read or is damaged.
        OSError: it cannot be written.
    """
    config = dataclasses.replace(read_record(run).config, max_epoch=max_epoch)
    content = json.loads(run.config.read_text(encoding="utf-8"))
    content["config"] = config.to_dict()
    content["made_by"]["command"] = run.command(config)
    # In this order: a kill between the two leaves a shorter run that --resume completes. All
    # of the model is in the checkpoint too.
    run.model.unlink(missing_ok=True)
    write_json(run.config, content)


def mark_diverged(run: Run, message: str) -> None:
    """Note that a run diverged: resumed, it would do the same."""
    write_json(run.divergence, {"message": message})


def refuse_diverged(run: Run) -> None:
    """Refuse to go on with a run that diverged.

    Raises:
        UserError: it did; the message says how.
    """
    if not run.divergence.exists():
        return
    raise UserError(f"run {run.folder} diverged, and would again: {read_divergence(run)}")


def read_divergence(run: Run) -> str:
    """In which epoch a run diverged, and by what loss.

    Raises:
        UserError: the mark of the divergence cannot be read or is damaged.
    """
    with reading(run.divergence, TRAIN_AGAIN):
        return str(json.loads(run.divergence.read_text(encoding="utf-8"))["message"])


def read_prices(run: Run) -> Prices | Stocks:
    """The prices that the run was trained on; of several stocks if it has several.

    Raises:
        UserError: they cannot be read, are damaged, or are not the recorded ones.
    """
    return prices_in(run.prices, read_record(run).data, TRAIN_AGAIN)


def prices_in(path: Path, data: dict[str, Any], advice: str) -> Prices | Stocks:
    """The prices that `write_prices` wrote.

    Args:
        path: the file.
        data: their description, as `describe_data`.
        advice: what to do if they are not what they should be.

    Raises:
        UserError: they cannot be read, are damaged, or are not the described ones.
    """
    with (
        reading(path, advice),
        np.load(path, allow_pickle=False) as arrays,
    ):
        prices = _stocks(arrays, data) if "stocks" in data else _prices(arrays, data)
    if prices.sha256 != data["sha256"]:
        raise UserError(f"{path} is not what the run was trained on; train the run again")
    return prices


def _prices(arrays: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Prices:
    """Prices in the arrays of a file, with what is said of them elsewhere."""
    return Prices(
        symbol=data["symbol"],
        source=data["source"],
        dates=arrays["dates"].astype("datetime64[s]"),
        close=arrays["close"],
        open=arrays.get("open"),
        dropped=data["dropped"],
    )


def _stocks(arrays: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Stocks:
    """Prices of several stocks, one after the other in the arrays of a file."""
    ends = np.cumsum([stock["count"] for stock in data["stocks"]])[:-1]
    parts = {name: np.split(values, ends) for name, values in arrays.items()}
    prices = [
        _prices({name: parts[name][number] for name in parts}, stock)
        for number, stock in enumerate(data["stocks"])
    ]
    sectors = tuple(str(stock["sector"]) for stock in data["stocks"])
    return Stocks(data["symbol"], tuple(prices), sectors)


def describe_data(prices: Prices | Stocks) -> dict[str, Any]:
    """What the record says of prices: symbol, source, span, count, days dropped, sha256.

    Of several stocks also the same of each, with its sector.
    """
    dates = prices.dates
    found: dict[str, Any] = {
        "symbol": prices.symbol,
        "source": prices.source,
        "first": str(dates[0]),
        "last": str(dates[-1]),
        "count": len(prices),
        "dropped": prices.dropped,
        "sha256": prices.sha256,
    }
    if isinstance(prices, Stocks):
        found["stocks"] = [
            {**describe_data(each), "sector": sector}
            for each, sector in zip(prices.prices, prices.sectors, strict=True)
        ]
    return found


def write_prices(path: Path, prices: Prices | Stocks) -> None:
    """Write prices whole or not at all, for `prices_in`."""
    each = prices.prices if isinstance(prices, Stocks) else (prices,)
    arrays: dict[str, Any] = {
        "dates": np.concatenate([one.dates for one in each]).astype(np.int64),
        "close": np.concatenate([one.close for one in each]),
    }
    opens = [one.open for one in each if one.open is not None]
    if opens:
        arrays["open"] = np.concatenate(opens)
    write_arrays(path, arrays)


def _write_record(run: Run, config: Config, prices: Prices | Stocks) -> None:
    content = {
        "format": _FORMAT,
        "config": config.to_dict(),
        "data": describe_data(prices),
        "made_by": {
            "command": run.command(config),
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "versions": {"stock_rnn": __version__}
            | {name: importlib.metadata.version(name) for name in _PACKAGES},
            "git_revision": git_revision(),
        },
    }
    write_json(run.config, content)


def git_revision() -> str | None:
    """The revision of the checkout that this code is run from, `-dirty` if it is changed.

    None where the code is not in git: installed as a wheel, it may lie in a folder of
    somebody else's checkout.
    """
    source = Path(__file__)
    try:
        tracked = _git("ls-files", "--error-unmatch", source.name, cwd=source.parent)
        revision = _git("describe", "--always", "--dirty", "--abbrev=40", cwd=source.parent)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (tracked and revision) or None


def _git(*words: str, cwd: Path) -> str:
    """What git prints; nothing if it fails."""
    answer = subprocess.run(
        ["git", *words], cwd=cwd, capture_output=True, text=True, timeout=10, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else ""
