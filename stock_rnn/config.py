"""The configuration of a run: one dataclass from which the flags are made."""

from __future__ import annotations

import dataclasses
import datetime
import math
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from stock_rnn.errors import UserError
from stock_rnn.prices.sources import DECIMALS, SOURCES, default_symbol

SPLITS = ("chronological", "random")
CELLS = ("lstm", "gru", "simple_rnn")
INITS = ("keras", "tf1")
OPTIMIZERS = ("sgd", "rmsprop", "rmsprop-tf1", "adam")
SPECTRA = ("exact", "density")
SHUFFLES = ("batches", "windows")


def _setting(
    default: Any,
    help: str,
    *,
    choices: Iterable[str] | None = None,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A field with its help text and the bounds that `Config` checks."""
    bounds = {"least": least, "most": most, "above": above, "below": below}
    metadata = {"help": help, "choices": tuple(choices or ()), "bounds": bounds}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of a training run; the defaults are the report's table 5.2.

    Raises:
        UserError: a value is out of range; the message names its flag.
    """

    # Given or not, it is a name once the object is made.
    symbol: str = _setting(
        None, "stock symbol, as Yahoo spells it; without it ^GSPC, or the name of the CSV"
    )
    source: str = _setting(
        "auto",
        "where prices come from; auto: the CSV if one is named, else the bundled prices where "
        "they have the symbol and the span, else Yahoo",
        choices=SOURCES,
    )
    csv: str | None = _setting(None, "CSV file with a date and a close column")
    date_column: str | None = _setting(
        None, "name of the CSV's date column, where it is not Date or alike"
    )
    close_column: str | None = _setting(
        None, "name of the CSV's close column, where it is not Close or alike"
    )
    decimal: str | None = _setting(
        None, "the CSV's decimal sign, where its numbers do not tell", choices=DECIMALS
    )
    period: str = _setting("5y", "span back from the newest price: 1mo, 6mo, 1y, 5y, ytd, max, ...")
    start: str | None = _setting(None, "first day, YYYY-MM-DD; with --end, instead of --period")
    end: str | None = _setting(None, "last day, YYYY-MM-DD, itself included")
    open_and_close: bool = _setting(False, "interleave opening and closing prices day by day")

    input_size: int = _setting(1, "N, prices in a window", least=1)
    num_steps: int = _setting(
        3, "T, windows the network reads before it predicts the next", least=1
    )
    normalized: bool = _setting(True, "divide each window by the last price before it, minus one")
    split: str = _setting(
        "chronological",
        "chronological: the newest examples test; random: examples drawn at random train",
        choices=SPLITS,
    )
    test_ratio: float = _setting(
        0.1, "share of the examples that test (--split chronological)", above=0.0, below=1.0
    )
    train_ratio: float = _setting(
        0.1, "share of the examples that train (--split random)", above=0.0, below=1.0
    )

    cell: str = _setting("lstm", "recurrent cell", choices=CELLS)
    num_layers: int = _setting(1, "stacked recurrent layers", least=1, most=100)
    lstm_size: int = _setting(32, "units in a layer", least=1, most=65536)
    keep_prob: float = _setting(
        0.8, "share of each layer's outputs that dropout keeps", above=0.0, most=1.0
    )
    init: str = _setting("keras", "initial weights: Keras's or TensorFlow 1's", choices=INITS)

    optimizer: str = _setting("rmsprop", "optimizer", choices=OPTIMIZERS)
    init_learning_rate: float = _setting(0.001, "learning rate of the first epochs", above=0.0)
    learning_rate_decay: float = _setting(
        0.99, "factor on the learning rate in each epoch after --init-epoch", above=0.0, most=1.0
    )
    init_epoch: int = _setting(5, "epochs before the learning rate decays", least=0)
    max_epoch: int = _setting(50, "epochs", least=1, most=1_000_000)
    batch_size: int = _setting(64, "examples in a batch", least=1)
    shuffle: str = _setting(
        "batches",
        "batches: fixed slices in shuffled order, as the original; windows: all examples shuffled",
        choices=SHUFFLES,
    )
    hessian_every: int = _setting(
        1, "epochs between measurements of the loss's curvature; 0 measures none", least=0
    )
    hessian_samples: int = _setting(
        2048, "training examples the curvature is measured on, evenly spaced", least=1
    )
    hessian_tol: float = _setting(
        0.01,
        "residual of an eigenvalue, relative to it, at which it is accepted",
        above=0.0,
        below=1.0,
    )
    seed: int = _setting(
        0, "seed of weights, dropout, shuffling and split", least=0, most=2**32 - 1
    )

    def __post_init__(self) -> None:
        if self.symbol is None:
            object.__setattr__(self, "symbol", default_symbol(self.csv))
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if not self.symbol.strip() or len(self.symbol) > 64 or not self.symbol.isprintable():
            raise UserError(
                f"--symbol must be 1 to 64 printable characters. Received: {self.symbol!r}"
            )
        for name in ("start", "end"):
            _check_day(name, getattr(self, name))
        if self.start and self.end and self.start > self.end:
            raise UserError(f"--start must not be after --end. Received: {self.start}, {self.end}")
        if self.source == "csv" and self.csv is None:
            raise UserError("--source csv needs --csv FILE")
        if self.csv is not None and self.source not in ("auto", "csv"):
            raise UserError(
                f"--csv goes with --source csv or auto. Received: --source {self.source}"
            )
        if self.init == "tf1" and self.cell != "lstm":
            raise UserError(f"--init tf1 is defined for --cell lstm. Received: --cell {self.cell}")

    def to_dict(self) -> dict[str, Any]:
        """The settings by name, as `config.json` keeps them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The inverse of `to_dict`, also of versions without the newest settings.

        Raises:
            UserError: a name is unknown, missing, or of another type.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(fields)):
            raise UserError(f"unknown settings: {', '.join(unknown)}")
        if missing := sorted(set(fields) - set(values) - _NEWEST):
            raise UserError(f"missing settings: {', '.join(missing)}")
        return cls(**values)

    def differences(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """Name -> (ours, theirs) of every setting that differs."""
        ours, theirs = self.to_dict(), other.to_dict()
        return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}

    def command(self) -> str:
        """The shortest command line that trains this configuration."""
        words = ["python train.py"]
        reference = dataclasses.replace(Config.reference(), symbol=default_symbol(self.csv))
        for name, (ours, _) in self.differences(reference).items():
            if isinstance(ours, bool):
                words.append(flag(name) if ours else flag(name).replace("--", "--no-", 1))
            else:
                words.append(f"{flag(name)} {shlex.quote(str(ours))}")
        return " ".join(words)

    @classmethod
    def reference(cls) -> Config:
        """The defaults, against which names and commands are spelled out."""
        return cls()


def flag(name: str) -> str:
    """The command-line spelling of a setting's name."""
    return "--" + name.replace("_", "-")


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    kind = str(field.type).split(" |")[0]
    optional = "None" in str(field.type)
    if value is None and optional:
        return
    accepted: Any = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind != "bool"):
        raise UserError(f"{flag(field.name)} must be of type {kind}. Received: {value!r}")
    if choices := field.metadata["choices"]:
        if value not in choices:
            raise UserError(
                f"{flag(field.name)} must be one of {', '.join(choices)}. Received: {value!r}"
            )
        return
    bounds = field.metadata["bounds"]
    if any(bound is not None for bound in bounds.values()):
        _check_bounds(field.name, value, **bounds)
    elif kind == "float" and not math.isfinite(value):
        raise UserError(f"{flag(field.name)} must be finite. Received: {value}")


