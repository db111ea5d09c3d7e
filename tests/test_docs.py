"""The pages say what is so: their code runs, their flags and files exist."""

import dataclasses
import inspect
import json
import re
import shutil

import pytest

import stock_rnn.curvature
from stock_rnn.cli import backtest as backtest_command
from stock_rnn.cli import compare, delete
from stock_rnn.cli import evaluate as evaluate_command
from stock_rnn.cli import explain as explain_command
from stock_rnn.cli import landscape as landscape_command
from stock_rnn.cli import predict as predict_command
from stock_rnn.cli import reproduce as reproduce_command
from stock_rnn.cli import runs as runs_command
from stock_rnn.cli import spectrum as spectrum_command
from stock_rnn.cli import surface as surface_command
from stock_rnn.cli import train as train_command
from stock_rnn.config import Config
from stock_rnn.curvature import HessianCallback
from stock_rnn.curvature.analysis.critical_point import KINDS
from stock_rnn.settings import flag
from tests.conftest import ROOT
from tests.samples import sampled

DOCS = ROOT / "docs"
TOP_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = sorted([*TOP_PAGES, *DOCS.rglob("*.md"), DOCS / "tutorial.ipynb"])
COMMANDS_PAGE = DOCS / "commands.md"
run_commands = (runs_command, compare, delete)


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def blocks(path, language="python"):
    fence = rf"^```{language}\n(.*?)^```"
    return re.findall(fence, path.read_text(encoding="utf-8"), re.M | re.S)


WITH_CODE = [page for page in PAGES if blocks(page)]
FIRST_READ = [page for page in WITH_CODE if page.name == "README.md"]


@pytest.mark.slow
@pytest.mark.parametrize("page", sampled(WITH_CODE, FIRST_READ, lambda page: page.name))
def test_the_code_of_a_page_runs_as_pasted_and_prints_what_it_shows(
    page, small_run, tmp_path, monkeypatch, capsys
):
    # What `make run` has made.
    shutil.copytree(small_run.folder, tmp_path / "models" / "default")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(block, names)
    printed, shown = capsys.readouterr().out, "".join(blocks(page, "text"))
    # The words to the letter; the numbers as far as another processor's rounding allows.
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.05, abs=0.02)
    for name in {"hessian", "run"} & names.keys():
        # The folder of the curvature's event files.
        logs = names[name].log_dir if name == "hessian" else names[name].logs / "hessian"
        assert list(logs.iterdir())


def test_pages_with_code_are_found():
    assert {"README.md", "own-model.md", "python.md"} <= {p.name for p in PAGES if blocks(p)}


def test_the_page_of_the_output_explains_all_columns_tags_and_files(small_run):
    page = (DOCS / "output.md").read_text(encoding="utf-8")
    history = small_run.history.read_text(encoding="utf-8").splitlines()
    for column in history[0].split(","):
        assert f"`{column}`" in page, column
    for code, kind in enumerate(KINDS):
        assert re.search(rf"\b{code} {kind}\b", page), kind
        assert f"| {kind} |" in page
    for part in small_run.logs.iterdir():
        if part.is_dir():
            assert f"`{part.name}`" in page, part.name
    words = page[page.index("## Words") :]
    for word in ("persistence", "skill", "window", "residual", "certified", "Ritz value", "index"):
        assert f"| {word} |" in words


