"""The page: no external files, no broken links, user text escaped."""

import dataclasses
import html
import html.parser

import pytest

from stock_rnn.study.report.questions import QUESTIONS
from tests.browser import WIDTHS, look_at

pytestmark = pytest.mark.pictures


class Page(html.parser.HTMLParser):
    """The ids of a page, the targets of its links, and what it loads from elsewhere."""

    def __init__(self):
        super().__init__()
        self.external, self.ids, self.targets = [], set(), []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        for name in ("src", "href"):
            value = attrs.get(name, "")
            if value.startswith("#"):
                self.targets.append(value[1:])
            elif value and not value.startswith("data:"):
                self.external.append(value)
        if tag == "link":
            self.external.append("link")


def test_the_page_has_no_external_files_and_no_broken_links(drawn, grid):
    page = Page()
    page.feed(drawn.page.read_text(encoding="utf-8"))
    assert page.external == []
    assert {grid[0].key, grid[-1].key} <= set(page.targets)
    assert set(page.targets) <= page.ids
    for name in ("sgd-test-loss", "gradient-falls-as-proved", "no-rule", "figure-escapes", "size"):
        assert name in page.ids


def test_the_page_opens_with_the_sentences_then_a_picture_then_the_questions(drawn):
    text = html.unescape(drawn.page.read_text(encoding="utf-8"))
    *sentences, _ = drawn.markdown.read_text(encoding="utf-8").splitlines()[:4]
    places = [text.index(part) for part in (*sentences, 'id="figure-losses"', 'id="questions"')]
    places += [text.index(f'<section id="{question.id}">') for question in QUESTIONS]
    assert places == sorted(places)
    assert len(sentences) == 3


def test_a_question_has_its_verdicts_folded_with_words_before_numbers(drawn):
    text = html.unescape(drawn.page.read_text(encoding="utf-8"))
    section = text[text.index('<section id="faster">') :]
    claim = section[section.index('<details class="claims">') : section.index("</details>")]
    words = "RMSProp needs fewer epochs than SGD."
    parts = (
        words,
        "Holds in 0 of ",
        "RMSProp beat up plain SGD",
        "epochs of SGD",
        "more than",
    )
    places = [claim.index(part) for part in parts]
    assert places == sorted(places)


# Pixels of the smallest letters of each picture, and whether it moves in its own box.
_LETTERS = """() => [...document.querySelectorAll("figure svg[role=img]")].map(svg => {
  document.querySelectorAll("details").forEach(e => { e.open = true; });
  const texts = [...svg.querySelectorAll("g[id*='-text_'] g[transform*=scale]")];
  const sizes = texts.map(e => e.getScreenCTM()).map(m => 100 * Math.hypot(m.a, m.b));
  const box = svg.parentElement;
  return [Math.min(...sizes), texts.length, box.scrollWidth > box.clientWidth];
})"""


@pytest.mark.parametrize("width", WIDTHS)
def test_letters_in_pictures_can_be_read(width, drawn, browser):
    view = browser.new_page(viewport={"width": width, "height": 844})
    view.goto(drawn.page.resolve().as_uri())
    found = view.evaluate(_LETTERS)
    view.close()
    assert len(found) > 5
    for pixels, count, moves in found:
        assert count > 5
        assert pixels >= 9.0
        assert not moves


@pytest.mark.parametrize("width", WIDTHS)
def test_in_a_browser_nothing_overflows_and_everything_can_be_read(width, drawn, browser):
    faults, pictures, texts = look_at(browser, drawn.page, width)
    assert faults == []
    assert pictures > 5
    assert texts > 500


@pytest.mark.parametrize("symbol", ["$A_$<script>alert(1)</script>a\\b{{ data }}"])
def test_a_symbol_is_shown_as_text(symbol, grid, draw, tmp_path):
    data = {**grid[0].data, "symbol": symbol}
    # Without curvature there are few figures to draw.
    record = dataclasses.replace(grid[0], data=data, epochs=without_curvature(grid[0]))
    folder = draw(tmp_path, [record])
    text = folder.page.read_text(encoding="utf-8")
    assert f"<p>{html.escape(symbol, quote=True)}, 20" in text
    assert "<script>alert" not in text
    # The title in the figure shows the symbol as it is.
    title = f"Figure 5.1: sgd, 1 x 32, {symbol}"
    comments = html.unescape((folder.figures / "figure_5.1.svg").read_text(encoding="utf-8"))
    assert title in comments


def without_curvature(record):
    kept = ("epoch", "step", "learning_rate")
    return {n: v for n, v in record.epochs.items() if n in kept or "loss" in n}
