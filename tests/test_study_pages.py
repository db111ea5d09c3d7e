"""README and docs have the answers of the newest study that is kept in docs/study."""

import importlib.util

import pytest

from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.report.questions import QUESTIONS
from tests.conftest import ROOT

VERDICTS = ROOT / "docs" / "study" / "verdicts.txt"


@pytest.fixture(scope="module")
def fill_study():
    spec = importlib.util.spec_from_file_location("fill_study", ROOT / "docs" / "fill_study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_have_what_the_command_puts_there(fill_study):
    verdicts = VERDICTS.read_text(encoding="utf-8")
    for name in fill_study.PAGES:
        page = (ROOT / name).read_text(encoding="utf-8")
        assert "<!-- study " in page
        assert fill_study.filled(page, verdicts) == page, name


def test_the_study_that_is_kept_has_every_question_and_claim():
    verdicts = VERDICTS.read_text(encoding="utf-8")
    assert all(f"| {question.asks} |" in verdicts for question in QUESTIONS)
    assert all(claim.statistic.replace("|", "\\|") in verdicts for claim in CLAIMS)


def test_a_block_is_replaced_by_its_part(fill_study):
    verdicts = "One.\nTwo.\n\n| q |\n\n| v |\n"
    page = (
        "a\n<!-- study sentences -->\nold\n<!-- end -->\nb\n<!-- study verdicts -->\n<!-- end -->"
    )
    assert fill_study.filled(page, verdicts) == (
        "a\n<!-- study sentences -->\nOne.\n\nTwo.\n\n<!-- end -->\nb\n"
        "<!-- study verdicts -->\n| v |\n\n<!-- end -->"
    )
    with pytest.raises(KeyError):
        fill_study.filled("<!-- study other -->\n<!-- end -->", verdicts)
    with pytest.raises(ValueError, match="shorter"):
        fill_study.filled(page, "One part.\n")
