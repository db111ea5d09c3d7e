"""Write everything that is computed from a study's records."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stock_rnn.files import write_json
from stock_rnn.study import registry
from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.variants import PRIMARY, VARIANTS
from stock_rnn.study.judge.verdicts import Verdict, judge_all
from stock_rnn.study.parts import REPORT, Findings
from stock_rnn.study.records import Record, Study
from stock_rnn.study.report import figures, files, further, questions, tables
from stock_rnn.study.report.answer import three_sentences
from stock_rnn.study.report.makespan import makespans
from stock_rnn.study.report.page import Grid, render_page


def write_results(
    folder: Folder, command: str, found: Sequence[Record], parts: Sequence[Findings] = ()
) -> tuple[list[Verdict], list[Record]]:
    """Judge the claims; write tables, figures, verdicts and the page. Nothing is trained.

    Files that an earlier study left in the folder are replaced or removed.

    Args:
        folder: of the study; it exists.
        command: that repeats the report's own experiments.
        found: the records of these; none if only further parts were run.
        parts: what the further parts found.

    Returns:
        The verdicts on the primary variant; and all records, those of the parts too.
    """
    grid = _write_grid(folder, command, found) if found else None
    written = [further.write(folder, part) for part in parts]
    by_part = {part.findings.name: further.runs_of(folder, part) for part in written}
    runs = {r.key: r for of in (found, *by_part.values()) for r in of}
    together = {"all": [*runs.values()]} if len(by_part) + bool(found) > 1 else {}
    times = makespans({REPORT: found, **by_part, **together})
    folder.tables.mkdir(exist_ok=True)
    files.write_csv(folder.tables / "makespan.csv", times)
    files.write_csv(folder.table, tables.runs_table(runs.values()))
    files.write_text(folder.page, render_page([*runs.values()], grid, written, times))
    return list(grid.verdicts) if grid else [], [*runs.values()]


def _write_grid(folder: Folder, command: str, found: Sequence[Record]) -> Grid:
    """Write what the report's own experiments show, to the study's folder."""
    study = Study(found)
    by_variant = {variant: judge_all(study, variant) for variant in VARIANTS}
    all_tables = tables.all_tables(study)
    drawn = figures.all_figures(study)
    evidence = files.write_tables(folder, all_tables)
    pictures = files.write_figures(folder, {name: figure for name, (figure, _) in drawn.items()})
    evidence |= {
        f"figures/{name}.svg": sorted({record.key for record in shown})
        for name, (_, shown) in drawn.items()
    }
    verdicts, skills = by_variant[PRIMARY], all_tables.get("optimizers", pd.DataFrame())
    sentences = three_sentences(verdicts, skills)
    answers = questions.answers(verdicts, skills)
    about = {"command": command, "data": found[0].data, "registry": registry.name()}
    preface = files.answers_text(sentences, answers)
    evidence |= files.write_verdicts(folder, about, by_variant, by_variant[PRIMARY], preface)
    write_json(folder.evidence, evidence)
    return Grid(
        command=command,
        found=found,
        by_variant=by_variant,
        sentences=sentences,
        answers=answers,
        tables=all_tables,
        pictures=pictures,
        evidence=evidence,
    )
