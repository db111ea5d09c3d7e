import shutil

import pytest

from stock_rnn.cli.main import main
from tests.cli.hostile import fingerprint, only_error


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, small_run):
    """A folder with the complete run `small`; cases work on copies of it."""
    folder = tmp_path_factory.mktemp("pristine")
    shutil.copytree(small_run.models_dir, folder / "models")
    shutil.copytree(small_run.logs_dir, folder / "logs")
    return folder


@pytest.fixture
def folder(pristine, tmp_path, monkeypatch):
    """A copy with `small` and a folder that is no run; it is the current folder."""
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    thesis = tmp_path / "models" / "foreign" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answer(folder, capsys):
    """Run `stock-rnn WORDS...`: its exit code, stdout, and the lines of stderr.

    What it raises is not caught: a traceback fails the test.
    """

    def run(words):
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return run


@pytest.fixture
def refused(folder, answer):
    """Check that a command is refused in one line that names something, and changes nothing."""

    def check(words, *named):
        before = fingerprint(folder)
        code, out, lines = answer(words)
        line = only_error(code, words, lines)
        for each in named:
            assert each in line
        assert out == ""
        assert fingerprint(folder) == before
        return line

    return check
