"""Settings as fields of a dataclass: what the flags and the checks read of them."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import operator
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from stock_rnn.errors import UserError

# The bounds a setting may have: name -> the comparison that must hold.
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "at_least": operator.ge,
    "above": operator.gt,
    "at_most": operator.le,
    "below": operator.lt,
}


def setting(default: Any, help: str, *, choices: Iterable[str] = (), **bounds: float) -> Any:
    """A field with its help text and what `check` checks of its value.

    Args:
        default: its value if none is given.
        help: one line for the flag.
        choices: the values it may have; any if empty.
        bounds: limits by the names in `_BOUNDS`.
    """
    assert set(bounds) <= set(_BOUNDS)
    metadata = {"help": help, "choices": tuple(choices), "bounds": bounds}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A field of a dataclass of settings, as the flags and the checks read it.

    Attributes:
        name: the field's name.
        kind: int, float, str or bool.
        optional: whether it may be None.
        default: its default.
        help: one line for the flag.
        choices: the values it may have; any if empty.
        bounds: "at_least", "above", "at_most", "below" -> the limit.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...]
    bounds: Mapping[str, float]

    @property
    def flag(self) -> str:
        """Its command-line spelling."""
        return flag(self.name)


@functools.cache
def settings_of(kind: type) -> tuple[Setting, ...]:
    """Every field of a dataclass whose fields were made by `setting`, in order."""
    annotations = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        kinds = typing.get_args(annotations[field.name]) or (annotations[field.name],)
        found.append(
            Setting(
                name=field.name,
                kind=kinds[0],
                optional=types.NoneType in kinds,
                default=field.default,
                **field.metadata,
            )
        )
    return tuple(found)


def flag(name: str) -> str:
    """The command-line spelling of a setting's name."""
    return "--" + name.replace("_", "-")


def switch(name: str, on: bool) -> str:
    """The command-line spelling of a setting that is True or False."""
    return flag(name) if on else flag(name).replace("--", "--no-", 1)


def check(setting: Setting, value: Any) -> None:
    """Check one value by its setting's type, choices and bounds.

    Raises:
        UserError: it does not fit; the message names the flag.
    """
    if value is None and setting.optional:
        return
    accepted: Any = (int, float) if setting.kind is float else setting.kind
    # A bool is an int to Python.
    if not isinstance(value, accepted) or isinstance(value, bool) != (setting.kind is bool):
        _refuse(setting, f"be of type {setting.kind.__name__}", value)
    if setting.choices and value not in setting.choices:
        _refuse(setting, f"be one of {', '.join(setting.choices)}", value)
    if setting.kind is float and not math.isfinite(value):
        _refuse(setting, "be finite", value)
    if not all(_BOUNDS[name](value, limit) for name, limit in setting.bounds.items()):
        words = [f"{name.replace('_', ' ')} {limit}" for name, limit in setting.bounds.items()]
        _refuse(setting, f"be {' and '.join(words)}", value)


def _refuse(setting: Setting, wanted: str, value: Any) -> NoReturn:
    raise UserError(f"{setting.flag} must {wanted}. Received: {value!r}")


def as_text(value: Any) -> Any:
    """A day as YYYY-MM-DD, a path as its text, anything else as it is."""
    if isinstance(value, datetime.datetime):
        value = value.date()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_day(name: str, value: str | None) -> None:
    """Check that a setting is a day YYYY-MM-DD or None.

    Raises:
        UserError: it is not; the message names the flag.
    """
    if value is None:
        return
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        raise UserError(f"{flag(name)} must be a day YYYY-MM-DD. Received: {value!r}") from None
