"""The run directory: what a run is called, what it leaves, and reading it back."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from stock_rnn import __version__
from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.files import replacing
from stock_rnn.prices import Prices

_FORMAT = 1
_PACKAGES = ("tensorflow", "keras", "numpy", "pandas")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._^=+-]{0,199}")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's name and the places of its files; nothing is read or written."""

    name: str
    models_dir: Path
    logs_dir: Path

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UserError(
                "a run's name must be 1 to 200 letters, digits or ._^=+-, and start with a letter "
                f"or digit. Received: --run-name {self.name!r}"
            )

    @property
    def folder(self) -> Path:
        """models/RUN."""
        return self.models_dir / self.name

    @property
    def logs(self) -> Path:
        """logs/RUN, TensorBoard's event files."""
        return self.logs_dir / self.name

    @property
    def config(self) -> Path:
        """Settings, data, versions, revision: how to make the run again."""
        return self.folder / "config.json"

    @property
    def prices(self) -> Path:
        """The prices it was trained on, so that evaluation needs no other source."""
        return self.folder / "prices.npz"

    @property
    def model(self) -> Path:
        """The trained model; its presence says that the run is complete."""
        return self.folder / "model.keras"

    @property
    def best_model(self) -> Path:
        """The model of the epoch with the lowest training loss."""
        return self.folder / "best.keras"

    @property
    def checkpoint(self) -> Path:
        """All state after the last finished epoch."""
        return self.folder / "checkpoint.npz"

    @property
    def history(self) -> Path:
        """A row an epoch."""
        return self.folder / "history.csv"

    @property
    def spectrum(self) -> Path:
        """The Hessian's eigenvalues by epoch, with residuals and Ritz values."""
        return self.folder / "spectrum.npz"

    @property
    def evaluations(self) -> Path:
        """What the model said of other prices, one folder a series."""
        return self.folder / "evaluations"

    @property
    def complete(self) -> bool:
        """Whether training came to its end."""
        return self.model.exists()


@dataclasses.dataclass(frozen=True)
class Record:
    """What `config.json` says of a run."""

    config: Config
    data: dict[str, Any]
    made_by: dict[str, Any]


def run_name(config: Config) -> str:
    """The settings spelled out, as the appendix does, but all of them.

    The appendix names symbol, rates, sizes and epochs; runs that differed in
    anything else overwrote each other. Here the main settings are always
    spelled out, every other one when it is not the default, and values that
    cannot stand in a file name are replaced by a hash of themselves.
    """
    c = config
    name = (
        f"{_slug(c.symbol.removeprefix('^'))}_{c.optimizer}_lr{c.init_learning_rate:g}"
        f"_decay{c.learning_rate_decay:g}_{c.cell}{c.lstm_size}x{c.num_layers}_step{c.num_steps}"
        f"_input{c.input_size}_batch{c.batch_size}_epoch{c.max_epoch}_seed{c.seed}"
    )
    spelled = {
        *("symbol", "optimizer", "init_learning_rate", "learning_rate_decay", "cell"),
        *("lstm_size", "num_layers", "num_steps", "input_size", "batch_size", "max_epoch", "seed"),
    }
    for setting, (value, _) in config.differences(Config()).items():
        if setting not in spelled:
            name += f"_{setting.replace('_', '')}-{_slug(str(value))}"
    if len(name) > 200:
        name = f"{name[:180]}_{_short_hash(name)}"
    return name


def series_name(prices: Prices) -> str:
    """A folder's name for a series of prices: no two series share one."""
    return f"{_slug(prices.symbol.removeprefix('^'))}_{prices.source}_{prices.sha256[:8]}"


def _slug(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.=+-]{1,40}", text):
        return text
    kept = re.sub(r"[^A-Za-z0-9]+", "-", Path(text).stem)[:24].strip("-")
    return f"{kept}-{_short_hash(text)}" if kept else _short_hash(text)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def create(run: Run, config: Config, prices: Prices, *, overwrite: bool) -> None:
    """Make the run's folder with its prices and its record.

    Raises:
        UserError: the run exists and `overwrite` is not set, the folder holds
            something else, or it cannot be written.
    """
    if run.folder.exists():
        _make_room(run, overwrite=overwrite)
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        run.logs.mkdir(parents=True, exist_ok=True)
        _write_prices(run.prices, prices)
        _write_record(run.config, config, prices)
    except OSError as error:
        raise UserError(
            f"cannot write the run to {run.folder} and {run.logs}: {error.strerror}; "
            "choose other folders with --models-dir and --logs-dir"
        ) from error


