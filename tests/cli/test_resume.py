"""`train.py --resume RUN`: on with a run by its name, without its flags."""

import json
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from stock_rnn.training.runs import run_name

SMALL = ("--period", "1y", "--lstm-size", 4, "--seed", 7)
WORDS = ("--period", "6mo", "--lstm-size", 2, "--hessian-every", 0)


@pytest.fixture
def train_here(run_here, tmp_path):
    """Run `train.py WORDS...` in the test's folder; it must succeed: its stderr."""

    def train(*words):
        answer = run_here("train.py", *words, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        return answer.stderr

    return train


def test_a_run_is_gone_on_with_by_its_name_to_the_bits_of_one_training(
    train_here, small_run, tmp_path
):
    # The flags of `small_config`, but for an epoch.
    train_here(*SMALL, "--max-epoch", 2, "--run-name", "r")
    assert "going on after epoch 2" in train_here("--resume", "models/r", "--max-epoch", 3)
    assert "is complete" in train_here("--resume", "r")
    run = tmp_path / "models" / "r"
    with np.load(run / "checkpoint.npz") as one, np.load(small_run.checkpoint) as whole:
        assert one.files == whole.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], whole[name])
    config = json.loads((run / "config.json").read_text())["config"]
    assert (config["max_epoch"], config["lstm_size"], config["period"]) == (3, 4, "1y")
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == ["r"]


def test_the_flags_of_a_run_with_the_name_of_an_older_version_find_it(
    train_here, small_config, small_run, tmp_path
):
    # As a version would have spelled it that named every setting.
    older = f"{run_name(small_config)}_initepoch-5"
    shutil.copytree(small_run.folder, tmp_path / "models" / older)
    assert f"run models/{older} is complete" in train_here(*SMALL, "--max-epoch", 3, "--resume")
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == [older]


@pytest.mark.parametrize("words", [("--run-name", "r"), (), ("--models-dir", "my models")])
def test_ctrl_c_names_the_command_that_goes_on(words, run_here, train_here, tmp_path, monkeypatch):
    def press(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("stock_rnn.training.fit.fit", press)
        answer = run_here("train.py", *WORDS, "--max-epoch", 1, *words, cwd=tmp_path)
    assert answer.returncode == 130
    line = answer.stderr.splitlines()[-1]
    command, end, _ = line.removeprefix("train.py: interrupted; ").partition(" goes on with")
    assert end
    (record,) = tmp_path.glob("*/*/config.json")
    typed = shlex.split(command)
    assert typed[:4] == ["python", "train.py", "--resume", record.parent.name]
    with monkeypatch.context() as patch:
        # As if it trained: no other run is begun.
        patch.setattr("stock_rnn.training.fit.fit", lambda *arguments: None)
        train_here(*typed[2:])
    assert list(tmp_path.glob("*/*/config.json")) == [record]


def test_ctrl_c_before_anything_is_saved_says_so(run_here, tmp_path, monkeypatch):
    def press(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("stock_rnn.training.train.prices_of", press)
    answer = run_here("train.py", *WORDS, cwd=tmp_path)
    assert answer.stderr.splitlines()[-1] == (
        "train.py: interrupted; nothing was begun, and the same command begins it"
    )


def test_a_damaged_file_costs_a_complete_run_nothing(run_here, train_here, small_run, tmp_path):
    run = tmp_path / "models" / "small"
    shutil.copytree(small_run.folder, run)
    (run / "history.csv").write_text("loss\nnot a number\n")
    answer = run_here("train.py", "--resume", "small", "--max-epoch", 4, cwd=tmp_path)
    assert answer.returncode == 2
    assert (run / "model.keras").exists()
    # What the line advises.
    assert "history.csv is damaged" in answer.stderr
    assert "remove it, and --resume goes on" in answer.stderr
    (run / "history.csv").unlink()
    train_here("--resume", "small", "--max-epoch", 4)
    assert len(pd.read_csv(run / "history.csv")) == 1


def test_folders_and_csvs_with_spaces_and_unicode(run_here, train_here, tmp_path):
    days = pd.bdate_range("2020-01-01", periods=60)
    closes = 100 + np.random.default_rng(0).normal(size=60)
    csv = tmp_path / "meine Daten" / "Kurse – 株価 €.csv"
    csv.parent.mkdir()
    pd.DataFrame({"Date": days, "Close": closes}).to_csv(csv, index=False)
    folders = ("--models-dir", "meine Läufe", "--logs-dir", "журнал")
    path = csv.relative_to(tmp_path)
    train_here("--csv", path, *WORDS[2:], "--max-epoch", 1, *folders)
    (record,) = (tmp_path / "meine Läufe").glob("*/config.json")
    assert record.parent.name.isascii()
    assert " " not in record.parent.name
    name = record.parent.name
    command = json.loads(record.read_text())["made_by"]["command"]
    again = shlex.split(command)[2:]
    assert "is complete" in train_here(*again, "--resume")
    assert run_here("evaluate.py", name, *folders, cwd=tmp_path).returncode == 0
    listed = run_here("runs.py", *folders, cwd=tmp_path)
    assert listed.stdout.splitlines()[1].startswith(f"{name}  complete")
    assert run_here("delete.py", name, "--yes", *folders, cwd=tmp_path).returncode == 0
    assert list((tmp_path / "журнал").iterdir()) == []
