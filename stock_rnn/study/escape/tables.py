"""The tables of this part: escapes, tuned rates, Staib et al.'s problem, batch sharpness."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stock_rnn.study.escape import plan, problem
from stock_rnn.study.escape.measures import Found, prediction
from stock_rnn.study.escape.record import EscapeRecord


def escapes(found: Found) -> pd.DataFrame:
    """A row for each optimizer, rate, kind of batches and scale; steps are medians over seeds."""
    rows = [_escape_row(runs) for runs in groups(found.records)]
    return pd.DataFrame(rows)


def groups(records: Sequence[EscapeRecord]) -> Iterator[list[EscapeRecord]]:
    """The records of one optimizer, rate, kind of batches and scale, in a fixed order."""

    def place(record: EscapeRecord) -> tuple[int, bool, bool, float]:
        run = record.run
        which = plan.OPTIMIZERS.index(run.optimizer)
        return which, run.tuned, run.batches == plan.FULL, run.scale

    found: dict[Any, list[EscapeRecord]] = {}
    for record in sorted(records, key=place):
        found.setdefault(place(record), []).append(record)
    yield from found.values()


def _escape_row(runs: Sequence[EscapeRecord]) -> dict[str, Any]:
    run = runs[0].run
    steps = np.array([r.escaped for r in runs])
    return {
        "optimizer": run.optimizer,
        "batches": run.batches,
        "scale": run.scale,
        # Saddle-free Newton has none.
        "rate": run.rate if run.optimizer in plan.FIRST_ORDER else math.nan,
        "tuned": run.tuned,
        "pace": float(np.median([r.pace for r in runs])),
        "predicted_steps": float(np.median([prediction(r) for r in runs])),
        "steps": float(np.median(steps)),
        "least_steps": float(steps.min()),
        "most_steps": float(steps.max()),
        "limit": run.limit,
        "escaped": int(np.isfinite(steps).sum()),
        "left_another_way": sum(r.left_another_way for r in runs),
        "last_loss": float(np.median([r.loss for r in runs])),
        "diverged": sum(r.diverged for r in runs),
        "seeds": len(runs),
        "runs": " ".join(r.key for r in runs),
    }


def tuned_rates(found: Found, tuning: Sequence[EscapeRecord]) -> pd.DataFrame:
    """A row for each optimizer and rate: steps until the loss stays low; infinite if it does not.

    Args:
        found: whose tuned rates are marked.
        tuning: records of `plan.tuning_runs`.
    """
    rows = []
    for optimizer in plan.FIRST_ORDER:
        for rate in plan.RATES:
            at = [r for r in tuning if (r.run.optimizer, r.run.rate) == (optimizer, rate)]
            rows.append(
                {
                    "optimizer": optimizer,
                    "rate": rate,
                    "settled_steps": float(np.mean([r.settled for r in at])),
                    "last_loss": float(np.mean([r.loss for r in at])),
                    "chosen": rate == found.tuned[optimizer],
                    "on_the_edge": rate in (plan.RATES[0], plan.RATES[-1]),
                    "runs": " ".join(r.key for r in at),
                }
            )
    return pd.DataFrame(rows)


def staib(found: Found) -> pd.DataFrame:
    """A row for each problem, optimizer and rate: median steps over seeds, and the theory's."""
    rows = []
    for row in found.staib:
        steps = [math.inf if v is None else v for v in row["steps"]]
        rows.append(
            {
                **{name: row[name] for name in ("problem", "optimizer", "tuned", "rate")},
                "predicted_steps": staib_theory(row),
                "steps": float(np.median(steps)),
                "least_steps": min(steps),
                "most_steps": max(steps),
                "runs": found.staib_key,
            }
        )
    return pd.DataFrame(rows)


def staib_theory(row: Mapping[str, Any]) -> float:
    """The predicted median of a row; NaN where there is no prediction.

    There is one for SGD and RMSProp where the noise is small along the way out. In the swapped
    problem the noise itself carries runs beyond the distance, and back: the first time is not
    that at which half of them are beyond it.
    """
    memories = {"sgd": None, "rmsprop": 0.9}
    if row["optimizer"] not in memories or row["problem"] == "swapped":
        return math.nan
    return problem.theory(row["problem"], row["rate"], memories[row["optimizer"]])


def sharpness(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> pd.DataFrame:
    """A row for each optimizer: means over seeds, and quotients by the stability line.

    Args:
        rows: of `sharpness.measure`.
        keys: of their files.
    """
    found = []
    for optimizer in dict.fromkeys(row["optimizer"] for row in rows):
        at = [k for k, row in enumerate(rows) if row["optimizer"] == optimizer]

        def mean(name: str, at: Sequence[int] = at) -> float:
            values = [math.nan if rows[k][name] is None else rows[k][name] for k in at]
            return float(np.mean(values))

        line = mean("line")
        found.append(
            {
                "optimizer": optimizer,
                "lambda_max": mean("lambda_max"),
                "line": line,
                "lambda_max_seen": mean("seen"),
                "batch_sharpness": mean("batch_sharpness"),
                "batch_lambda_max": mean("batch_lambda_max"),
                "lambda_max_seen_over_line": mean("seen") / line,
                "batch_sharpness_over_line": mean("batch_sharpness") / line,
                "batch_lambda_max_over_line": mean("batch_lambda_max") / line,
                "seeds": len(at),
                "runs": " ".join(keys[k] for k in at),
            }
        )
    return pd.DataFrame(found)
