"""Everything that is shown of the stretches, computed from their records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stock_rnn.study import records
from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.verdicts import UNDECIDED
from stock_rnn.study.parts import Findings
from stock_rnn.study.stretches import tables
from stock_rnn.study.stretches.figures import forest
from stock_rnn.study.stretches.judge import Judged, Ran, judge
from stock_rnn.study.stretches.run import NAME
from stock_rnn.training.runs.reading import reading

_TITLE = "At other times: stretches of prices"


def findings(folder: Folder) -> Findings | None:
    """The verdicts over stretches with tables and figures; None if no run is finished there.

    Runs that are not finished are left out: what there is is judged.

    Raises:
        UserError: a file is damaged.
    """
    every = _read(folder)
    if not every:
        return None
    judged = judge(every)
    figures = {f"forest_{one.verdict.claim.id}": forest(one) for one in judged if one.effects}
    captions = {
        f"forest_{one.verdict.claim.id}": f"{one.verdict.claim.statistic}. A line a stretch with "
        "Student's 95 % interval over its seeds; at the foot the mean over stretches, thick at "
        "95 %, thin as it decided. Shaded: the claim's region, and on how many stretches the claim "
        "holds alone. Dropout is on."
        for one in judged
        if one.effects
    }
    return Findings(
        name=NAME,
        title=_TITLE,
        words=_words(judged, every),
        verdicts=[one.verdict for one in judged],
        tables=tables.all_tables(judged, every),
        figures=figures,
        captions={**tables.CAPTIONS, **captions},
    )


def _read(folder: Folder) -> list[Ran]:
    """The stretches that have finished runs."""
    path = folder.path / NAME / "study.json"
    if not path.exists():
        return []
    with reading(path, "run this part of the study again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        every = [
            Ran(
                name=str(of["name"]),
                own=bool(of["own"]),
                data=of["data"],
                records=_finished(folder.runs, of["runs"]),
            )
            for of in content["stretches"]
        ]
    return [of for of in every if of.records]


def _finished(folder: Path, keys: Sequence[str]) -> list[records.Record]:
    # A key becomes a path, so it must be the hexadecimal number that `Task.key` makes.
    paths = [folder / f"{int(key, 16):016x}.json" for key in keys]
    return [records.load(path) for path in paths if path.exists()]


def _words(judged: Sequence[Judged], every: Sequence[Ran]) -> list[str]:
    """What was done and what came out, a paragraph each."""
    counts = sorted({len({record.config.seed for record in of.records}) for of in every})
    seeds = " to ".join(dict.fromkeys(str(count) for count in (counts[0], counts[-1])))
    symbols = Counter(of.data["symbol"] for of in every if not of.own)
    bundled = " and ".join(f"{count} of {symbol}" for symbol, count in symbols.items())
    own = next((of.name for of in every if of.own), None)
    done = (
        f"The claims on other times: {len(every)} stretches of prices, {bundled or 'none bundled'}"
        f"{f', and {own}' if own else ''}. A bundled stretch is five calendar years, and one "
        f"starts each year. Every network is trained on each, with {seeds} "
        f"seed{'s' if counts[-1] > 1 else ''}."
    )
    treated = (
        "Stretches that start a year apart share four years, and the two indices move together, "
        "so they are far fewer than they look. Resamples take whole blocks of successive years "
        "with both indices, and the intervals are widened as if stretches had in common all that "
        "their days have."
    )
    told = [of.verdict for of in judged if of.verdict.verdict != UNDECIDED]
    came_out = [
        f"{len(told)} of {len(judged)} claims are decided about stretches.",
        *(
            f"{of.verdict.claim.id}: {of.verdict.verdict}; alone, it holds on "
            f"{sum(effect.holds for effect in of.effects)} of {len(of.effects)} stretches."
            for of in judged
        ),
    ]
    return [done, treated, " ".join(came_out)]