def _check_bounds(
    name: str,
    value: float,
    least: float | None,
    most: float | None,
    above: float | None,
    below: float | None,
) -> None:
    wanted = []
    if least is not None:
        wanted.append((value >= least, f"at least {least}"))
    if above is not None:
        wanted.append((value > above, f"above {above:g}"))
    if most is not None:
        wanted.append((value <= most, f"at most {most:g}"))
    if below is not None:
        wanted.append((value < below, f"below {below:g}"))
    wanted.append((math.isfinite(value), "finite"))
    if not all(holds for holds, _ in wanted):
        words = " and ".join(word for _, word in wanted if word != "finite" or len(wanted) == 1)
        raise UserError(f"{flag(name)} must be {words}. Received: {value}")


def _check_day(name: str, value: str | None) -> None:
    if value is None:
        return
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        raise UserError(f"{flag(name)} must be a day YYYY-MM-DD. Received: {value!r}") from None


#: Settings that are None in runs of versions which did not have them.
_NEWEST = {"date_column", "close_column", "decimal"}

_REPORT = {"num_layers": 1, "lstm_size": 32, "max_epoch": 50, "num_steps": 3}

#: Preset name -> the settings it changes from the defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "table5.1": {**_REPORT, "optimizer": "sgd"},
    "table5.2": {**_REPORT, "optimizer": "rmsprop"},
    "table5.3": {**_REPORT, "optimizer": "rmsprop", "lstm_size": 128},
    "table5.4": {**_REPORT, "optimizer": "rmsprop", "lstm_size": 128, "num_layers": 5},
    # The list of section 5.1, which names no size.
    "chapter5": {**_REPORT, "optimizer": "rmsprop", "num_layers": 3, "max_epoch": 100},
    "appendix": {**_REPORT, "optimizer": "adam", "lstm_size": 128, "num_steps": 30},
}
DEFAULT_PRESET = "table5.2"


def resolve(preset: str | None, overrides: Mapping[str, Any]) -> Config:
    """Defaults, then the preset, then what was given explicitly.

    Raises:
        UserError: the preset is unknown or a value is out of range.
    """
    name = DEFAULT_PRESET if preset is None else preset
    if name not in PRESETS:
        raise UserError(f"--preset must be one of {', '.join(PRESETS)}. Received: {name!r}")
    return Config(**{**PRESETS[name], **overrides})
