"""The report's experiments as settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stock_rnn.config.config import Config
from stock_rnn.config.rules import refuse_ignored
from stock_rnn.errors import UserError

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
