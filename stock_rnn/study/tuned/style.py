"""Colours and marks of the optimizers that the report's figures do not have."""

from __future__ import annotations

from typing import Any

from stock_rnn.curvature import palette
from stock_rnn.study.report.style import OPTIMIZER_STYLES
from stock_rnn.study.tuned.plan import subjects

#: Optimizer -> colour, line style and marker.
STYLES: dict[str, tuple[str, Any, str]] = {
    **OPTIMIZER_STYLES,
    "gd": (palette.LIGHT_GREY, "-", "v"),
    "momentum": (palette.ORANGE, "-", "P"),
    "nesterov": (palette.SKY_BLUE, "--", "X"),
    "adagrad": (palette.BLACK, "-.", "*"),
    "saddle-free-newton": (palette.GREY, (0, (1, 1)), "h"),
}
assert {subject.optimizer for subject in subjects()} <= set(STYLES)
