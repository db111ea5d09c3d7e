"""The run directory: its name, its files, its lock; finding existing runs."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import filelock

from stock_rnn.config import Config
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.prices.sources import default_symbol

# Their names go without the ^, and do so since the first version.
_INDICES = frozenset(
    f"^{name}"
    for name in (
        *("GSPC", "IXIC", "DJI", "RUT", "NDX", "VIX", "NYA", "TNX", "GSPTSE", "BVSP"),
        *("FTSE", "GDAXI", "FCHI", "STOXX50E", "STOXX", "SSMI", "IBEX", "AEX"),
        *("N225", "HSI", "AXJO", "KS11", "BSESN", "NSEI", "TWII"),
    )
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._^=+-]{0,199}")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's name and the paths of its files. Reads and writes nothing.

    Args:
        name: 1 to 200 letters, digits or ._^=+-, the first a letter or digit.
        models_dir, logs_dir: the folders of all runs.

    Raises:
        UserError: the name is another.
    """

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
        """The record: settings, data, versions, revision."""
        return self.folder / "config.json"

    @property
    def prices(self) -> Path:
        """The prices it was trained on."""
        return self.folder / "prices.npz"

    @property
    def model(self) -> Path:
        """The model after the last epoch. It is written last: a run that has it is complete."""
        return self.folder / "model.keras"

    @property
    def best_model(self) -> Path:
        """The model of the epoch with the lowest training loss."""
        return self.folder / "best.keras"

    @property
    def checkpoint(self) -> Path:
        """All state after the last finished epoch, for --resume."""
        return self.folder / "checkpoint.npz"

    @property
    def history(self) -> Path:
        """CSV, a row an epoch: learning rate, losses, curvature."""
        return self.folder / "history.csv"

    @property
    def spectrum(self) -> Path:
        """The Hessian's eigenvalues by epoch, with residuals and Ritz values."""
        return self.folder / "spectrum.npz"

    @property
    def evaluations(self) -> Path:
        """Evaluations on other prices, one folder a series."""
        return self.folder / "evaluations"

    @property
    def divergence(self) -> Path:
        """What the loss did, if it diverged; else it is not there."""
        return self.folder / "diverged.json"

    @property
    def complete(self) -> bool:
        """Whether the training is finished."""
        return self.model.exists()

    @property
    def state(self) -> str:
        """In words: complete, diverged or interrupted."""
        if self.complete:
            return "is complete"
        return "diverged" if self.divergence.exists() else "was interrupted"

    def command(self, config: Config, *words: str) -> str:
        """The command line that trains this run, with more words at its end."""
        command = [config.command()]
        if self.name != run_name(config):
            command.append(f"--run-name {shlex.quote(self.name)}")
        for flag, folder in (("models", self.models_dir), ("logs", self.logs_dir)):
            if folder != Path(flag):
                command.append(f"--{flag}-dir {shlex.quote(str(folder))}")
        return " ".join([*command, *words])


def run_name(config: Config) -> str:
    """A run's name from its settings: configurations that differ have different names.

    The main settings are always spelled out, as in the report's appendix; the others
    when they are not the default. A value that cannot stand in a file name is replaced
    by its hash.
    """
    c = config
    named_by_csv = c.csv is not None and c.symbol == default_symbol(c.csv)
    symbol = _slug(c.symbol) if named_by_csv else _symbol_slug(c.symbol)
    name = (
        f"{symbol}_{c.optimizer}_lr{_number(c.init_learning_rate)}"
        f"_decay{_number(c.learning_rate_decay)}_{c.cell}{c.lstm_size}x{c.num_layers}"
        f"_step{c.num_steps}"
        f"_input{c.input_size}_batch{c.batch_size}_epoch{c.max_epoch}_seed{c.seed}"
    )
    spelled = {
        *("symbol", "optimizer", "init_learning_rate", "learning_rate_decay", "cell"),
        *("lstm_size", "num_layers", "num_steps", "input_size", "batch_size", "max_epoch", "seed"),
    }
    for setting, (value, _) in config.differences(Config()).items():
        if setting == "csv" and named_by_csv:
            name += _csv_ending(c.symbol, value)
        elif setting not in spelled:
            name += f"_{setting.replace('_', '')}-{_slug(str(value))}"
    if len(name) > 200:
        name = f"{name[:180]}_{_short_hash(name)}"
    return name


