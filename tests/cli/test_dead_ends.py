"""Where a command cannot go on: one line, and what was saved is kept."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from stock_rnn.cli.main import main
from tests.conftest import ROOT
from tests.samples import sampled

SMALL = ("--period", "1y", "--lstm-size", 4, "--max-epoch", 3, "--seed", 7)


def last_line(answer):
    lines = answer.stderr.splitlines()
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    return lines[-1]


@pytest.fixture
def folder(small_run, tmp_path):
    """A folder with the complete run `small`, which tests may change."""
    shutil.copytree(small_run.models_dir, tmp_path / "models")
    shutil.copytree(small_run.logs_dir, tmp_path / "logs")
    return tmp_path


def rows(count):
    days = pd.bdate_range("2020-01-01", periods=count).strftime("%Y-%m-%d")
    closes = 100 + np.random.default_rng(0).normal(size=count)
    return "Date,Close\n" + "".join(f"{d},{c:.2f}\n" for d, c in zip(days, closes, strict=True))


# The first file that grows too large is written by Python, or by TensorFlow.
@pytest.mark.parametrize(
    ("size", "most_bytes"), [(32, 30_000), pytest.param(2, 40_000, marks=pytest.mark.zoo)]
)
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_after_it(
    size, most_bytes, run_here, tmp_path
):
    def limit():
        # As a full disk: no file may grow beyond it. Python asks not to be killed for that.
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    words = [*SMALL, "--run-name", "r", "--hessian-every", 0, "--lstm-size", size]
    command = [sys.executable, ROOT / "train.py", *map(str, words)]
    full = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=limit,
    )  # fmt: skip
    assert "cannot write the run to models/r" in last_line(full)
    assert "File too large" in last_line(full)
    assert "{" not in last_line(full)
    hint = last_line(full).rpartition("make room there, then python train.py ")[2]
    assert hint == "--resume r"
    assert not list(tmp_path.glob("models/r/.tmp-*"))
    again = run_here("train.py", *hint.split(), cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_a_changed_csv_is_told_and_the_run_goes_on_with_its_own_prices(run_here, tmp_path):
    csv = tmp_path / "mine.csv"
    csv.write_text(rows(60))
    words = ["--csv", "mine.csv", "--run-name", "r", *SMALL[2:4], "--hessian-every", 0]
    assert run_here("train.py", *words, "--max-epoch", 1, cwd=tmp_path).returncode == 0
    unchanged = run_here("train.py", *words, "--max-epoch", 1, "--resume", cwd=tmp_path)
    assert "changed" not in unchanged.stderr
    prices = (tmp_path / "models/r/prices.npz").read_bytes()
    csv.write_text(rows(70))
    answer = run_here("train.py", *words, "--max-epoch", 2, "--resume", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    (line,) = (line for line in answer.stderr.splitlines() if "has changed" in line)
    assert re.match(
        r"mine\.csv has changed since the run was begun: then 60 prices from 2020-01-01 to "
        r"2020-03-24 \(sha256 \w{8}\), now 70 prices from 2020-01-01 to 2020-04-07 \(sha256 "
        r"\w{8}\); the run goes on with its own prices, models/r/prices\.npz",
        line,
    )
    assert (tmp_path / "models/r/prices.npz").read_bytes() == prices
    csv.unlink()
    answer = run_here("train.py", *words, "--max-epoch", 2, "--resume", cwd=tmp_path)
    assert answer.returncode == 0
    assert "mine.csv cannot be compared with what the run was begun with" in answer.stderr


def test_windows_that_leave_prices_out_are_told(run_here, tmp_path):
    (tmp_path / "mine.csv").write_text(rows(64))
    words = ["--csv", "mine.csv", "--input-size", 5, *SMALL[2:4], "--max-epoch", 1]
    words += ["--hessian-every", 0]
    oldest = run_here("train.py", *words, cwd=tmp_path)
    assert (
        "mine: the newest 4 of 64 prices, 2020-03-25 to 2020-03-30, fill no window of 5 and are "
        "left out; --align newest leaves out the oldest instead"
    ) in oldest.stderr
    newest = run_here("train.py", *words, "--align", "newest", cwd=tmp_path)
    assert "the oldest 4 of 64 prices, 2020-01-01 to 2020-01-06" in newest.stderr
    table = {}
    for record in (tmp_path / "models").glob("*/config.json"):
        align = json.loads(record.read_text())["config"]["align"]
        assert run_here("evaluate.py", record.parent.name, cwd=tmp_path).returncode == 0
        table[align] = pd.read_csv(record.parent / "final_predictions.csv").date.iloc[-1]
    assert table == {"oldest": "2020-03-24", "newest": "2020-03-30"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train-ratio", "0.2"], "--train-ratio is of --split random alone"),
        (["--split", "random", "--test-ratio", "0.2"], "--test-ratio is of --split chronological"),
        (["--period", "1y", "--start", "2015-01-01"], "--period has no effect beside --start"),
        (["--hessian-every", "0", "--hessian-tol", "0.1"], "--hessian-every 0 measures no"),
        (["--resume", "--overwrite"], "give one or the other"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(words, said, run_here, tmp_path):
    assert said in last_line(run_here("train.py", *words, cwd=tmp_path))
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("script", ["evaluate.py", "reproduce.py"])
def test_so_it_is_by_the_other_commands(script, run_here, folder):
    run = ["small"] if script == "evaluate.py" else []
    answer = run_here(script, *run, "--period", "1y", "--start", "2015-01-01", cwd=folder)
    assert "--period has no effect beside --start" in last_line(answer)


@pytest.mark.parametrize(
    ("script", "word", "meant"),
    [
        ("train.py", "--epochs", "--max-epoch"),
        ("train.py", "--learning-rate=1", "--init-learning-rate"),
        ("evaluate.py", "--spectra", "--spectrum"),
    ],
)
def test_an_unknown_flag_is_answered_with_the_one_that_is_most_like_it(
    script, word, meant, run_here, tmp_path
):
    answer = run_here(script, word, cwd=tmp_path)
    assert f"unrecognized arguments: {word}. Did you mean {meant}? (see" in last_line(answer)


@pytest.mark.parametrize("word", ["--zzz", "--lr"])
def test_a_flag_unlike_any_is_answered_without_a_guess(word, run_here, tmp_path):
    assert "Did you mean" not in last_line(run_here("train.py", word, cwd=tmp_path))


def test_a_file_in_the_place_of_a_run_is_left_alone(run_here, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "r").write_text("a thesis")
    for more in ([], ["--overwrite"], ["--resume"]):
        answer = run_here("train.py", *SMALL, "--run-name", "r", *more, cwd=tmp_path)
        assert "models/r is a file; choose another --run-name" in last_line(answer)
    assert (tmp_path / "models" / "r").read_text() == "a thesis"


def test_a_damaged_spectrum_is_told_and_without_it_the_run_goes_on(run_here, folder):
    run = folder / "models" / "small"
    (run / "spectrum.npz").write_bytes(b"PK half")
    words = ["--run-name", "small", *SMALL, "--max-epoch", 4, "--resume"]
    line = last_line(run_here("train.py", *words, cwd=folder))
    assert "spectrum.npz is damaged" in line
    assert "remove it, and --resume goes on" in line
    (run / "spectrum.npz").unlink()
    answer = run_here("train.py", *words, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert len(pd.read_csv(run / "history.csv")) == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.json", ["evaluate.py", "small"]),
        ("prices.npz", ["evaluate.py", "small"]),
        ("model.keras", ["evaluate.py", "small"]),
        ("checkpoint.npz", ["train.py", "--run-name", "small", *SMALL[:4], "--seed", 7,
                            "--max-epoch", 4, "--resume"]),
    ],
)  # fmt: skip
def test_a_file_that_may_not_be_read_is_not_called_damaged(
    name, words, folder, run_here, monkeypatch
):
    path = folder / "models" / "small" / name
    opened = open

    def refuse(file, *arguments, **options):
        if isinstance(file, (str, os.PathLike)) and os.fspath(file).endswith(f"small/{name}"):
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *arguments, **options)

    # The superuser may read everything: the system's answer is imitated.
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    # Python 3.10's has taken its open before.
    monkeypatch.setattr("pathlib.Path.open", refuse)
    line = last_line(run_here(*words[:1], *words[1:], cwd=folder))
    assert f"cannot read models/small/{name}: Permission denied" in line
    assert "damaged" not in line
    assert "--overwrite" not in line
    assert path.exists()


def test_without_a_name_the_newest_complete_run_is_evaluated(run_here, folder):
    newer = folder / "models" / "newer"
    shutil.copytree(folder / "models" / "small", newer)
    (newer / "model.keras").unlink()
    os.utime(newer / "config.json", (4e9, 4e9))
    answer = run_here("evaluate.py", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[0] == "run models/small"
    shutil.rmtree(folder / "models" / "small")
    answer = run_here("evaluate.py", cwd=folder)
    assert "no complete run in models: the newest, newer, was interrupted" in last_line(answer)


@pytest.mark.parametrize(
    ("program", "train"),
    [("evaluate.py", "python train.py"), ("python -m stock_rnn", "python -m stock_rnn train"),
     ("stock-rnn", "stock-rnn train")],
)  # fmt: skip
def test_a_hint_is_the_run_s_own_command_as_the_user_would_type_it(
    program, train, folder, capsys, monkeypatch, run_here
):
    (folder / "models" / "small" / "model.keras").unlink()
    monkeypatch.chdir(folder)
    if program == "evaluate.py":
        line = last_line(run_here("evaluate.py", "small", cwd=folder))
    else:
        assert main(["evaluate", "small"], program=program) == 2
        line = capsys.readouterr().err.splitlines()[-1]
    hint = line.rpartition("go on with it by ")[2]
    assert hint == f"{train} --resume small"
    assert run_here("train.py", *hint.removeprefix(train).split(), cwd=folder).returncode == 0
    assert (folder / "models" / "small" / "model.keras").exists()


def test_a_longer_training_goes_on_with_the_shorter_run(run_here, tmp_path):
    words = [*SMALL[:4], "--hessian-every", 0]
    assert run_here("train.py", *words, "--max-epoch", 1, cwd=tmp_path).returncode == 0
    answer = run_here("train.py", *words, "--max-epoch", 2, "--resume", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "going on after epoch 1" in answer.stderr
    (record,) = (tmp_path / "models").glob("*/config.json")
    assert "_epoch1_" in record.parent.name
    assert json.loads(record.read_text())["config"]["max_epoch"] == 2
    assert len(pd.read_csv(record.parent / "history.csv")) == 2


# What the import is of -> how the process ends.
MOMENTS = {"argparse": (-signal.SIGINT, 0), "tensorflow": (130, 1), "keras": (130, 1)}


@pytest.mark.parametrize("moment", sampled(MOMENTS, ["argparse", "tensorflow"]))
@pytest.mark.parametrize(
    "command",
    [["train.py"], pytest.param(["-m", "stock_rnn", "train"], marks=pytest.mark.zoo)],
)
def test_ctrl_c_at_the_start_leaves_no_traceback(command, moment, tmp_path):
    # Presses Ctrl-C when a module is about to be imported.
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, signal, sys
from tests.samples import sampled
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
sys.modules.pop("argparse", None)
""")
    script = [str(ROOT / command[0])] if command[0].endswith(".py") else command
    answer = subprocess.run(
        [sys.executable, *script, *map(str, SMALL)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    code, lines = MOMENTS[moment]
    assert "Traceback" not in answer.stderr
    assert answer.returncode == code, answer.stderr
    assert sum("interrupted" in line for line in answer.stderr.splitlines()) == lines


def test_a_training_that_fails_before_it_begins_leaves_no_file(run_here, tmp_path):
    for words in (["--symbol", "NOSUCH", "--source", "bundled"], ["--csv", "absent.csv"]):
        assert run_here("train.py", *words, cwd=tmp_path).returncode == 2
        assert run_here("train.py", *words, "--resume", cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_logs_that_cannot_be_written_leave_no_half_of_a_run(run_here, tmp_path):
    (tmp_path / "logs").write_text("a file")
    answer = run_here("train.py", *SMALL, "--run-name", "r", cwd=tmp_path)
    assert "cannot write the run to models/r and logs/r" in last_line(answer)
    assert not (tmp_path / "models" / "r").exists()
    assert (tmp_path / "logs").read_text() == "a file"


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_a_file_in_the_place_of_the_models_is_told(script, run_here, tmp_path):
    (tmp_path / "README.md").touch()
    answer = run_here(script, "--models-dir", "README.md", cwd=tmp_path)
    assert "README.md: it is a file; choose another --models-dir" in last_line(answer)


def test_an_unknown_model_is_told_by_its_flag(run_here, folder):
    answer = run_here("evaluate.py", "small", "--model", "middle", cwd=folder)
    assert "--model must be one of last, best. Received: 'middle'" in last_line(answer)
