"""The further parts of a study: collected where they were run, and written to their folders."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from stock_rnn.files import write_json
from stock_rnn.study import parts, records, registry
from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.variants import Variant
from stock_rnn.study.judge.verdicts import Verdict
from stock_rnn.study.parts import Findings
from stock_rnn.study.records import Record
from stock_rnn.study.report import files
from stock_rnn.training.runs.reading import reading


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A further part as the page shows it.

    Attributes:
        findings: its verdicts, tables and figures.
        command: that runs it.
        pictures: name of a figure -> its SVG.
        evidence: table or claim -> keys of its runs.
    """

    findings: Findings
    command: str
    pictures: Mapping[str, str]
    evidence: files.Evidence


def found_in(folder: Folder) -> list[Findings]:
    """What each part found that was run in a folder, in the order of the parts.

    Raises:
        UserError: a record is damaged.
    """
    there = [name for name in parts.PACKAGES if folder.part(name).study.exists()]
    found = [parts.package(name).findings(folder) for name in there]
    return [findings for findings in found if findings is not None]


def write(folder: Folder, findings: Findings) -> Part:
    """Write a part's files to its folder.

    Args:
        folder: of the whole study.
        findings: of the part.
    """
    own = folder.part(findings.name)
    with reading(own.study, "run the part again"):
        command = str(json.loads(own.study.read_text(encoding="utf-8"))["command"])
    verdicts = list(findings.verdicts)
    named = registry.name()
    about = {
        "command": command,
        "registry": {
            "parts": {k: v for k, v in named["parts"].items() if k.startswith(f"{own.path.name}-")},
            "rules": registry.hash_of([dict(verdict.claim.rule) for verdict in verdicts]),
            "statistics": named["statistics"],
        },
    }
    evidence = files.write_tables(own, findings.tables)
    pictures = files.write_figures(own, findings.figures)
    by_variant: dict[Variant, list[Verdict]] = {}
    for verdict in verdicts:
        by_variant.setdefault(verdict.variant, []).append(verdict)
    evidence |= files.write_verdicts(own, about, by_variant, verdicts)
    write_json(own.evidence, evidence)
    return Part(findings=findings, command=command, pictures=pictures, evidence=evidence)


def runs_of(folder: Folder, part: Part) -> list[Record]:
    """The records behind a part's tables and verdicts, by key.

    Of a part that keeps runs of another kind in its own folder, those that are the study's.
    """
    keys = {key for of in part.evidence.values() for key in of}
    paths = [folder.runs / f"{key}.json" for key in sorted(keys)]
    return [records.load(path) for path in paths if path.exists()]
