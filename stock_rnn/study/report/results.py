"""Write everything that is computed from a study's records."""

from __future__ import annotations

from collections.abc import Sequence

from stock_rnn.files import write_json
from stock_rnn.study import registry
from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.variants import PRIMARY, VARIANTS
from stock_rnn.study.judge.verdicts import Verdict, judge_all
from stock_rnn.study.parts import Findings
from stock_rnn.study.records import Record, Study
from stock_rnn.study.report import figures, files, further, tables
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
    runs = [*found, *further.runs_of(folder, written, found)]
    files.write_csv(folder.table, tables.runs_table(runs))
    files.write_text(folder.page, render_page(runs, grid, written))
    return (list(grid.by_variant[PRIMARY]) if grid else []), runs


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
    about = {"command": command, "data": found[0].data, "registry": registry.name()}
    evidence |= files.write_verdicts(folder, about, by_variant)
    write_json(folder.evidence, evidence)
    return Grid(
        command=command,
        data=found[0].data,
        by_variant=by_variant,
        tables=all_tables,
        pictures=pictures,
        evidence=evidence,
    )
