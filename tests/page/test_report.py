"""A report's page: every text is text, every picture has one, nothing comes from elsewhere."""

import html
import html.parser
import re

import numpy as np
import pytest

from stock_rnn.curvature.palette import new_figure
from stock_rnn.page import Command, Picture, Section, Table, inline_svg, render_page, write_page

pytestmark = pytest.mark.pictures

HOSTILE = "<script>alert('&\"')</script>{{ sentence }}"


def a_figure(title="title"):
    figure = new_figure(4, 3)
    figure.subplots().plot(np.arange(5), label="line")
    figure.suptitle(title)
    return figure


class Elements(html.parser.HTMLParser):
    """The elements of a page: (tag, attributes), and all text outside of them."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def everywhere(text):
    """A page on which a text stands wherever a caller's text can stand."""
    table = Table(text, (text, text), [(text, text)])
    folded = Table(text, (text, text), [(text, text)], numbers=False, folded=True)
    picture = Picture(a_figure(text), text, text)
    parts = [text, table, folded, picture, Command(text)]
    return render_page(text, text, [Section(text, parts)], lead=[text])


def test_a_text_is_no_element_wherever_it_stands():
    harmless, hostile = Elements(everywhere("harmless")), Elements(everywhere(HOSTILE))
    assert "script" not in {tag for tag, _ in hostile.found}
    # The glyphs in the picture differ.
    outside = [
        [tag for tag, _ in page.found if tag not in ("path", "use", "defs", "g")]
        for page in (harmless, hostile)
    ]
    assert outside[0] == outside[1]
    assert hostile.text.count(HOSTILE) == harmless.text.count("harmless") == 18
    labels = [attrs["aria-label"] for _, attrs in hostile.found if "aria-label" in attrs]
    assert labels == [HOSTILE] * len(labels)
    assert len(labels) == 6


def test_the_parts_of_several_pictures_have_different_names():
    figure = a_figure()
    page = Elements(render_page("t", "s", [Section("a", [Picture(figure, "x", "y")] * 2)] * 2))
    ids = [attrs["id"] for _, attrs in page.found if "id" in attrs]
    assert len(ids) == len(set(ids)) > 50
    targets = {
        target
        for _, attrs in page.found
        for value in attrs.values()
        for target in re.findall(r"url\(#([^)]*)\)|^#(.*)$", value or "")
        for target in target
        if target
    }
    assert len(targets) > 4
    assert targets <= set(ids)


def test_the_same_figure_gives_the_same_element_whose_text_is_the_one_given():
    one, two = (inline_svg(a_figure(), "a line", name="n") for _ in range(2))
    assert one == two
    assert one.startswith('<svg role="img" aria-label="a line" ')
    # The title is drawn, and is not in the file's comments or in its metadata.
    assert "<!--" not in one
    assert "title" not in one
    assert "<style" not in one


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "report.html"
    write_page(path, "Run", "The model is no better.", [Section("A", ["b"])])
    before = path.read_text(encoding="utf-8")
    assert "<title>Run</title>" in before
    assert '<p class="sentence">The model is no better.</p>' in before

    # Linux's names of files that are not UTF-8.
    write_page(path, "Run", "a\udcffb", [])
    assert "a\\udcffb" in path.read_text(encoding="utf-8")
    before = path.read_text(encoding="utf-8")

    class Broken:
        def __str__(self):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        write_page(path, "Other", "s", [Section("A", [Table("t", ("a",), [(Broken(),)])])])
    assert path.read_text(encoding="utf-8") == before
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
