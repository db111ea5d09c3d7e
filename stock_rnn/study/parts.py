"""What a part of the study beside the report's own experiments has to show.

A part is a package of its own below `stock_rnn.study`, such as `tuned`, with two functions:

- `run(data, prices, folder, submit, seeds)` trains what is missing. Its records stand among the
  study's, in `folder.runs`, so that parts share runs. It writes which it has, and the command,
  to `folder.part(NAME).study`, by `folder.write_study`.
- `findings(folder)` computes everything that is shown from those records; None if the part was
  not run there. Nothing is trained.

`PACKAGES` is the list of them.

Its claims are a registry of their own (`registry.PARTS`), committed before the runs, and a
family of their own for Holm's method.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # The names of the parts are in --help, which must be quick.
    import pandas as pd
    from matplotlib.figure import Figure

    from stock_rnn.study.judge.verdicts import Verdict

#: The report's own experiments, which are no package of this kind.
REPORT = "report"

#: Name -> package of each further part, in the order in which they are run and shown.
PACKAGES: dict[str, str] = {
    name: f"stock_rnn.study.{name}" for name in ("tuned", "stretches", "escape")
}


def names() -> list[str]:
    """All parts, in the order in which they are run and shown."""
    return [REPORT, *PACKAGES]


def package(name: str) -> Any:
    """The package of a further part, imported when it is asked for.

    Args:
        name: a key of `PACKAGES`.
    """
    return importlib.import_module(PACKAGES[name])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """The verdicts, tables and figures of a part.

    Attributes:
        name: of the part: its folder and the prefix of its files.
        title: a heading for the page.
        words: what was done and what came out, in plain words, a paragraph each.
        verdicts: on the claims of its registry, in its order.
        tables: name -> table; a column "runs" has the keys of the records behind a row.
        figures: name -> figure.
        captions: name of a table or figure -> what it shows.
    """

    name: str
    title: str
    words: Sequence[str]
    verdicts: Sequence[Verdict]
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Figure]
    captions: Mapping[str, str]
