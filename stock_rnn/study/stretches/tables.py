"""The tables of the claims over stretches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stock_rnn.study.judge.statistics import CONFIDENCE
from stock_rnn.study.stretches.judge import Judged, Ran
from stock_rnn.study.stretches.plan import TRAININGS

#: Name of a table -> what it shows.
CAPTIONS = {
    "pooled": "A line a claim: the mean over the stretches (geometric for ratios), its intervals, "
    "on how many stretches the claim holds by itself, and the lowest and highest stretch. "
    "`factor` and `freedom` correct the bootstrap's interval for the days that stretches share.",
    "effects": "A line a claim and stretch: the mean over its seeds, with Student's 95 % interval "
    "over these, and whether it is in the claim's region.",
    "losses": "A line a stretch: persistence's losses, and the final ones of the networks, dropout "
    "on, geometric means over the seeds.",
}


def all_tables(judged: Sequence[Judged], stretches: Sequence[Ran]) -> dict[str, pd.DataFrame]:
    """Name -> table, by the names of `CAPTIONS`."""
    return {"pooled": pooled(judged), "effects": effects(judged), "losses": losses(stretches)}


def pooled(judged: Sequence[Judged]) -> pd.DataFrame:
    """A row a claim, in the statistic's own units."""
    rows = []
    for one in judged:
        verdict = one.verdict
        values = [of.value for of in one.effects]
        rows.append(
            {
                "claim": verdict.claim.id,
                "statistic": verdict.claim.statistic,
                "verdict": verdict.verdict,
                "about": verdict.about,
                "stretches": verdict.seeds,
                "holds_on": sum(of.holds for of in one.effects),
                "value": verdict.value,
                "low": verdict.interval[0],
                "high": verdict.interval[1],
                "deciding_low": verdict.deciding[0],
                "deciding_high": verdict.deciding[1],
                "deciding_confidence": verdict.confidence,
                "region_low": verdict.claim.region[0],
                "region_high": verdict.claim.region[1],
                "lowest": min(values, default=np.nan),
                "highest": max(values, default=np.nan),
                "standard_error": one.pooled.standard_error,
                "factor": one.pooled.factor,
                "freedom": one.pooled.freedom,
                "runs": " ".join(verdict.runs),
            }
        )
    return pd.DataFrame(rows)


def effects(judged: Sequence[Judged]) -> pd.DataFrame:
    """A row a claim and stretch, in the statistic's own units."""
    return pd.DataFrame(
        [
            {
                "claim": one.verdict.claim.id,
                "stretch": of.stretch.name,
                "value": of.value,
                "low": of.interval[0],
                "high": of.interval[1],
                "confidence": CONFIDENCE,
                "holds": of.holds,
                "seeds": len(of.values),
                "runs": " ".join(of.sample.runs),
            }
            for one in judged
            for of in one.effects
        ]
    )


def losses(stretches: Sequence[Ran]) -> pd.DataFrame:
    """A row a stretch: mean squared errors of changes of the price, so without units."""
    rows = []
    for stretch in stretches:
        persistence = stretch.records[0].persistence
        row = {
            "stretch": stretch.name,
            "first": str(stretch.first),
            "last": str(stretch.last),
            "days": stretch.data["count"],
            "seeds": len({record.config.seed for record in stretch.records}),
            "persistence_train": persistence["train"],
            "persistence_test": persistence["test"],
        }
        for size, optimizer in TRAININGS:
            wanted = [
                record
                for record in stretch.records
                if record.config.optimizer == optimizer and record.network == (1, size)
            ]
            for which in ("train", "test"):
                row[f"{optimizer}_1x{size}_{which}"] = _geometric_mean(
                    [record.last(f"{which}_loss_dropout") for record in wanted]
                )
        rows.append({**row, "runs": " ".join(record.key for record in stretch.records)})
    return pd.DataFrame(rows)


def _geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else np.nan
