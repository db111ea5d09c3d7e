"""The configuration of a run: its settings, the presets, and what does not go together."""

from stock_rnn.config.choices import (
    ACTIVATIONS,
    CELLS,
    FIRST_ORDER,
    HYPERPARAMETERS,
    INTERVAL_STEP,
    INTERVALS,
    NO_DROPOUT,
    OPTIMIZERS,
    PRICE_SETTINGS,
    SECOND_ORDER,
    SPECTRA,
)
from stock_rnn.config.config import (
    Config,
    groups,
    settings,
)
from stock_rnn.config.other_prices import (
    on_other_prices,
    stock_file,
)
from stock_rnn.config.presets import (
    DEFAULT_PRESET,
    PRESETS,
    resolve,
)
from stock_rnn.config.rules import (
    refuse_ignored,
)

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "DEFAULT_PRESET",
    "FIRST_ORDER",
    "HYPERPARAMETERS",
    "INTERVALS",
    "INTERVAL_STEP",
    "NO_DROPOUT",
    "OPTIMIZERS",
    "PRESETS",
    "PRICE_SETTINGS",
    "SECOND_ORDER",
    "SPECTRA",
    "Config",
    "groups",
    "on_other_prices",
    "refuse_ignored",
    "resolve",
    "settings",
    "stock_file",
]
