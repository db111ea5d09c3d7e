"""Escape where it can be told: a saddle of the report's plateau, in closed form, with predictions.

`plan` has the runs, `runner` makes them, `theory` predicts them, `problem` is Staib et al.'s,
`sharpness` measures the ends of ordinary trainings, `measures` has the claims' statistics. A part
of the study, see `stock_rnn.study.parts`.
"""

from __future__ import annotations

from stock_rnn.study.escape.findings import findings
from stock_rnn.study.escape.run import run

__all__ = ["findings", "run"]
