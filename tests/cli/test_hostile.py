"""Impossible flags and names, locks, kills: one line, exit code 2, and nothing is lost.

A case is a line of a table. All run in this process but those of the last section, which are
repeated as real processes.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import filelock
import pytest

from tests.cli.hostile import EVALUATE, RESUME, fingerprint
from tests.conftest import ROOT

# Flags and names. Words -> what the line names.
REFUSED = {
    "resume no run": (["train", "--resume", "absent"], "no run at models/absent"),
    "resume a foreign folder": (["train", "--resume", "foreign"], "no run at models/foreign"),
    "resume by a path that is none": (["train", "--resume", "models/absent"], "models/absent"),
    "resume a parent": (["train", "--resume", ".."], ".."),
    "resume with a setting": ([*RESUME, "--lstm-size", "4"], "leave out --lstm-size"),
    "resume with a preset": ([*RESUME, "--preset", "table5.2"], "leave out --preset"),
    "resume with a name": ([*RESUME, "--run-name", "small"], "leave out --run-name"),
    "resume with overwrite": ([*RESUME, "--overwrite"], "leave out --overwrite"),
    "resume with prices": ([*RESUME, "--csv", "a.csv", "--seed", "1"], "leave out --csv, --seed"),
    "resume to fewer epochs": (["train", "--resume", "small", "--max-epoch", "2"], "of 3 epochs"),
    "resume to no epochs": (["train", "--resume", "small", "--max-epoch", "0"], "--max-epoch"),
    "resume to epochs in words": (["train", "--resume", "small", "--max-epoch", "x"], "--max-ep"),
    "resume twice": (["train", "--resume", "small", "small"], "unrecognized arguments: small"),
    "momentum of one": (["train", "--optimizer", "momentum", "--momentum", "1"], "--momentum must"),
    "momentum of another optimizer": (
        ["train", "--momentum", "0.5"],
        "--momentum is of --optimize",
    ),
    "an epsilon of SGD": (
        ["train", "--optimizer", "sgd", "--epsilon", "1"],
        "--epsilon is of --opt",
    ),
    "a batch of gradient descent": (
        ["train", "--optimizer", "gd", "--batch-size", "8"],
        "--batch-size has no effect",
    ),
    "a network too large for Newton": (
        ["train", "--optimizer", "newton", "--lstm-size", "32"],
        "up to 2,000 weights, and this network has 4,385: lower --lstm-size",
    ),
    "a negative damping": (["train", "--optimizer", "newton", "--damping", "-1"], "--damping must"),
    "a learning rate of Newton": (
        ["train", "--optimizer", "newton", "--init-learning-rate", "1"],
        "--init-learning-rate has no effect: --optimizer newton makes whole steps",
    ),
    "noise on Newton": (
        ["train", "--optimizer", "newton", "--perturb-radius", "1"],
        "--perturb-radius has no effect: --optimizer newton adds no noise",
    ),
    "no Krylov space": (
        ["train", "--optimizer", "saddle-free-newton", "--krylov-dimension", "0"],
        "--krylov-dimension must be at least 1",
    ),
    "a negative radius": (["train", "--perturb-radius", "-1"], "--perturb-radius must be at least"),
    "a radius of words": (["train", "--perturb-radius", "small"], "--perturb-radius"),
    "stuck without a radius": (["train", "--perturb", "stuck"], "--perturb has no effect"),
    "a threshold of all steps": (
        ["train", "--perturb-radius", "1", "--perturb-threshold", "1"],
        "--perturb-threshold is of --perturb stuck alone",
    ),
    "a name with a space": (["train", "--run-name", "my run"], "'my run'"),
    "a name in unicode": (["train", "--run-name", "läuft"], "'läuft'"),
    "a name of emoji": (["train", "--run-name", "📈"], "--run-name"),
    "a name with a line end": (["train", "--run-name", "a\nb"], "--run-name"),
    "a name that is a flag": (["train", "--run-name", "-rf"], "--run-name"),
    "a name that is hidden": (["train", "--run-name", ".small"], "'.small'"),
    "a name too long": (["train", "--run-name", "x" * 201], "1 to 200"),
    "an existing name": (["train", "--run-name", "small"], "models/small exists"),
    "a foreign name": (["train", "--run-name", "foreign", "--overwrite"], "models/foreign"),
    "evaluate a name with a space": (["evaluate", "my run"], "'my run'"),
    "evaluate a file": (["evaluate", "models/foreign/thesis.tex"], "thesis.tex"),
    "evaluate a csv with a space": ([*EVALUATE, "--csv", "my prices.csv"], "my prices.csv"),
    "evaluate a csv in unicode": ([*EVALUATE, "--csv", "Kurse-€.csv"], "Kurse-€.csv"),
    "models in a file": (["runs", "--models-dir", "models/foreign/thesis.tex"], "thesis.tex"),
    "runs of a word": (["runs", "small"], "small"),
    "runs with a wrong flag": (["runs", "--jsn"], "Did you mean --json?"),
    "compare one": (["compare", "small"], "two runs"),
    "compare none": (["compare"], "RUN"),
    "compare with none there": (["compare", "small", "absent"], "models/absent"),
    "compare with a foreign": (["compare", "foreign", "small"], "models/foreign"),
    "delete nothing": (["delete", "--yes"], "RUN"),
    "delete no run": (["delete", "absent", "--yes"], "models/absent"),
    "delete a foreign folder": (["delete", "foreign", "--yes"], "foreign is not a run"),
    "delete all runs": (["delete", "models", "--yes"], "no run at models/models: stock-rnn"),
    "delete this folder": (["delete", ".", "--yes"], "--run-name"),
    "delete the folder above": (["delete", "..", "--yes"], "'..'"),
    "delete outside": (["delete", "../elsewhere/small", "--yes"], "is not in models"),
    "delete by a detour": (["delete", "models/small/../..", "--yes"], "'..'"),
    "delete an absolute path": (["delete", "/etc", "--yes"], "is not in models"),
    "delete the logs alone": (["delete", "logs/small", "--yes"], "is not in models"),
    "delete a pattern": (["delete", "*", "--yes"], "'*'"),
    "results in a file": (
        ["reproduce", "--quick", "--results", "models/foreign/thesis.tex"],
        "thesis.tex",
    ),
    "results of no study": (["reproduce", "--from-results", "models"], "models holds no study"),
    "a study without processes": (["reproduce", "--quick", "--jobs", "0"], "--jobs"),
    "a study without seeds": (["reproduce", "--seeds", "0"], "--seeds"),
    "a study of no csv": (["reproduce", "--quick", "--csv", "Kurse €.csv"], "Kurse €.csv"),
    "a quick study without sweeps": (["reproduce", "--quick", "--no-sweeps"], "--no-sweeps"),
    "predict by no run": (["predict", "absent"], "no run at models/absent"),
    "predict by a foreign folder": (["predict", "foreign"], "no run at models/foreign"),
    "predict by a third model": (["predict", "small", "--model", "first"], "one of last, best"),
    "predict no days": (["predict", "small", "--horizon", "0"], "--horizon must be 1 to 1000"),
    "predict for ever": (["predict", "small", "--horizon", "9999"], "--horizon must be 1 to"),
    "predict days in words": (["predict", "small", "--horizon", "ten"], "--horizon"),
    "predict all": (["predict", "small", "--coverage", "1"], "--coverage must be above 0"),
    "predict by no number": (
        ["predict", "small", "--coverage", "nan"],
        "--coverage must be above 0",
    ),
    "predict by no calendar": (["predict", "small", "--calendar", "Mars"], "--calendar must be"),
    "predict by a name with a space": (
        ["predict", "small", "--calendar", " "],
        "--calendar must be",
    ),
    "predict by a wrong flag": (["predict", "--horizn", "3"], "Did you mean --horizon?"),
    "predict from no csv": (["predict", "small", "--csv", "Kurse €.csv"], "Kurse €.csv"),
    "predict from too few": (
        ["predict", "small", "--start", "2018-12-28", "--end", "2018-12-31"],
        "2 prices are too few: the model reads 4",
    ),
    "a formula that is none": (["surface", "--surface", "x +"], "no formula of x and y"),
    "a formula with code": (["surface", "--surface", "open('a', 'w')"], "no formula of x and y"),
    "a surface misspelled": (
        ["surface", "--surface", "sadle"],
        "no surface 'sadle'; did you mean saddle? Named are two",
    ),
    "an optimizer that is none": (["surface", "--optimizers", "gd,rmsporp"], "'rmsporp'"),
    "an optimizer twice": (["surface", "--optimizers", "gd,gd"], "names gd twice"),
    "a start outside": (["surface", "--start", "9", "9"], "--start must be in the window"),
    "a start of words": (["surface", "--start", "left", "top"], "--start"),
    "a start without a slope": (
        ["surface", "--surface", "log(x)", "--start", "-1", "0"],
        "not finite at --start",
    ),
    "a window inside out": (["surface", "--window", "1", "-1", "0", "1"], "--window must be"),
    "no steps": (["surface", "--steps", "0"], "--steps must be from 1"),
    "no rate": (["surface", "--learning-rate", "nan"], "--learning-rate must be above 0"),
    "a surface with a negative radius": (["surface", "--perturb-radius", "-1"], "--perturb-radius"),
    "pictures in a file": (
        ["surface", "--steps", "1", "--out", "models/foreign/thesis.tex"],
        "cannot write the pictures to models/foreign/thesis.tex",
    ),
    "delete without a terminal": (["delete", "small"], "--yes"),
    "delete one that is not there too": (["delete", "small", "absent", "--yes"], "models/absent"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused(name, refused):
    words, named = REFUSED[name]
    refused(words, named)


def link_models(folder):
    (folder / "models" / "small").rename(folder / "elsewhere")
    (folder / "models" / "small").symlink_to(folder / "elsewhere")


def link_logs(folder):
    (folder / "logs" / "small").rename(folder / "elsewhere")
    (folder / "logs" / "small").symlink_to(folder / "elsewhere")


@pytest.mark.parametrize(("link", "named"), [(link_models, "models"), (link_logs, "logs")])
def test_delete_refuses_a_link(link, named, folder, refused):
    link(folder)
    refused(["delete", "small", "--yes"], f"{named}/small is a link")


@pytest.mark.parametrize("top", ["models", "logs"])
def test_delete_in_a_folder_that_may_only_be_read(top, folder, refused, monkeypatch):
    renamed = pathlib.Path.rename

    def rename(path, target):
        if path.parts[0] == top:
            raise OSError(30, "Read-only file system", str(path))
        return renamed(path, target)

    # The superuser may write everywhere: the system's answer is imitated.
    monkeypatch.setattr("pathlib.Path.rename", rename)
    refused(["delete", "small", "--yes"], f"cannot delete {top}/small: Read-only file system")


def test_runs_are_listed_where_nothing_may_be_written(folder, answer, monkeypatch):
    (folder / "models" / ".small.lock").touch()

    def acquire(lock, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    code, out, errors = answer(["runs"])
    assert (code, errors) == (0, [])
    assert out.splitlines()[1].split()[:2] == ["small", "complete"]


LOCKED = (
    ["delete", "small", "--yes"],
    ["train", "--run-name", "small", "--overwrite"],
    RESUME,
)


@pytest.mark.parametrize("words", LOCKED, ids=["delete", "overwrite", "resume"])
def test_a_run_that_is_being_trained_is_left_alone(words, folder, refused, answer):
    with filelock.FileLock(folder / "models" / ".small.lock"):
        refused(words, "run models/small is being trained by another process")
        assert answer(["runs"])[1].splitlines()[1].split()[:3] == ["small", "being", "trained,"]


def diverged(run):
    (run / "model.keras").unlink()
    (run / "diverged.json").write_text('{"message": "training diverged in epoch 9"}')


def newer(run):
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**content, "format": 99}))


@pytest.mark.parametrize("words", [EVALUATE, RESUME], ids=["evaluate", "resume"])
@pytest.mark.parametrize(
    ("change", "named"), [(diverged, "diverged in epoch 9"), (newer, "upgrade it")]
)
def test_a_run_in_another_state_is_told(change, named, words, folder, refused):
    change(folder / "models" / "small")
    assert "damaged" not in refused(words, named)


@pytest.mark.parametrize("command", ["evaluate", "landscape"])
def test_what_a_killed_command_left_is_removed_once_nobody_can_still_write_it(
    command, folder, answer
):
    run = folder / "models" / "small"
    left, recent = run / ".tmp-left.json", run / ".tmp-recent.json"
    for part in (left, recent):
        part.write_text("{")
    hours_ago = time.time() - 2 * 3600
    os.utime(left, (hours_ago, hours_ago))
    # It ends before it loads the network.
    refused = {"evaluate": ["--csv", "absent.csv"], "landscape": ["--model", "worst"]}
    assert answer([command, "small", *refused[command]])[0] == 2
    assert (left.exists(), recent.exists()) == (False, True)


# Real processes.


@pytest.mark.parametrize(
    ("words", "named"),
    [REFUSED[name] for name in ("resume with a setting", "delete outside", "compare one")],
)
def test_a_real_process_ends_the_same_way(words, named, folder):
    before = fingerprint(folder)
    answer = subprocess.run(
        [sys.executable, "-m", "stock_rnn", *words], cwd=folder, capture_output=True, text=True,
        check=False, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"python -m stock_rnn {words[0]}: error: ")
    assert answer.stderr.count("\n") == 1
    assert named in answer.stderr
    assert fingerprint(folder) == before


def start(*words, cwd):
    return subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=cwd, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.zoo
def test_eight_trainings_at_once_in_one_folder(folder, answer):
    words = ["--period", "6mo", "--lstm-size", 2, "--max-epoch", 1, "--hessian-every", 0]
    process = start(ROOT / "tests/cli/eight_at_once.py", *words, cwd=folder)
    out, err = process.communicate(timeout=600)
    codes = json.loads(out.splitlines()[-1])
    # Of six under one name one trains; the others are told that it does, or did.
    assert codes[:2] == [0, 0], err
    assert sorted(codes[2:]) == [0, 2, 2, 2, 2, 2]
    refusals = [line for line in err.splitlines() if line.startswith("train.py: error: ")]
    assert len(refusals) == 5
    for line in refusals:
        assert "run models/same is being trained" in line or "run models/same exists" in line
    assert "Traceback" not in err
    listed = json.loads(answer(["runs", "--json"])[1])
    assert len(listed) == 4
    assert {(each["state"], each["detail"]) for each in listed} == {("complete", None)}
    assert len({each["settings"]["seed"] for each in listed}) == 4
    assert not list(folder.rglob(".tmp-*"))


@pytest.mark.zoo
def test_a_killed_evaluation_loses_nothing_and_leaves_nothing_for_ever(folder, answer):
    before = fingerprint(folder)
    killer = """
import os, pathlib, signal, sys
from stock_rnn.cli.evaluate import main
# While the first result is written.
pathlib.Path.write_text = lambda path, *words, **options: (
    path.write_bytes(b"{"), os.kill(os.getpid(), signal.SIGKILL)
)
main(["small"])
"""
    process = start("-c", killer, cwd=folder)
    assert process.wait(timeout=600) == -signal.SIGKILL
    (part,) = folder.rglob(".tmp-*")
    after = fingerprint(folder)
    assert after.pop(str(part))
    assert after == before
    # It may be that of an evaluation that runs now.
    assert answer(EVALUATE)[0] == 0
    assert part.exists()
    hours_ago = time.time() - 2 * 3600
    os.utime(part, (hours_ago, hours_ago))
    assert answer(EVALUATE)[0] == 0
    assert not part.exists()
