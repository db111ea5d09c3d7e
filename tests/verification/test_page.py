"""The page of the known truths, and what its tables say."""

import importlib
import re
import sys

import numpy as np
import pytest

from stock_rnn.curvature.palette import new_figure
from tests.conftest import ROOT
from verification import _laws, _page
from verification.__main__ import NAMES, main
from verification._frame import Result, Row, number, short

pytestmark = pytest.mark.pictures

ROWS = (
    Row("|good|", 2.0, 2.05, 0.1, 0.012),
    Row("bad", 1.0, 1.5, 0.1),
    Row("below", 1.0, 0.2, 0.0, at_most=True),
)


@pytest.mark.parametrize(
    ("row", "agrees"),
    [
        (Row("", 1.0, 1.1, 0.2), True),
        (Row("", 1.0, 0.7, 0.2), False),
        (Row("", 1.0, 1.3, 0.2), False),
        (Row("", 1.0, float("nan"), 0.2), False),
        (Row("", 1.0, -9.0, 0.2, at_most=True), True),
        (Row("", 1.0, 1.3, 0.2, at_most=True), False),
        (Row("", 1.0, float("nan"), 0.2, at_most=True), False),
    ],
)
def test_a_row_agrees_within_what_is_allowed(row, agrees):
    assert row.agrees is agrees


def test_a_table_shows_what_does_not_agree():
    lines = _page.table(ROWS)
    assert lines[2] == "| \\|good\\| | 2 | 2.05 ± 0.012 | ± 0.1 | yes |"
    assert lines[3] == "| bad | 1 | 1.5 | ± 0.1 | **no** |"
    assert lines[4] == "| below | at most 1 | 0.2 | + 0 | yes |"
    assert "2 of 3 numbers agree" in _page.part("name", "Title", Result("Sizes.", ROWS), 3.2)


@pytest.mark.parametrize(
    ("value", "text", "rounded"),
    [
        (6.25841, "6.258", "6.3"),
        (2000.0, "2,000", "2,000"),
        (11240.4, "11,240", "11,000"),
        (0.0, "0", "0"),
        (8.5417e-15, "8.54e-15", "8.5e-15"),
        (float("nan"), "nan", "nan"),
    ],
)
def test_numbers_are_short(value, text, rounded):
    assert number(value) == text
    assert short(value) == rounded


def test_only_what_is_between_the_markers_is_replaced():
    page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    assert _page.replace_part(page, "x", "new") == page.replace("old", "new")
    for broken in ("a", page + page, "<!-- end x --><!-- begin x -->"):
        with pytest.raises(ValueError, match="begin x"):
            _page.replace_part(broken, "x", "new")


def test_the_names_are_the_modules_of_the_folder():
    modules = {p.stem for p in (ROOT / "verification").glob("*.py") if p.stem[0] != "_"}
    assert set(NAMES) == modules


@pytest.mark.parametrize("name", [*NAMES, "summary"])
def test_the_page_has_each_truth_as_it_was_run(name):
    page = _page.PAGE.read_text(encoding="utf-8")
    found = page.partition(f"<!-- begin {name} -->\n")[2].partition(f"\n<!-- end {name} -->")[0]
    assert "agree" in found
    # What is there is what would be written.
    assert _page.replace_part(page, name, found) == page


@pytest.mark.parametrize("name", NAMES)
def test_each_truth_has_a_small_picture(name):
    assert 5_000 < (_page.PICTURES / f"{name}.png").stat().st_size < 60_000


def test_the_summary_counts_the_rows_and_seconds_of_the_page():
    page = _page.PAGE.read_text(encoding="utf-8")
    found = page.partition("<!-- begin summary -->\n")[2].partition("\n<!-- end summary -->")[0]
    assert found == _page.summary(page)
    assert 30 < int(re.search(r"took (\d+) s", found)[1]) < 15 * 60
    agreeing, all_rows = re.search(r"(\d+) of (\d+) numbers agree with theory", page).groups()
    assert page.count("| yes |") == int(agreeing)
    assert page.count("| yes |") + page.count("| **no** |") == int(all_rows)


def test_a_run_writes_the_picture_and_the_part(tmp_path, monkeypatch, capsys):
    from verification import __main__ as command

    class Truth:
        TITLE, FULL = "Title", None
        run = staticmethod(lambda size: Result("Sizes.", ROWS))
        figure = staticmethod(lambda result: new_figure(2, 1))

    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- begin {n} -->\n<!-- end {n} -->\n" for n in ("summary", "edge")))
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(importlib, "import_module", lambda name: Truth)
    monkeypatch.setattr(sys, "argv", ["verification", "edge"])
    main()
    assert "not: bad: theory 1, ours 1.5" in capsys.readouterr().out
    assert "| bad | 1 | 1.5 | ± 0.1 | **no** |" in page.read_text(encoding="utf-8")
    assert "2 of 3 numbers agree with theory" in page.read_text(encoding="utf-8")
    assert (tmp_path / "pictures" / "edge.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_name_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["verification", "spyked"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "unknown truths: spyked" in capsys.readouterr().err


@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.0])
def test_the_law_s_share_is_the_integral_of_its_density(ratio):
    low, high = _laws.marchenko_pastur_edges(ratio)
    # Fine near the lower edge, where the density of ratio 1 is infinite.
    points = low + (high - low) * np.linspace(0, 1, 200_001) ** 2
    middles = (points[1:] + points[:-1]) / 2
    shares = np.cumsum(_laws.marchenko_pastur_density(middles, ratio) * np.diff(points))
    np.testing.assert_allclose(_laws.marchenko_pastur_share(points[1:], ratio), shares, atol=2e-5)


def test_the_ends_of_many_matrices_are_where_the_law_has_them():
    rng, ends = np.random.default_rng(0), []
    for _ in range(200):
        x = rng.standard_normal((120, 60))
        ends.append(np.linalg.eigvalsh(x.T @ x / 120)[[0, -1]])
    for column, end in ((0, -1), (1, 1)):
        values = np.array(ends)[:, column]
        mean, deviation = _laws.wishart_edge(120, 60, end)
        # The law is that of the limit.
        assert values.mean() == pytest.approx(mean, abs=0.5 * deviation)
        assert values.std() == pytest.approx(deviation, rel=0.3)
