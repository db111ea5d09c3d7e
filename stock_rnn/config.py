"""The configuration of a run: one dataclass from which the flags are made."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from stock_rnn.errors import UserError
from stock_rnn.prices.sources import DECIMALS, SOURCES, default_symbol
from stock_rnn.settings import Setting, as_text, check, check_day, flag, settings_of, switch
from stock_rnn.settings import setting as _setting

SPLITS = ("chronological", "random")
ALIGNS = ("oldest", "newest")
CELLS = ("lstm", "gru", "simple_rnn")
INITS = ("keras", "tf1")
FIRST_ORDER = (
    *("gd", "sgd", "momentum", "nesterov"),
    *("adagrad", "rmsprop", "rmsprop-tf1", "adam"),
)
SECOND_ORDER = ("newton", "saddle-free-newton")
OPTIMIZERS = (*FIRST_ORDER, *SECOND_ORDER)
PERTURBS = ("always", "stuck")
SPECTRA = ("exact", "density")
INTERVALS = ("conformal", "adaptive", "dropout")
SHUFFLES = ("batches", "windows")

#: The settings that choose the prices.
PRICE_SETTINGS = (
    *("symbol", "source", "csv", "date_column", "close_column", "decimal"),
    *("period", "start", "end"),
)

#: Setting -> the optimizers whose formula has it.
HYPERPARAMETERS = {
    "momentum": ("momentum", "nesterov"),
    "rho": ("rmsprop", "rmsprop-tf1"),
    "beta_1": ("adam",),
    "beta_2": ("adam",),
    "epsilon": ("adagrad", "rmsprop", "rmsprop-tf1", "adam"),
    "initial_accumulator_value": ("adagrad",),
    "damping": ("newton",),
    "krylov_dimension": ("saddle-free-newton",),
}

_PERTURBATION = ("perturb_radius", "perturb", "perturb_threshold", "perturb_interval")

#: γ of adaptive intervals: that of Gibbs and Candès's experiments (2021, section 4).
INTERVAL_STEP = 0.005

#: What is said of a training without dropout.
NO_DROPOUT = (
    "has no dropout for --intervals dropout: that needs --keep-prob below 1, and an optimizer of "
    "first order"
)

# The settings of runs of the first version, which had none of these and measured nothing.
_UNMEASURED = {"hessian_every": 0, "hessian_samples": 2048, "hessian_tol": 0.01}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of a training run; the defaults are the report's table 5.2.

    Days may be given as `date`, `datetime` or pandas's `Timestamp`, the CSV as a `Path`: the
    fields are strings once the object is made, as in `config.json`.

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

    input_size: int = _setting(1, "N, prices in a window", at_least=1)
    num_steps: int = _setting(
        3, "T, windows the network reads before it predicts the next", at_least=1
    )
    normalized: bool = _setting(True, "divide each window by the last price before it, minus one")
    align: str = _setting(
        "oldest",
        "where windows of several prices begin, as the original: the oldest price; newest: they "
        "end at the newest price",
        choices=ALIGNS,
    )
    split: str = _setting(
        "chronological",
        "chronological: the newest examples test; random: examples drawn at random train",
        choices=SPLITS,
    )
    test_ratio: float = _setting(
        0.1, "share of the examples that test (--split chronological)", above=0, below=1
    )
    train_ratio: float = _setting(
        0.1, "share of the examples that train (--split random)", above=0, below=1
    )
    validation_ratio: float = _setting(
        0.0,
        "share of the training examples, the newest, that validate instead: then the best epoch "
        "has the lowest validation loss, and the test examples are not looked at in training",
        at_least=0,
        below=1,
    )

    cell: str = _setting("lstm", "recurrent cell", choices=CELLS)
    num_layers: int = _setting(1, "stacked recurrent layers", at_least=1, at_most=100)
    lstm_size: int = _setting(32, "units in a layer", at_least=1, at_most=65536)
    keep_prob: float = _setting(
        0.8, "share of each layer's outputs that dropout keeps", above=0, at_most=1
    )
    init: str = _setting("keras", "initial weights: Keras's or TensorFlow 1's", choices=INITS)

    optimizer: str = _setting(
        "rmsprop",
        "optimizer; gd, newton and saddle-free-newton: one step an epoch, on all training examples",
        choices=OPTIMIZERS,
    )
    momentum: float = _setting(
        0.9, "share of the last step in the next (momentum, nesterov)", at_least=0, below=1
    )
    rho: float = _setting(
        0.9,
        "share that the mean of squared gradients keeps in a step (rmsprop, rmsprop-tf1)",
        at_least=0,
        below=1,
    )
    beta_1: float = _setting(
        0.9, "share that the mean gradient keeps in a step (adam)", at_least=0, below=1
    )
    beta_2: float = _setting(
        0.999,
        "share that the mean of squared gradients keeps in a step (adam)",
        at_least=0,
        below=1,
    )
    epsilon: float | None = _setting(
        None,
        "what is added to the squared gradients (adam: to their root); without it 1e-7, or 1e-10 "
        "(rmsprop-tf1)",
        above=0,
    )
    initial_accumulator_value: float = _setting(
        0.1, "sum of squared gradients before the first step (adagrad)", at_least=0
    )
    damping: float = _setting(
        0.001, "what is added to the Hessian's eigenvalues (newton)", at_least=0
    )
    krylov_dimension: int = _setting(
        50,
        "dimension of the space in which the Hessian is taken (saddle-free-newton)",
        at_least=1,
        at_most=1000,
    )
    perturb_radius: float = _setting(
        0.0, "norm of the random vector that is added to the gradient; 0: none", at_least=0
    )
    perturb: str = _setting(
        "always",
        "always: in every step (Ge et al. 2015); stuck: where the gradient is small and was not "
        "perturbed of late (Jin et al. 2017)",
        choices=PERTURBS,
    )
    perturb_threshold: float = _setting(
        0.001, "norm of a batch's gradient that counts as small (--perturb stuck)", above=0
    )
    perturb_interval: int = _setting(
        100,
        "steps without noise that follow one with it (--perturb stuck)",
        at_least=0,
        at_most=1_000_000_000,
    )
    init_learning_rate: float = _setting(0.001, "learning rate of the first epochs", above=0)
    learning_rate_decay: float = _setting(
        0.99, "factor on the learning rate in each epoch after --init-epoch", above=0, at_most=1
    )
    init_epoch: int = _setting(5, "epochs before the learning rate decays", at_least=0)
    max_epoch: int = _setting(50, "epochs", at_least=1, at_most=1_000_000)
    early_stopping: int = _setting(
        0,
        "end after so many epochs without a lower validation loss; 0: never "
        "(with --validation-ratio)",
        at_least=0,
    )
    batch_size: int = _setting(64, "examples in a batch", at_least=1)
    shuffle: str = _setting(
        "batches",
        "batches: fixed slices in shuffled order, as the original; windows: all examples shuffled",
        choices=SHUFFLES,
    )
    hessian_every: int = _setting(
        1, "epochs between measurements of the loss's curvature; 0 measures none", at_least=0
    )
    hessian_samples: int = _setting(
        2048, "training examples the curvature is measured on, evenly spaced", at_least=1
    )
    hessian_tol: float = _setting(
        0.01,
        "residual of an eigenvalue, relative to it, at which it is accepted",
        above=0,
        below=1,
    )
    hessian_split: bool = _setting(
        False, "measure the part of the curvature that is not the Gauss-Newton matrix's, too"
    )
    seed: int = _setting(
        0, "seed of weights, dropout, shuffling and split", at_least=0, at_most=2**32 - 1
    )

    def __post_init__(self) -> None:
        for name in ("start", "end", "csv"):
            object.__setattr__(self, name, as_text(getattr(self, name)))
        if self.symbol is None:
            object.__setattr__(self, "symbol", default_symbol(self.csv))
        for setting in settings():
            check(setting, getattr(self, setting.name))
        if not self.symbol.strip() or len(self.symbol) > 64 or not self.symbol.isprintable():
            raise UserError(
                f"--symbol must be 1 to 64 printable characters. Received: {self.symbol!r}"
            )
        for name in ("start", "end"):
            check_day(name, getattr(self, name))
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
        if self.early_stopping and not self.validation_ratio:
            raise UserError(
                "--early-stopping needs --validation-ratio: stopping by the test loss would fit "
                "the test set"
            )

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
        if missing := sorted(set(fields) - set(values) - _NEWEST - set(_UNMEASURED)):
            raise UserError(f"missing settings: {', '.join(missing)}")
        return cls(**{**_UNMEASURED, **values})

    def differences(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """Name -> (ours, theirs) of every setting that differs."""
        ours, theirs = self.to_dict(), other.to_dict()
        return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}

    def ignored(self) -> dict[str, str]:
        """Name -> why it changes nothing, of every setting that others make useless."""
        found = {}
        if self.split == "chronological":
            found["train_ratio"] = "is of --split random alone, and the split is chronological"
        if self.split == "random":
            found["test_ratio"] = "is of --split chronological alone, and the split is random"
        if self.start is not None or self.end is not None:
            found["period"] = "counts for nothing beside --start or --end"
        for name, optimizers in HYPERPARAMETERS.items():
            if self.optimizer not in optimizers:
                found[name] = f"is of --optimizer {' or '.join(optimizers)} alone"
        for name in ("perturb_threshold", "perturb_interval"):
            if self.perturb != "stuck":
                found[name] = "is of --perturb stuck alone"
        if not self.perturb_radius:
            unperturbed = "counts for nothing: --perturb-radius 0 adds no noise"
            found |= {name: unperturbed for name in _PERTURBATION if name != "perturb_radius"}
        if self.optimizer in ("gd", *SECOND_ORDER):
            whole = f"counts for nothing: --optimizer {self.optimizer} has one batch, all examples"
            found |= {"batch_size": whole, "shuffle": whole}
        if self.optimizer in SECOND_ORDER:
            found |= self._ignored_by_second_order()
        if self.hessian_every == 0:
            unmeasured = "counts for nothing: --hessian-every 0 measures no curvature"
            names = ("hessian_tol", "hessian_samples", "hessian_split")
            found |= dict.fromkeys(names, unmeasured)
        return found

    def _ignored_by_second_order(self) -> dict[str, str]:
        nothing = f"counts for nothing: --optimizer {self.optimizer}"
        rates = ("init_learning_rate", "learning_rate_decay", "init_epoch")
        return {
            **dict.fromkeys(rates, f"{nothing} makes whole steps"),
            **dict.fromkeys(_PERTURBATION, f"{nothing} adds no noise"),
            "keep_prob": f"{nothing} trains without dropout",
        }

    @property
    def has_dropout(self) -> bool:
        """Whether the network is trained with dropout."""
        return self.keep_prob < 1 and self.optimizer not in SECOND_ORDER

    def hyperparameters(self) -> dict[str, Any]:
        """Those of the optimizer by name; without the ones that it has a default of its own for."""
        own = (name for name, users in HYPERPARAMETERS.items() if self.optimizer in users)
        return {name: value for name in own if (value := getattr(self, name)) is not None}

    def perturbation(self) -> dict[str, Any]:
        """The noise on the gradient, as `stock_rnn.optimizers.Perturbed` takes it; {}: none."""
        if not self.perturb_radius or self.optimizer in SECOND_ORDER:
            return {}
        always = {"radius": self.perturb_radius, "noise_seed": self.seed}
        if self.perturb == "always":
            return always
        when = {"threshold": self.perturb_threshold, "interval": self.perturb_interval}
        return {**always, **when}

    def on_other_prices(self, given: Mapping[str, Any]) -> Config:
        """The same settings on the prices that are named.

        What is not named stays, as far as it still means the same: a new CSV brings its own
        name and columns, a new symbol comes from no CSV, and a span replaces the whole span.

        Args:
            given: settings among `PRICE_SETTINGS`, by name.

        Raises:
            UserError: a value is out of range or ignored, or a source is named without the
                symbol that it is to have.
        """
        changed: dict[str, Any] = {}
        if "csv" in given or ("symbol" in given and self.csv is not None):
            changed |= {"csv": None, "source": "auto", "symbol": None}
        elif given.get("source", "csv") != "csv" and self.csv is not None:
            if "symbol" not in given:
                raise UserError(
                    f"--source {given['source']} needs --symbol: the run's prices come from "
                    f"the file {self.csv}"
                )
            changed |= {"csv": None}
        if "csv" in given or "csv" in changed:
            changed |= {"date_column": None, "close_column": None, "decimal": None}
        if given.keys() & {"period", "start", "end"}:
            changed |= {"period": Config().period, "start": None, "end": None}
        config = dataclasses.replace(self, **{**changed, **given})
        refuse_ignored(config, given)
        return config

    def command(self) -> str:
        """The shortest command line that trains this configuration."""
        words = ["python train.py"]
        reference = dataclasses.replace(Config(), symbol=default_symbol(self.csv))
        for name, (ours, _) in self.differences(reference).items():
            if name in self.ignored():
                continue
            if isinstance(ours, bool):
                words.append(switch(name, ours))
            else:
                words.append(f"{flag(name)} {shlex.quote(str(ours))}")
        return " ".join(words)


def settings() -> tuple[Setting, ...]:
    """Every field of `Config`, in order."""
    return settings_of(Config)


#: Settings that have their default in runs of versions which did not have them.
_NEWEST = {
    *("date_column", "close_column", "decimal", "align"),
    *("validation_ratio", "early_stopping", "hessian_split"),
    *HYPERPARAMETERS,
    *_PERTURBATION,
}

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
    config = Config(**{**PRESETS[name], **overrides})
    refuse_ignored(config, overrides)
    return config


def refuse_ignored(config: Config, given: Iterable[str]) -> None:
    """Refuse settings that were given and that other settings make useless.

    Args:
        config: the whole configuration.
        given: names of the settings that were given explicitly.

    Raises:
        UserError: there is one; the message names it, and why.
    """
    ignored = config.ignored()
    for name in given:
        if name in ignored:
            raise UserError(f"{flag(name)} {ignored[name]}: leave it out")
