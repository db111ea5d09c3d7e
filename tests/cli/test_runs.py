"""`runs`, `compare` and `delete`: runs as things one handles."""

import json
import os
import pty
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from stock_rnn.cli.main import main
from stock_rnn.training.runs import deleting
from tests.conftest import ROOT


@pytest.fixture
def folder(small_run, tmp_path, monkeypatch):
    """The current folder, with `small` and `wide`, which differ in two settings and in a loss."""
    shutil.copytree(small_run.models_dir, tmp_path / "models")
    shutil.copytree(small_run.logs_dir, tmp_path / "logs")
    for top in ("models", "logs"):
        shutil.copytree(tmp_path / top / "small", tmp_path / top / "wide")
    record = tmp_path / "models" / "wide" / "config.json"
    content = json.loads(record.read_text())
    content["config"] |= {"lstm_size": 99, "keep_prob": 0.5}
    record.write_text(json.dumps(content))
    # So that `wide` is the one that was begun last.
    os.utime(record, (4e9, 4e9))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def says(capsys):
    """Run `stock-rnn WORDS...`, which must succeed: what it prints."""

    def run(*words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


def test_runs_shows_the_settings_that_differ_and_the_losses_of_the_history(folder, says):
    history = pd.read_csv(folder / "models" / "small" / "history.csv")
    lines = says("runs").splitlines()
    head = ["run", "state", "lstm-size", "train", "best", "test", "persistence", "skill"]
    assert lines[0].split() == [*head, "other", "settings"]
    small, wide = (line.split() for line in lines[1:])
    last = history.iloc[-1]
    assert small == [
        "small", "complete", "4", f"{last.loss:.3g}", f"{history.loss.min():.3g}",
        f"{last.val_loss:.3g}", f"{last.val_persistence_loss:.3g}", f"{last.val_skill:+.3f}",
    ]  # fmt: skip
    assert wide == ["wide", "complete", "99", *small[3:], "--keep-prob", "0.5"]


def test_runs_as_json_has_all_settings_and_numbers(folder, says):
    small, wide = json.loads(says("runs", "--json"))
    record = json.loads((folder / "models" / "wide" / "config.json").read_text())
    assert wide["settings"] == record["config"]
    assert wide["data"] == record["data"]
    history = pd.read_csv(folder / "models" / "small" / "history.csv")
    best = history.loss.idxmin()
    assert small["best"] == {
        "epoch": best + 1, "train": history.loss[best], "test": history.val_loss[best],
    }  # fmt: skip
    assert small["last"]["epoch"] == small["epochs"] == 3
    assert small["skill"] == pytest.approx(history.val_skill.iloc[-1])
    assert (small["name"], small["folder"], small["state"]) == ("small", "models/small", "complete")


def kill_after_two_epochs(run):
    """As a kill in the third epoch leaves it: a checkpoint of two, and half a row too many."""
    (run / "model.keras").unlink()
    with np.load(run / "checkpoint.npz") as arrays:
        np.savez(run / "checkpoint.npz", **{**arrays, "epoch": 2})
    lines = (run / "history.csv").read_text().splitlines()
    (run / "history.csv").write_text("\n".join([*lines[:3], lines[3][:20]]))


def kill_before_an_epoch(run):
    for name in ("model.keras", "best.keras", "checkpoint.npz", "history.csv", "spectrum.npz"):
        (run / name).unlink()


def diverge(run):
    kill_after_two_epochs(run)
    message = "training diverged in epoch 3: the loss is not finite"
    (run / "diverged.json").write_text(json.dumps({"message": message}))


@pytest.mark.parametrize(
    ("change", "state", "epochs", "detail"),
    [
        (kill_after_two_epochs, "interrupted", 2, ""),
        (kill_before_an_epoch, "interrupted", 0, ""),
        (diverge, "diverged", 2, "training diverged in epoch 3"),
    ],
)
def test_the_state_of_a_run_that_is_not_complete(change, state, epochs, detail, folder, says):
    history = pd.read_csv(folder / "models" / "small" / "history.csv")
    change(folder / "models" / "small")
    out = says("runs")
    assert f"small  {state}, {epochs} of 3 epochs  " in out
    assert detail in out
    small = json.loads(says("runs", "--json"))[0]
    assert (small["state"], small["epochs"]) == (state, epochs)
    if epochs:
        assert small["last"]["test"] == history.val_loss[epochs - 1]
    else:
        assert (small["last"], small["best"], small["skill"]) == (None, None, None)


def test_runs_lists_runs_alone(folder, says):
    (folder / "models" / "a file").write_text("")
    (folder / "models" / "notes").mkdir()
    (folder / "models" / "notes" / "config.json").write_text("{}")
    (folder / "models" / ".deleted-123").mkdir()
    (folder / "models" / "broken").symlink_to("nowhere")
    assert [line.split()[0] for line in says("runs").splitlines()] == ["run", "small", "wide"]
    assert says("runs", "--models-dir", "empty") == "no runs in empty\n"
    assert json.loads(says("runs", "--models-dir", "empty", "--json")) == []


def test_compare_shows_what_differs_side_by_side(folder, says):
    rows = [line.split() for line in says("compare", "models/small", "wide").splitlines()]
    assert rows[0] == ["small", "wide"]
    assert rows[1:4] == [
        ["--lstm-size", "4", "99"], ["--keep-prob", "0.8", "0.5"],
        ["state", "complete", "complete"],
    ]  # fmt: skip
    assert [row[0] for row in rows[4:]] == ["train", "best", "test", "persistence", "skill"]
    # The columns of `runs` from the losses on.
    small = says("runs").splitlines()[1].split()[3:]
    assert [row[1:] for row in rows[4:]] == [[value, value] for value in small]


def test_compare_shows_a_damaged_run_beside_a_whole_one(folder, says):
    (folder / "models" / "wide" / "prices.npz").write_bytes(b"PK half")
    out = says("compare", "small", "wide")
    assert ["state", "complete", "damaged"] in [line.split() for line in out.splitlines()]
    assert out.splitlines()[-1].startswith("wide (damaged): models/wide/prices.npz is damaged")


def test_deleted_runs_are_gone_with_their_logs_and_nothing_else_is(folder, says):
    kept = sorted(path for path in folder.rglob("*") if "small" not in str(path))
    out = says("delete", "models/small", "small", "--yes")
    assert out == "deleted models/small and logs/small\n"
    left = sorted(path for path in folder.rglob("*") if path.suffix != ".lock")
    assert left == kept


@pytest.mark.parametrize("name", ["config.json", "prices.npz"])
def test_a_damaged_run_can_be_deleted(name, folder, says):
    (folder / "models" / "small" / name).unlink()
    assert says("delete", "small", "--yes")
    assert not (folder / "models" / "small").exists()


@pytest.mark.parametrize(
    ("typed", "gone"), [("y", True), ("n", False), ("", False), ("\x04", False)]
)
def test_delete_asks(typed, gone, folder):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stock_rnn", "delete", "small", "wide"], cwd=folder, stdin=theirs,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.write(ours, typed.encode() + (b"" if typed == "\x04" else b"\n"))
    out, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, err) == (0, "")
    assert "models/small and logs/small: " in out
    assert "delete 2 runs? [y/N] " in out
    assert ("nothing was deleted" in out) != gone
    for top in ("models", "logs"):
        for name in ("small", "wide"):
            assert (folder / top / name).exists() != gone


