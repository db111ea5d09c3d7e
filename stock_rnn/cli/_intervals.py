"""What commands with intervals share: their flags, and the table of how good they are."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stock_rnn.cli._command import Parser, aligned
from stock_rnn.config import INTERVAL_STEP, INTERVALS
from stock_rnn.errors import UserError

if TYPE_CHECKING:
    from stock_rnn.forecasting.intervals import Intervals, IntervalScore

# Flag -> the field of `forecasting.intervals.Intervals`.
_INTERVAL_FIELDS = {
    "intervals": "method",
    "coverage": "coverage",
    "interval_step": "step",
    "interval_errors": "errors",
}


def add_intervals(parser: Parser, help_text: str) -> None:
    """Add the flags of intervals; those that are not given are absent from the arguments."""
    absent: dict[str, Any] = {"default": argparse.SUPPRESS}
    parser.add_argument("--intervals", metavar="|".join(INTERVALS), help=help_text, **absent)
    parser.add_argument(
        "--coverage",
        type=float,
        metavar="SHARE",
        help="that intervals aim at (default: 0.9)",
        **absent,
    )
    parser.add_argument(
        "--interval-step",
        type=float,
        metavar="STEP",
        help=f"of the adaptive ones: how much a miss changes (default: {INTERVAL_STEP})",
        **absent,
    )
    parser.add_argument(
        "--interval-errors",
        type=int,
        metavar="INT",
        help="how many of the newest errors intervals come from (default: 250)",
        **absent,
    )


def intervals_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of `Intervals`, by field."""
    given = vars(arguments)
    return {field: given[name] for name, field in _INTERVAL_FIELDS.items() if name in given}


def refuse_step(given: Mapping[str, Any]) -> None:
    """Refuse a step of intervals that have none.

    Raises:
        UserError: it was given, and the intervals are not the adaptive ones.
    """
    if "step" in given and given.get("method") != "adaptive":
        raise UserError("--interval-step is of --intervals adaptive alone: leave it out")


def interval_table(kind: Intervals, scores: Mapping[str, IntervalScore]) -> str:
    """How good intervals are as aligned text, a row a forecast."""
    from stock_rnn.forecasting.tables import interval_rows, intervals_heading

    return f"{intervals_heading(kind)}\n{aligned(interval_rows(scores))}"
