"""A part of the study, made for the tests: as `stock_rnn.study.parts` says."""

import pandas as pd

from stock_rnn.study import folder as folders
from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.judge.verdicts import judge
from stock_rnn.study.parts import Findings
from stock_rnn.study.records import Study
from stock_rnn.study.report.style import new_figure

#: Settings and seeds of the calls of `run`.
CALLS = []


def run(data, prices, folder, submit, seeds):
    """Train nothing: the part has the records that are there."""
    CALLS.append((data, seeds))
    keys = sorted(path.stem for path in folder.runs.iterdir())
    folders.write_study(folder.part("made"), "python made.py", {"symbol": prices.symbol}, keys)


def findings(folder):
    """One verdict, one table, one figure."""
    _, found = folders.read_study(folder.part("made"))
    figure, (axes,) = new_figure(4, 3)
    axes.plot([0, 1], [0, 1])
    return Findings(
        name="made",
        title="A made part",
        words=("First <paragraph>.", "Second paragraph."),
        verdicts=[judge(Study(found), CLAIMS[0])],
        tables={"seeds": pd.DataFrame({"seed": [0], "runs": [found[0].key]})},
        figures={"line": figure},
        captions={"seeds": "The caption of the seeds.", "line": "The caption of the line."},
    )
