"""A report: a sentence, tables, pictures and commands, as one page without external files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure

from stock_rnn.files import atomic_write
from stock_rnn.page.svg import inline_svg
from stock_rnn.page.templates import environment


@dataclasses.dataclass(frozen=True)
class Table:
    """A table. The first cell of a row is its name.

    Attributes:
        caption: what it shows, in a few words.
        columns: their names.
        rows: of as many cells; each is shown as its text.
        numbers: whether the cells after the first are numbers, which end at the right.
        folded: whether it opens on a click only.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numbers: bool = True
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        figure: what is drawn.
        text: what it shows, in words and numbers, for those who cannot see it.
        caption: the line below it.
    """

    figure: Figure
    text: str
    caption: str
    kind: ClassVar[str] = "picture"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line."""

    line: str
    kind: ClassVar[str] = "command"


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, and what stands below it; a string is a paragraph."""

    heading: str
    parts: Sequence[str | Table | Picture | Command]


def render_page(
    title: str, sentence: str, sections: Sequence[Section], *, lead: Sequence[str] = ()
) -> str:
    """A report as HTML text. Every text is escaped: none of it is read as HTML.

    Args:
        title: of the page.
        sentence: the result, below the title.
        sections: in their order.
        lead: paragraphs between the sentence and the first section.
    """
    shown = [
        {
            "heading": section.heading,
            "parts": [
                _shown(part, f"picture-{place}-{index}") for index, part in enumerate(section.parts)
            ],
        }
        for place, section in enumerate(sections)
    ]
    template = environment().get_template("report.html")
    return template.render(title=title, sentence=sentence, sections=shown, lead=lead)


def write_page(
    path: Path,
    title: str,
    sentence: str,
    sections: Sequence[Section],
    *,
    lead: Sequence[str] = (),
) -> None:
    """Write a report, whole or not at all; arguments as of `render_page`.

    Raises:
        OSError: it cannot be written.
    """
    text = render_page(title, sentence, sections, lead=lead)
    with atomic_write(path) as part:
        # A file's name on a command line need not be UTF-8.
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def _shown(part: str | Table | Picture | Command, name: str) -> Any:
    """A part as the template takes it: a picture is drawn."""
    if not isinstance(part, Picture):
        return part
    svg = inline_svg(part.figure, part.text, name=name)
    return {"kind": part.kind, "svg": svg, "caption": part.caption}
