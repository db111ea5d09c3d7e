"""`python reproduce.py`: a whole study, stopped and resumed; user errors."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from stock_rnn.cli import reproduce
from stock_rnn.study import plan
from stock_rnn.study.folder import Folder
from tests.conftest import ROOT
from tests.study.cases import small_folder

WORDS = ("--quick", "--period", "6mo", "--jobs", "1")


def short_study(folder, *, stop_with=None):
    """Run the short study in a folder, and wait until no process of it is left."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if stop_with:
        environment["STOP_WITH"] = stop_with
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "cli" / "short_study.py"), *WORDS],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stdout, stderr = process.communicate(timeout=600)
    end = time.monotonic() + 600
    while is_alive(process.pid):
        assert time.monotonic() < end, "a worker is still running"
        time.sleep(0.05)
    return subprocess.CompletedProcess(WORDS, process.returncode, stdout, stderr)


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def contents(runs):
    """Name -> content of the records in a folder, but for when and how long they ran."""
    found = {path.name: json.loads(path.read_text()) for path in runs.glob("*.json")}
    return {name: {**content, "seconds": None, "begun": None} for name, content in found.items()}


def times(runs):
    return {path.name: path.stat().st_mtime_ns for path in runs.glob("*.json")}


def drawn(folder):
    """Path -> bytes of all that is drawn from the records, but for TensorBoard's files."""
    files = [folder.table, folder.verdicts, folder.markdown, folder.evidence, folder.page]
    files += [*folder.tables.iterdir(), *folder.figures.iterdir()]
    return {file.relative_to(folder.path): file.read_bytes() for file in files}


@pytest.fixture
def in_process(monkeypatch):
    """Run the command in this process; the logging that it sets up is undone."""
    log = logging.getLogger("stock_rnn")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "level", log.level)
    return lambda *words: reproduce.main([str(word) for word in words])


def test_help_needs_no_tensorflow(run_script, tmp_path):
    answer = run_script(
        "reproduce.py", "--help", cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}
    )
    assert answer.returncode == 0
    assert "--from-results" in answer.stdout
    for slow in ("tensorflow", "keras", "pandas", "scipy", "matplotlib", "distributed"):
        assert f" {slow}\n" not in answer.stderr


def test_flags_choose_the_scope():
    def scope(*words):
        return reproduce._scope(reproduce._parser().parse(words))

    assert scope() == plan.Scope()
    assert scope("--quick") == plan.QUICK
    assert scope("--seeds", "3", "--protocols", "text", "--no-sweeps") == plan.Scope(
        seeds=3, protocols=("text",), sweeps=False, saddle_starts=False
    )


@pytest.mark.zoo
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGKILL"])
def test_a_stopped_study_resumes_and_ends_as_if_it_had_not_been_stopped(
    signal_name, in_process, tmp_path, tmp_path_factory, capsys
):
    folder = Folder(tmp_path / "results")

    stopped = short_study(tmp_path, stop_with=signal_name)
    if signal_name == "SIGINT":
        assert stopped.returncode == 130
        last_line = stopped.stderr.splitlines()[-1]
        assert "interrupted; the same command goes on where it stopped" in last_line
        assert "Traceback" not in stopped.stderr
    else:
        assert stopped.returncode == -signal.SIGKILL
        # What is there can be drawn.
        assert in_process("--from-results", folder.path) == 0
        assert "2 of 3 runs are not finished and left out" in capsys.readouterr().err
        assert [f"{k}.json" for k in pd.read_csv(folder.table)["run"]] == list(times(folder.runs))
    first = times(folder.runs)
    assert len(first) == 1

    finished = short_study(tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "3 runs: 1 kept" in finished.stderr
    last = times(folder.runs)
    assert len(last) == 3
    assert first.items() <= last.items()
    # The same bits as those of one process that was not stopped.
    assert contents(folder.runs).items() <= contents(small_folder(tmp_path_factory)).items()

    # One seed decides nothing, and the command says so.
    assert "over 1 seed the" in finished.stdout
    assert "11 are needed" in finished.stdout
    assert "39 undecided" in finished.stdout
    assert {path.name for path in folder.logs.iterdir()} == {name[:-5] for name in last}

    files = drawn(folder)
    assert len(files) > 20
    if signal_name == "SIGINT":
        return
    # Drawn again, by another process: the same files, and nothing is trained.
    folder.page.unlink()
    assert in_process("--from-results", folder.path) == 0
    assert drawn(folder) == files
    assert times(folder.runs) == last


# User errors


def test_a_refused_flag_is_one_line_and_exit_code_2(run_script, tmp_path):
    answer = run_script("reproduce.py", "--quick", "--seeds", "5", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == (
        "reproduce.py: error: --quick cannot be combined with --seeds: it is one fixed study, "
        "2 seeds of the protocol appendix, without sweeps; give one or the other\n"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--from-results", "nowhere"), "nowhere holds no study: run python reproduce.py"),
        (("--seeds", "0"), "--seeds must be at least 1. Received: 0"),
        (("--jobs", "-1"), "--jobs must be at least 1. Received: -1"),
        (("--protocols", "appendix,tixt"), "--protocols must be of appendix, text. Received:"),
        (("--seeds", "many"), "argument --seeds: invalid int value: 'many'"),
        (("--csv", "nowhere.csv"), "nowhere.csv"),
        (("--against", "nowhere"), "--against nowhere: there is no verdicts.json"),
        (
            ("--parts", "report,tunes"),
            "--parts must be of report, tuned, stretches, escape, or all",
        ),
        (("--parts", ""), "escape, or all. Received: ''"),
        (("--parts", "tuned", "--quick"), "--quick cannot be combined with --parts: it is one"),
        (
            ("--parts", "escape", "--no-sweeps"),
            "--parts cannot be combined with --no-sweeps: it leaves out report, to which alone",
        ),
        (
            ("--quick", "--no-sweeps"),
            "--quick cannot be combined with --no-sweeps: it is one",
        ),
        (
            ("--from-results", "results", "--symbol", "^IXIC"),
            "--from-results cannot be combined with --symbol: it draws the study that is there",
        ),
        (("--start", "2018-12-27", "--end", "2018-12-31", "--quick"), "too few"),
    ],
)
def test_user_errors(words, line, in_process, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = in_process(*words)
    except SystemExit as end:  # The parser's own.
        code = end.code
    assert code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("reproduce.py: error: ")
    assert line in said
    assert list(tmp_path.iterdir()) == []


def test_a_study_file_with_a_path_for_a_key_is_refused(in_process, tmp_path, capsys):
    content = {"command": "", "data": {}, "runs": ["../../etc/passwd"]}
    (tmp_path / "study.json").write_text(json.dumps(content))
    assert in_process("--from-results", tmp_path) == 2
    assert "study.json is damaged" in capsys.readouterr().err