def _make_room(run: Run, *, overwrite: bool) -> None:
    if not run.config.exists():
        # What a kill between mkdir and the record leaves is ours; nothing else is.
        foreign = {path.name for path in run.folder.iterdir()} - {run.prices.name}
        if any(not name.startswith(".tmp-") for name in foreign):
            raise UserError(f"{run.folder} exists and is not a run; choose another --run-name")
        return
    if not overwrite:
        state = "is complete" if run.complete else "was interrupted"
        advice = "" if run.complete else "--resume goes on with it, "
        raise UserError(
            f"run {run.folder} exists and {state}: {advice}--overwrite starts again, "
            "--run-name makes another"
        )
    shutil.rmtree(run.folder)
    shutil.rmtree(run.logs, ignore_errors=True)


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Keep other processes from training the same run meanwhile.

    Raises:
        UserError: another process trains it, or the folder cannot be written.
    """
    # Beside the folder, so that --overwrite can remove the folder under the lock.
    lock = filelock.FileLock(run.models_dir / f".{run.name}.lock", blocking=False)
    try:
        run.models_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"run {run.folder} is being trained by another process") from None
    except OSError as error:
        raise UserError(
            f"cannot write to {run.models_dir}: {error.strerror}; choose another --models-dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_run(name: str | Path | None, models_dir: Path, logs_dir: Path) -> Run:
    """An existing run, by its name, by the path of its folder, or the newest.

    Raises:
        UserError: there is no such run.
    """
    if name is None:
        return newest_run(models_dir, logs_dir)
    path = Path(name)
    if len(path.parts) > 1 or (path / "config.json").is_file():
        path = path.absolute()
        run = Run(path.name, path.parent, logs_dir)
    else:
        run = Run(str(name), models_dir, logs_dir)
    if not run.config.is_file():
        raise UserError(f"no run at {run.folder}: train it with train.py, or name another")
    return run


def newest_run(models_dir: Path, logs_dir: Path) -> Run:
    """The run that was trained last.

    Raises:
        UserError: there is none.
    """
    records = sorted(models_dir.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not records:
        raise UserError(f"no runs in {models_dir}: make one with train.py, or give --models-dir")
    return Run(records[-1].parent.name, models_dir, logs_dir)


def read_record(run: Run) -> Record:
    """The run's settings and what they were applied to.

    Raises:
        UserError: the record is missing or damaged.
    """
    try:
        content = json.loads(run.config.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise UserError(f"format {content['format']!r} is not {_FORMAT}")
        return Record(Config.from_dict(content["config"]), content["data"], content["made_by"])
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(
            f"{run.config} is damaged ({error}); train the run again with --overwrite"
        ) from error


def read_prices(run: Run) -> Prices:
    """The prices that the run was trained on.

    Raises:
        UserError: they are missing, damaged, or not the recorded ones.
    """
    record = read_record(run)
    try:
        with np.load(run.prices, allow_pickle=False) as arrays:
            prices = Prices(
                symbol=record.data["symbol"],
                source=record.data["source"],
                dates=arrays["dates"].astype("datetime64[s]"),
                close=arrays["close"],
                open=arrays.get("open"),
                dropped=record.data["dropped"],
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{run.prices} is damaged ({error}); train the run again") from error
    if prices.sha256 != record.data["sha256"]:
        raise UserError(f"{run.prices} is not what the run was trained on; train the run again")
    return prices


def describe_data(prices: Prices) -> dict[str, Any]:
    """What of the prices goes into the record."""
    return {
        "symbol": prices.symbol,
        "source": prices.source,
        "first": str(prices.dates[0]),
        "last": str(prices.dates[-1]),
        "count": len(prices),
        "dropped": prices.dropped,
        "sha256": prices.sha256,
    }


def _write_prices(path: Path, prices: Prices) -> None:
    arrays: dict[str, Any] = {"dates": prices.dates.astype(np.int64), "close": prices.close}
    if prices.open is not None:
        arrays["open"] = prices.open
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def _write_record(path: Path, config: Config, prices: Prices) -> None:
    content = {
        "format": _FORMAT,
        "config": config.to_dict(),
        "data": describe_data(prices),
        "made_by": {
            "command": config.command(),
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {"stock_rnn": __version__}
            | {name: importlib.metadata.version(name) for name in _PACKAGES},
            "git_revision": _git_revision(),
        },
    }
    write_json(path, content)


def write_json(path: Path, content: Any) -> None:
    """Strict JSON (no NaN), written whole or not at all."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _git_revision() -> str | None:
    """The checkout's revision, `-dirty` if it has changes; None outside git."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