def series_name(prices: Prices) -> str:
    """A folder's name for a series of prices; different series have different names."""
    return f"{_symbol_slug(prices.symbol)}_{prices.source}_{prices.sha256[:8]}"


def _symbol_slug(symbol: str) -> str:
    """A symbol in a name: the great indices without their ^, the stock GSPC as another."""
    bare = symbol.removeprefix("^")
    if (symbol in _INDICES) or (bare == symbol and f"^{symbol}" not in _INDICES):
        return _slug(bare)
    return f"{_slug(bare)}-{_short_hash(symbol)}"


def _number(value: float) -> str:
    """A number in a name: short where that is exact."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _csv_ending(symbol: str, csv: str) -> str:
    """How a name ends whose beginning is the name of the CSV."""
    suffix = csv.removeprefix(symbol)
    if csv.startswith(symbol) and re.fullmatch(r"(\.[A-Za-z]+)+", suffix):
        return suffix.replace(".", "_", 1)
    return f"_csv-{_short_hash(csv)}"


def _slug(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.=+-]{1,40}", text):
        return text
    kept = re.sub(r"[^A-Za-z0-9]+", "-", Path(text).stem)[:24].strip("-")
    return f"{kept}-{_short_hash(text)}" if kept else _short_hash(text)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Lock a run: no other process can train it meanwhile.

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
    """An existing run.

    Args:
        name: a run's name in `models_dir`, or the path of its folder; None for the newest
            complete one.
        models_dir, logs_dir: the folders of all runs.

    Raises:
        UserError: there is no such run.
    """
    if name is None:
        return _newest_run(models_dir, logs_dir)
    path = Path(name)
    if len(path.parts) > 1 or (path / "config.json").is_file():
        path = path.absolute()
        run = Run(path.name, path.parent, logs_dir)
    else:
        run = Run(str(name), models_dir, logs_dir)
    if not run.config.is_file():
        raise UserError(f"no run at {run.folder}: train it with python train.py, or name another")
    return run


def _newest_run(models_dir: Path, logs_dir: Path) -> Run:
    """The complete run that was begun last.

    Raises:
        UserError: there is none.
    """
    records = sorted(models_dir.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    found = [Run(record.parent.name, models_dir, logs_dir) for record in records]
    if not found:
        raise UserError(
            f"no runs in {models_dir}: make one with python train.py, or give --models-dir"
        )
    complete = [run for run in found if run.complete]
    if not complete:
        raise UserError(
            f"no complete run in {models_dir}: the newest, {found[-1].name}, {found[-1].state}"
        )
    return complete[-1]


def shorter_run(config: Config, models_dir: Path, logs_dir: Path) -> Run | None:
    """The run that a longer training with otherwise the same settings goes on with.

    Returns:
        Of the runs whose names differ from the configuration's in the number of epochs
        alone, the one with the most epochs up to the configuration's; None if there is none.
    """
    first, epochs, last = run_name(config).partition(f"_epoch{config.max_epoch}_")
    name = re.compile(f"{re.escape(first)}_epoch([0-9]+)_{re.escape(last)}")
    found = [
        (int(match[1]), path.parent.name)
        for path in models_dir.glob("*/config.json")
        if epochs and (match := name.fullmatch(path.parent.name))
    ]
    fitting = [(count, name) for count, name in found if count <= config.max_epoch]
    return Run(max(fitting)[1], models_dir, logs_dir) if fitting else None
