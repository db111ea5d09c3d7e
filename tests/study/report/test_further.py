"""A further part of the study: run, written, shown, and held against another study's."""

import html
import json
import logging
import re
import shutil

import pytest

from stock_rnn.cli import reproduce
from stock_rnn.study import parts, plan
from stock_rnn.study.folder import Folder
from stock_rnn.study.report import figures
from tests.study import cases, made_part


@pytest.fixture(scope="module")
def results(small_folder, tmp_path_factory):
    """The folder of `reproduce.py --parts made`, and what the command printed."""
    folder = Folder(tmp_path_factory.mktemp("made") / "results")
    shutil.copytree(small_folder, folder.runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(parts.PACKAGES, "made", "tests.study.made_part")
        patch.setattr(logging.getLogger("stock_rnn"), "handlers", [])
        words = ("--parts", "made", "--period", "6mo", "--seeds", "3", "--jobs", "1")
        assert reproduce.main([*words, "--results", str(folder.path)]) == 0
    return folder


@pytest.fixture
def command(monkeypatch):
    """Run the command in this process, with the made part among its parts; the report's figures
    are not drawn."""
    monkeypatch.setattr(figures, "all_figures", lambda study: {})
    monkeypatch.setitem(parts.PACKAGES, "made", "tests.study.made_part")
    monkeypatch.setattr(logging.getLogger("stock_rnn"), "handlers", [])
    return lambda *words: reproduce.main([str(word) for word in words])


def test_parts_are_asked_for_by_name_and_keep_their_order():
    def asked(words):
        return reproduce._parts(reproduce._parser().parse(words))

    assert asked([]) == ["report"]
    assert asked(["--parts", "escape,report,tuned"]) == ["report", "tuned", "escape"]
    assert asked(["--parts", "all"]) == ["report", "tuned", "stretches", "escape"]


def test_a_part_is_run_with_the_settings_and_seeds_of_the_command(results):
    assert made_part.CALLS == [({"period": "6mo"}, 3)]
    assert not results.study.exists()


def test_the_files_of_a_part_are_written_to_its_folder(results):
    own = results.part("made")
    assert {path.name for path in own.tables.iterdir()} == {"seeds.csv"}
    assert {path.name for path in own.figures.iterdir()} == {"line.svg", "line.png"}
    assert len(own.markdown.read_text(encoding="utf-8").splitlines()) == 3
    content = json.loads(own.verdicts.read_text(encoding="utf-8"))
    assert content["command"] == "python made.py"
    assert [[v["claim"] for v in of] for of in content["variants"].values()] == [["sgd-test-loss"]]
    evidence = json.loads(own.evidence.read_text(encoding="utf-8"))
    assert set(evidence) == {"tables/seeds.csv", "claim sgd-test-loss"}
    assert {path.name for path in results.logs.iterdir()} == {
        k for of in evidence.values() for k in of
    }


def test_the_page_shows_the_section_of_a_part(results):
    text = results.page.read_text(encoding="utf-8")
    section = html.unescape(text[text.index('<section id="made">') : text.index("</section>")])
    for words in (
        *("A made part", "First <paragraph>.", "Second paragraph.", "python made.py"),
        *("The caption of the seeds.", "The caption of the line.", "made/figures/line.svg"),
    ):
        assert words in section
    # Folded, with the report's words.
    assert re.search(
        r"<details[^>]*>\s*<summary>1 verdict.*the testing loss is only", section, re.S
    )
    assert 'id="questions"' not in text


def test_drawn_again_beside_the_report_both_are_shown(results, command, tmp_path, capsys):
    folder = Folder(tmp_path / "results")
    shutil.copytree(results.path, folder.path)
    content = json.loads(folder.part("made").study.read_text(encoding="utf-8"))
    folder.study.write_text(json.dumps({**content, "command": "python reproduce.py"}))
    assert command("--from-results", folder.path, "--against", results.path) == 0
    printed = capsys.readouterr().out
    assert "39 undecided" in printed
    assert "made: A made part" in printed
    # The other folder has the part only.
    (line,) = [line for line in printed.splitlines() if "claims agree" in line]
    assert line == f"1 of 1 claims agree with {results.part('made').verdicts}"
    text = folder.page.read_text(encoding="utf-8")
    assert text.index("sgd-test-loss") < text.index('<section id="made">')
    assert text.count('id="sgd-test-loss"') == text.count('id="made-sgd-test-loss"') == 1


def test_a_study_without_a_common_part_cannot_be_compared(results, command, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "verdicts.json").write_text("{}")
    assert command("--from-results", results.path, "--against", other) == 2
    assert f"--against {other}: it has no part of {results.path}" in capsys.readouterr().err


def test_the_report_is_run_before_the_further_parts(
    small_folder, command, monkeypatch, tmp_path, capsys
):
    folder = Folder(tmp_path / "results")
    shutil.copytree(small_folder, folder.runs)
    monkeypatch.setattr(plan, "plan", lambda data, scope: cases.SHORT_STUDY)
    order = []
    monkeypatch.setattr(
        made_part, "run", lambda *given: order.append(folder.study.exists()), raising=True
    )
    words = ("--parts", "made,report", "--period", "6mo", "--jobs", "1")
    assert command(*words, "--results", folder.path) == 0
    assert order == [True]
    study = json.loads(folder.study.read_text(encoding="utf-8"))
    assert len(study["runs"]) == 3
    # The made part wrote nothing, so it is not shown.
    assert "made:" not in capsys.readouterr().out
