"""A figure as SVG that stands in a page's own text."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Pixels of a page that a point of a figure has at least, and at most: ten-point letters can be
# read, and are no larger than the page's own.
_LEAST, _MOST = 0.75, 1.5

# Pixels of letters that can still be read.
_LETTERS = 9.0


def inline_svg(figure: Figure, text: str, *, name: str) -> str:
    """A figure as an SVG element of an HTML page, as wide as what it stands in, within limits.

    Letters are drawn as paths: they look the same without Matplotlib's font.

    Args:
        figure: what is drawn. The same figure gives the same element.
        text: what it shows, for those who cannot see it.
        name: letters, digits and dashes; another one for each picture of a page, because the
            names of an SVG's parts are those of the whole page.
    """
    buffer = io.StringIO()
    options: Any = {"svg.hashsalt": "stock_rnn", "svg.fonttype": "path"}
    with mpl.rc_context(options):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return embedded_svg(buffer.getvalue(), text, name=name, least=_LEAST)


def embedded_svg(svg: str, text: str, *, name: str, least: float | None = None) -> str:
    """Matplotlib's SVG file as an element of an HTML page.

    Args:
        svg: the file's text, its letters drawn as paths.
        text, name: as of `inline_svg`.
        least: pixels of the page that a point of the figure has at least; None: so many that its
            smallest letters have nine.
    """
    # Comments hold the letters of every text, the style sheet would be the whole page's.
    svg = re.sub(
        r"<!--.*?-->\n?|<metadata>.*?</metadata>\n?|<style .*?</style>\n?",
        "",
        svg,
        flags=re.DOTALL,
    )
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    start = re.search(r'<svg [^>]*?(viewBox="0 0 ([0-9.]+) [^"]*")[^>]*>', svg)
    assert start, "Matplotlib's SVG begins with another element"
    points = float(start[2])
    least = _LETTERS / _smallest_letters(svg) if least is None else least
    widths = f"min-width:{least * points:.0f}px;max-width:{max(_MOST, least) * points:.0f}px"
    opening = f'<svg role="img" aria-label="{html.escape(text)}" style="{widths}" {start[1]}>'
    return opening + svg[start.end() :]


def _smallest_letters(svg: str) -> float:
    """The size of the smallest letters, points: each text is scaled from a hundred."""
    return min((100 * float(s) for s in re.findall(r"\bscale\(([0-9.]+) -", svg)), default=10.0)