@pytest.mark.parametrize("moment", [0, 1, 2, 3])
def test_a_delete_that_is_interrupted_leaves_whole_runs_and_is_finished_by_the_next(
    moment, folder, says, monkeypatch, capsys
):
    renames = []

    def press(folder, set_aside=deleting._set_aside):
        if len(renames) == moment:
            raise KeyboardInterrupt
        renames.append(folder)
        return set_aside(folder)

    monkeypatch.setattr(deleting, "_set_aside", press)
    assert main(["delete", "small", "wide", "--yes"]) == 130
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    listed = json.loads(says("runs", "--json"))
    assert {each["state"] for each in listed} <= {"complete"}
    names = [each["name"] for each in listed]
    assert names == ["small", "wide"][moment // 2 :]
    assert all((folder / "logs" / name).exists() for name in names)
    says("delete", *names, "--yes")
    left = {path.name for path in folder.rglob("*") if path.suffix != ".lock"}
    assert left == {"models", "logs"}


def refuse_to_remove(monkeypatch, names):
    """As if some folders may not be written. The superuser may write all: it is imitated."""
    remove = shutil.rmtree

    def refuse(folder, **options):
        if any((folder / name).exists() for name in names):
            raise PermissionError(13, "Permission denied", names[0])
        remove(folder, **options)

    monkeypatch.setattr(deleting.shutil, "rmtree", refuse)


def test_files_that_cannot_be_removed_are_told_by_their_folder(folder, monkeypatch, capsys, says):
    refuse_to_remove(monkeypatch, ["model.keras"])
    assert main(["delete", "small", "--yes"]) == 2
    (left,) = (folder / "models").glob(".deleted-*")
    line = capsys.readouterr().err.splitlines()[-1]
    assert "the runs are gone from the list" in line
    assert f"(Permission denied); remove models/{left.name}" in line
    # What can be removed is.
    assert not list((folder / "logs").glob(".deleted-*"))
    assert [each["name"] for each in json.loads(says("runs", "--json"))] == ["wide"]


def test_what_an_earlier_delete_left_does_not_fail_the_next(folder, monkeypatch, capsys):
    left = folder / "models" / ".deleted-0123"
    left.mkdir()
    (left / "foreign").touch()
    refuse_to_remove(monkeypatch, ["foreign"])
    assert main(["delete", "small", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert out == "deleted models/small and logs/small\n"
    assert "models/.deleted-0123 is left of an earlier delete" in err
    assert not (folder / "models" / "small").exists()


def test_a_run_that_cannot_be_moved_leaves_all_of_the_named_runs(folder, monkeypatch, capsys, says):
    def refuse(folder, set_aside=deleting._set_aside):
        if folder.name == "wide" and folder.parent.name == "models":
            raise PermissionError(13, "Permission denied", str(folder))
        return set_aside(folder)

    monkeypatch.setattr(deleting, "_set_aside", refuse)
    assert main(["delete", "small", "wide", "--yes"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "cannot delete models/wide: Permission denied; nothing was deleted" in line
    assert [each["name"] for each in json.loads(says("runs", "--json"))] == ["small", "wide"]
    assert all((folder / "logs" / name).exists() for name in ("small", "wide"))
    assert not list(folder.rglob(".deleted-*"))


@pytest.mark.parametrize("command", ["compare wide", "delete --yes", "evaluate", "predict"])
def test_a_misspelled_run_is_told_the_closest_name(command, folder, capsys):
    assert main([*command.split(), "smal"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("no run at models/smal: did you mean small? stock-rnn runs lists the runs")


def test_the_commands_need_no_tensorflow(folder):
    for words in (["runs"], ["compare", "small", "wide"], ["delete", "small", "--yes"]):
        answer = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "stock_rnn", *words], cwd=folder,
            capture_output=True, text=True, check=True, timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        loaded = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
        assert "stock_rnn.training.runs" in loaded
        assert not loaded & {"tensorflow", "keras", "pandas", "matplotlib", "yfinance"}
