"""The answer in three sentences, chosen by the verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from stock_rnn.study.judge.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    format_number,
)
from stock_rnn.study.report.questions import beaten


def three_sentences(verdicts: Sequence[Verdict], optimizers: pd.DataFrame) -> list[str]:
    """Is RMSProp better, why, and is anything good.

    Args:
        verdicts: on all claims of the registry.
        optimizers: `tables.optimizers`.
    """
    known = {verdict.claim.id: verdict for verdict in verdicts}
    return [_better(known), _why(known), _good(optimizers)]


def _better(known: Mapping[str, Verdict]) -> str:
    tenth, over_all = known["sgd-test-loss"], known["rmsprop-is-more-accurate"]
    if math.isnan(tenth.value):
        return "Whether RMSProp predicts better than SGD is not known: too few runs were made."
    ratio = f"SGD's is {format_number(tenth.value)} times as large"
    if tenth.verdict == REPRODUCED:
        first = f"RMSProp's test error is about a tenth of SGD's, as the report says ({ratio})"
    elif tenth.verdict == NOT_REPRODUCED and tenth.direction:
        first = (
            "RMSProp's test error is lower than SGD's in the smallest network, but not ten times "
            f"lower, as the report says ({ratio})"
        )
    elif tenth.verdict == NOT_REPRODUCED:
        first = f"RMSProp's test error is not a tenth of SGD's, as the report says ({ratio})"
    else:
        first = (
            "Whether RMSProp's test error is a tenth of SGD's, as the report says, is undecided "
            f"({ratio})"
        )
    second = {
        REPRODUCED: "over all three networks it is lower, too",
        NOT_REPRODUCED: "over all three networks it is not lower",
        UNDECIDED: "over all three networks it is undecided which is lower",
    }[over_all.verdict]
    return f"{first}; {second}."


def _why(known: Mapping[str, Verdict]) -> str:
    speed = {
        REPRODUCED: "RMSProp does learn in fewer epochs",
        NOT_REPRODUCED: "RMSProp does not learn in fewer epochs",
        UNDECIDED: "Whether RMSProp learns in fewer epochs is undecided",
    }[known["rmsprop-is-faster"].verdict]
    contrast = "but" if known["rmsprop-is-faster"].verdict == REPRODUCED else "and"
    ends = known["sgd-ends-at-a-saddle"].verdict
    held = known["sgd-is-held-by-negative-curvature"].verdict
    if ends == held == REPRODUCED:
        saddle = (
            "and it is a saddle that holds SGD: where it ends, only negative curvature leads on"
        )
    elif ends == REPRODUCED:
        saddle = "and SGD ends where negative curvature leads lower than the gradient" + (
            ", but not by much" if held == NOT_REPRODUCED else ""
        )
    elif ends == NOT_REPRODUCED:
        saddle = (
            f"{contrast} it is no saddle that holds SGD: where it ends, a step down the gradient "
            "lowers its error more than one along negative curvature"
        )
    else:
        saddle = "and whether SGD ends at a saddle is undecided"
    return f"{speed}, {saddle}."


def _good(optimizers: pd.DataFrame) -> str:
    better, count = beaten(optimizers)
    guess = "the guess that tomorrow's price is today's"
    if not count:
        return f"Whether any network beats {guess} is not known: too few runs were made."
    if not len(better):
        return f"No network beats {guess}."
    names = sorted({f"{row['optimizer']} at {row['network']}" for row in better.to_dict("records")})
    most = 100 * float(better["test_skill_iqm"].max())
    few = "Only " if len(better) < count else ""
    verb = "beats" if len(names) == 1 else "beat"
    return (
        f"{few}{', '.join(names)} {verb} {guess}: in {len(better)} of {count} kinds of run the "
        f"error is lower, by {most:.1f} % at most."
    )