def anchors(path):
    """What links may name on a page: its headings as GitHub and the site spell them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    for target, anchor in links:
        if not target.startswith("https://"):
            path = page.parent / target if target else page
            assert path.exists(), target
            assert not anchor or anchor in anchors(path), (target, anchor)


@pytest.mark.parametrize("page", [p for p in PAGES if p.suffix == ".md"], ids=lambda p: p.name)
def test_every_row_of_a_table_has_a_header(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for table in re.findall(r"(?:^\| .*\n|^\|-.*\n)+", text, re.M):
        assert re.match(r"\|.*\n\|[ |:-]+\|\n", table), table.splitlines()[0]


def words_of(command):
    """The flags of a command without their negations; positional arguments by their names."""
    for action in command._parser()._actions:
        if "--help" not in action.option_strings:
            yield action.option_strings[:1] or [action.metavar]


@pytest.mark.parametrize("command", [train_command, evaluate_command, reproduce_command])
def test_the_page_of_the_commands_lists_every_flag(command):
    name = command.__name__.rpartition(".")[2]
    sections = re.split(r"^## ", COMMANDS_PAGE.read_text(encoding="utf-8"), flags=re.M)
    (section,) = (text for text in sections if text.startswith(f"{name}.py"))
    for (word,) in words_of(command):
        negated = word.replace("--", "--no-", 1)
        assert f"`{word}" in section or f"`{negated}" in section, word


@pytest.mark.parametrize("command", [predict_command, backtest_command, explain_command])
def test_the_section_of_a_command_lists_every_flag(command):
    name = command.__name__.rpartition(".")[2]
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for (word,) in words_of(command):
        assert f"`{word}" in section, word


OF_ONE_COMMAND = [train_command, evaluate_command, reproduce_command]
OF_ONE_COMMAND += [predict_command, backtest_command, explain_command]


@pytest.mark.parametrize("command", OF_ONE_COMMAND)
def test_the_section_of_a_command_lists_no_other_flag(command):
    name = command.__name__.rpartition(".")[2]
    sections = re.split(r"^## ", COMMANDS_PAGE.read_text(encoding="utf-8"), flags=re.M)
    (section,) = (text for text in sections if re.match(rf"{name}(\.py)?\n", text))
    listed = re.findall(r"^\| (`--.*?) \|", section, re.M)
    flags = {flag for cell in listed for flag in re.findall(r"`(--[a-z0-9-]+)", cell)}
    assert len(flags) > 5
    assert flags <= command._parser()._option_string_actions.keys()


@pytest.mark.parametrize("command", run_commands)
def test_the_section_of_runs_lists_every_flag(command):
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    section = page.partition("## runs, compare, delete")[2].partition("\n## ")[0]
    for (word,) in words_of(command):
        assert f"`{word}" in section or f" {word} " in section, word


def test_the_page_of_the_surface_lists_every_flag():
    page = (DOCS / "surface.md").read_text(encoding="utf-8")
    for (word,) in words_of(surface_command):
        assert f"`{word}" in page, word


def test_the_page_of_the_landscape_lists_every_flag():
    page = (DOCS / "landscape.md").read_text(encoding="utf-8")
    for (word,) in words_of(landscape_command):
        negated = word.replace("--", "--no-", 1)
        assert f"`{word}" in page or f"`{negated}`" in page, word


def test_the_page_of_the_spectrum_lists_every_flag():
    page = (DOCS / "spectrum.md").read_text(encoding="utf-8")
    for (word,) in words_of(spectrum_command):
        assert f"`{word}" in page, word


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_flags_exist(page):
    commands = (
        *(train_command, evaluate_command, predict_command, reproduce_command, surface_command),
        landscape_command,
        spectrum_command,
        backtest_command,
        explain_command,
        *run_commands,
    )
    known = " ".join(command._parser().format_help() for command in commands)
    # TensorBoard's, Dask's and pip's.
    known += " --logdir --nthreads --nworkers --constraint --editable --no-deps"
    for word in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8"))):
        assert re.search(rf"{word}\b(?!-)", known), word


def flag_row(field):
    """The beginning of the row of a setting: its flag and its default."""
    words = {None: "", True: "yes", False: "no"}
    is_word = field.type not in ("int", "float") and field.default in words
    default = words[field.default] if is_word else f"`{field.default}`"
    return f"| `{flag(field.name)}` | {default} |"


@pytest.mark.parametrize("field", dataclasses.fields(Config), ids=lambda field: field.name)
def test_the_page_of_the_commands_has_every_default_and_help_text(field):
    (row,) = (
        line
        for line in COMMANDS_PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{flag(field.name)}` |")
    )
    assert row.startswith(flag_row(field))
    assert field.metadata["help"] in row
    for choice in field.metadata["choices"]:
        assert f"`{choice}`" in row


def test_the_rows_of_the_readme_are_rows_of_the_page_of_the_commands():
    rows = re.findall(r"^\| `--.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert rows
    page = COMMANDS_PAGE.read_text(encoding="utf-8").splitlines()
    assert set(rows) <= set(page)


def test_the_arguments_of_the_callback_are_those_of_the_table():
    page = (DOCS / "own-model.md").read_text(encoding="utf-8")
    table = page[page.index("| argument |") :].partition("\n\n")[0].splitlines()[2:]
    listed = [name for row in table for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    arguments = list(inspect.signature(HessianCallback).parameters.values())
    assert sorted(listed) == sorted(argument.name for argument in arguments)
    for argument in arguments:
        if argument.default not in (argument.empty, None, True):
            shown = f'"{argument.default}"' if argument.name == "name" else str(argument.default)
            (row,) = (row for row in table if row.startswith(f"| `{argument.name}`"))
            number = row.split("|")[2].strip(" `")
            assert number == shown or float(number) == argument.default


def test_the_tutorial_is_stored_without_outputs():
    notebook = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"^(\w[\w/-]*)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M)
    found = {p.relative_to(DOCS).with_suffix("").as_posix() for p in DOCS.rglob("*.md")}
    assert set(listed) == found - {"index"} | {"tutorial"}


def test_the_reference_has_every_public_name_of_curvature():
    page = (DOCS / "reference" / "curvature.md").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. auto\w+:: stock_rnn\.curvature\.(\w+)$", page, re.M)
    assert sorted(names) == sorted(stock_rnn.curvature.__all__)


def test_the_pages_of_the_repository_s_files_name_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:stock_rnn|tests|docs)/[\w/.]+)`", text)
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists(), path
