"""What the site needs beyond Sphinx's own extensions.

- Pages that stand at the repository's top (README.md, ...) are pages of the site too.
- Formulas become MathML, which browsers draw by themselves: no script, no network.
- Docstrings keep to Google's style, with formulas in indented blocks.
- The comment behind a field of a dataclass is its description.
- A public name in backticks is a link to the reference.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import posixpath
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[1]

# Page of the site -> the file at the repository's top that it shows.
TOP_PAGES = {"index": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}

# Packages whose public names are linked; the same object is documented under the first.
PACKAGES = ("curvature", "prices", "data", "network", "optimizers", "forecasting", "")

# A Markdown link or image: what is before the target, the target, its anchor.
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")

# Words that begin a section of a docstring.
_SECTION = re.compile(r"^[A-Z][A-Za-z]*s?:$")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything."""
    app.connect("source-read", insert_top_page)
    # Before Napoleon, whose priority is 500.
    app.connect("autodoc-process-docstring", describe_fields, priority=300)
    app.connect("autodoc-process-docstring", keep_formulas, priority=400)
    app.add_transform(LinkPublicNames)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": False, "version": "1"}


# Pages


def insert_top_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the file at the repository's top before what the page has, and lead links to pages."""
    folder = posixpath.join("docs", posixpath.dirname(docname))
    if docname in TOP_PAGES:
        path = ROOT / TOP_PAGES[docname]
        app.env.note_dependency(str(path))
        source[0] = path.read_text("utf-8") + "\n" + source[0]
        folder = ""
    pages = {name: f"docs/{page}.md" for page, name in TOP_PAGES.items()}

    def on_site(match: re.Match[str]) -> str:
        before, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        here = posixpath.dirname(f"docs/{docname}")
        return f"{before}{posixpath.relpath(pages.get(path, path), here)}{anchor}"

    if app.env.doc2path(docname).suffix == ".md":
        source[0] = _LINK.sub(on_site, source[0])


# Formulas


def _mathml(node: nodes.Element, display: str) -> str:
    try:
        return convert(node.astext(), display=display)
    except Exception as error:  # Its exceptions share no class.
        raise ExtensionError(f"The formula {node.astext()!r} cannot be read: {error!r}") from error


def _inline(writer: Any, node: nodes.Element) -> None:
    writer.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.Element) -> None:
    writer.body.append(f'<div class="math">{_mathml(node, "block")}</div>')
    raise nodes.SkipNode


# Docstrings


def describe_fields(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Add the fields of a dataclass that have a comment behind them, as a section."""
    if what != "class" or not dataclasses.is_dataclass(obj) or "Attributes:" in lines:
        return
    found = re.findall(r"^    (\w+): [^#\n]*  # (?!type:)(.*)$", inspect.getsource(obj), re.M)
    if found:
        lines += ["", "Attributes:", *(f"    {field}: {text}" for field, text in found), ""]


def keep_formulas(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Make indented blocks literal, and characters harmless that mean something to Sphinx."""
    # An empty comment: Napoleon takes what is before a colon in a property's first line
    # for its type.
    kept: list[str] = ["..", ""] if what == "property" else []
    before, literal = "", False  # the last line that is not blank; whether in a block
    for line in lines:
        indented = line.startswith("    ")
        if line and not indented:
            literal = False
        starts = indented and kept and not kept[-1] and not before.startswith(" ")
        if starts and not _SECTION.match(before) and not literal:
            literal = True
            kept += ["::", ""]
        kept.append(line if literal or line.lstrip().startswith(">>>") else _escaped(line))
        before = line or before
    lines[:] = kept


def _escaped(line: str) -> str:
    """Bars, trailing underscores and a single star are no markup; in backticks all stays."""
    parts = re.split(r"(`+[^`]*`+)", line)
    for k in range(0, len(parts), 2):
        part = re.sub(r"(\||(?<=\w)_(?=\W|$))", r"\\\1", parts[k])
        if part.count("*") == 1:
            part = part.replace("*", r"\*")
        # `name`s: markup has to end at the end of a word.
        parts[k] = r"\ " + part if k and part[:1].isalnum() else part
    return "".join(parts)


# Links to the reference


def public_names() -> dict[str, str]:
    """Public name -> the name under which the reference has it."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        module = importlib.import_module(f"stock_rnn.{package}".rstrip("."))
        for name in module.__all__:
            if inspect.isclass(thing := getattr(module, name)) or inspect.isfunction(thing):
                found.setdefault(name, f"{module.__name__}.{name}")
    return found


class LinkPublicNames(SphinxTransform):
    """Turns `name` into a link, where it is a public name; a missing entry is an error."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Replace the nodes."""
        names = public_names()
        for node in list(self.document.findall(nodes.literal)):
            target = names.get(node.astext())
            if target is None or isinstance(node.parent, nodes.title | nodes.reference):
                continue
            link = pending_xref(
                "", node.deepcopy(), refdomain="py", reftype="obj", reftarget=target, refwarn=True
            )
            link["refdoc"] = self.env.docname
            node.replace_self(link)
