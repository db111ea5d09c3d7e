"""The pages say what is so: their code runs, their flags and files exist."""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from stock_rnn.cli import evaluate as evaluate_command
from stock_rnn.cli import reproduce as reproduce_command
from stock_rnn.cli import train as train_command
from stock_rnn.config import Config, flag
from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def blocks(path, language="python"):
    fence = rf"^```{language}\n(.*?)^```"
    return re.findall(fence, path.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.slow
def test_the_code_of_the_python_page_runs(small_run, tmp_path, monkeypatch, capsys):
    shutil.copytree(small_run.folder, tmp_path / "models" / "default")
    monkeypatch.chdir(tmp_path)
    names = {"prices": np.linspace(100.0, 110.0, 30)}
    for block in blocks(ROOT / "docs" / "python.md"):
        # As on the page, but for the twenty epochs.
        exec(block.replace("max_epoch=20", "max_epoch=1"), names)
        if "next_prices" in names:
            assert names["next_prices"].shape == (1,)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() in page
    assert names["run"].complete


@pytest.mark.slow
def test_the_code_of_the_own_model_page_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    page = ROOT / "docs" / "own-model.md"
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(block, names)
    printed, shown = capsys.readouterr().out, "".join(blocks(page, "text"))
    # The words to the letter; the numbers as far as another processor's rounding allows.
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.05, abs=0.02)
    assert (tmp_path / "spectrum.npz").exists()
    assert list((tmp_path / "logs" / "moons").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_the_readme_lists_every_flag_of_reproduce():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for action in reproduce_command._parser()._actions:
        if "--help" not in action.option_strings:
            assert any(f"`{word}" in readme for word in action.option_strings), action


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_flags_exist(page):
    commands = (train_command, evaluate_command, reproduce_command)
    known = " ".join(command._parser().format_help() for command in commands)
    # TensorBoard's and Dask's.
    known += " --logdir --nthreads --nworkers"
    for word in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8"))):
        assert re.search(rf"{word}\b(?!-)", known), word


def test_the_readme_s_table_has_every_default():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(Config):
        words = {None: "", True: "yes", False: "no"}
        default = words.get(field.default, f"`{field.default}`") if field.type != "int" else None
        default = f"`{field.default}`" if default is None else default
        assert f"| `{flag(field.name)}` | {default} |" in readme


def test_the_readme_lists_every_flag_of_train():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for action in train_command._parser()._actions:
        for word in action.option_strings:
            if word.startswith("--") and not word.startswith("--no-") and word != "--help":
                assert f"`{word}`" in readme, word
