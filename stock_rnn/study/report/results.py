"""Writing and reading a study's folder: everything that is drawn from its records."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from stock_rnn.errors import UserError
from stock_rnn.files import replacing, write_json
from stock_rnn.study import records
from stock_rnn.study.judge.claims import PRIMARY, VARIANTS, Study
from stock_rnn.study.judge.verdicts import Verdict, judge_all, show
from stock_rnn.study.records import Record
from stock_rnn.study.report import figures, tables
from stock_rnn.study.report.page import render_page

_log = logging.getLogger("stock_rnn.study")

# So that a figure drawn twice is the same file.
_REPEATABLE: Any = {"svg.hashsalt": "stock_rnn", "svg.fonttype": "path"}


class Folder:
    """The places of a study's files; nothing is read or written.

    Args:
        path: the folder, `results` by default.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"
        self.study = path / "study.json"
        self.table = path / "runs.csv"
        self.verdicts = path / "verdicts.json"
        self.markdown = path / "verdicts.md"
        self.evidence = path / "evidence.json"
        self.tables = path / "tables"
        self.figures = path / "figures"
        self.logs = path / "logs"
        self.page = path / "report.html"


def write_study(folder: Folder, command: str, data: dict[str, Any], keys: Iterable[str]) -> None:
    """Write down what a study consists of, before it is run.

    Args:
        folder: of the study.
        command: that makes it again.
        data: what the prices are (`runs.describe_data`).
        keys: of its tasks.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    write_json(folder.study, {"command": command, "data": data, "runs": list(keys)})


def read_study(folder: Folder) -> tuple[str, list[Record]]:
    """The command and the finished records of the study that was last run in a folder.

    Raises:
        UserError: there is none, or a file is damaged.
    """
    try:
        content = json.loads(folder.study.read_text(encoding="utf-8"))
        command = str(content["command"])
        # A key becomes a path: it must be one that `Task.key` could have made.
        paths = [folder.runs / f"{int(key, 16):016x}.json" for key in content["runs"]]
    except FileNotFoundError:
        raise UserError(
            f"{folder.path} holds no study: run python reproduce.py --results {folder.path}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder.study} is damaged ({error}); run the study again") from error
    found = [records.load(path) for path in paths if path.exists()]
    if not found:
        raise UserError(f"{folder.runs} holds no finished run of the study; run it again")
    if len(found) < len(paths):
        _log.warning(
            "%d of %d runs are not finished and left out", len(paths) - len(found), len(paths)
        )
    return command, found


def write_results(folder: Folder, command: str, found: Sequence[Record]) -> list[Verdict]:
    """Draw and write everything from records; nothing is trained.

    Returns:
        The verdicts on the primary variant.
    """
    study = Study(found)
    by_variant = {variant: judge_all(study, variant) for variant in VARIANTS}
    all_tables = tables.all_tables(study)
    for part in (folder.tables, folder.figures):
        part.mkdir(parents=True, exist_ok=True)
    _write_csv(folder.table, records.table(list(found)))
    for name, table in all_tables.items():
        _write_csv(folder.tables / f"{name}.csv", table)
    evidence: dict[str, list[str]] = {
        f"tables/{name}.csv": sorted({k for cell in table["runs"] for k in cell.split()})
        for name, table in all_tables.items()
    }
    drawn = figures.all_figures(study)
    _remove_others(folder.tables, {f"{name}.csv" for name in all_tables})
    _remove_others(folder.figures, {f"{name}{end}" for name in drawn for end in (".svg", ".png")})
    for name, (figure, shown) in drawn.items():
        _write_figure(folder.figures / name, figure)
        evidence[f"figures/{name}.svg"] = sorted({record.key for record in shown})
    for verdict in by_variant[PRIMARY]:
        evidence[f"claim {verdict.claim.id}"] = sorted(verdict.runs)
    write_json(folder.evidence, evidence)
    write_json(
        folder.verdicts,
        {
            "command": command,
            "data": found[0].data,
            "variants": {str(v): [one.to_dict() for one in of] for v, of in by_variant.items()},
        },
    )
    _write_text(folder.markdown, verdict_table(by_variant[PRIMARY]))
    pictures = {name: (folder.figures / f"{name}.svg").read_bytes() for name in drawn}
    _write_text(
        folder.page, render_page(command, found, by_variant, all_tables, pictures, evidence)
    )
    return by_variant[PRIMARY]


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a table in Markdown."""
    lines = [
        "| the report says | statistic | the report's | ours, 95 % interval | seeds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        claim, summary = verdict.claim, verdict.summary
        ours = show(summary.value)
        if summary.interval[0] == summary.interval[0]:
            ours += f" [{show(summary.interval[0])}, {show(summary.interval[1])}]"
        cells = (
            f"“{claim.says}” ({claim.section})",
            claim.statistic,
            show(claim.report),
            ours,
            str(summary.seeds),
            f"**{verdict.verdict}**",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove what an earlier study has drawn here: it would pass as part of this one."""
    for path in folder.iterdir():
        if path.suffix in {".csv", ".svg", ".png"} and path.name not in names:
            path.unlink()


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_figure(stem: Path, figure: Any) -> None:
    with mpl.rc_context(_REPEATABLE):
        for suffix, metadata in ((".svg", {"Date": None}), (".png", {"Software": None})):
            # Not with_suffix: names such as figure_5.1 have a dot of their own.
            with replacing(stem.with_name(stem.name + suffix)) as temporary:
                figure.savefig(temporary, metadata=metadata)
