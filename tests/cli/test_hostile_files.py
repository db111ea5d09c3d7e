"""Damaged, missing and unreadable files, full disks: one line, exit code 2, and nothing is lost."""

import dataclasses
import json
import os
import pathlib
import resource
import shutil
import zipfile

import numpy as np
import pytest

from stock_rnn.study import records
from stock_rnn.study.folder import Folder, write_study
from tests.cli.hostile import EVALUATE, RESUME, fingerprint, only_error
from tests.study.cases import made_record

# How a file of a run may be damaged.


def truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(np.random.default_rng(0).bytes(3000))


def another_kind(path):
    """What can be read as a file of that kind, and is something else."""
    if path.suffix == ".npz":
        np.savez(path, abc=np.zeros(3))
    elif path.suffix == ".keras":
        with path.open("wb") as file:
            np.savez(file, abc=np.zeros(3))
    else:
        path.write_text('["a", "list"]\n' if path.suffix == ".json" else "a,b\n1,two\n")


def flipped(path):
    """The last byte of a file in the archive is another: its directory is whole, a sum is not."""
    with zipfile.ZipFile(path) as archive:
        _, second = archive.infolist()[:2]
    content = bytearray(path.read_bytes())
    content[second.header_offset - 1] ^= 0xFF
    path.write_bytes(bytes(content))


def a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = (truncated, emptied, garbage, another_kind, a_folder)
BEST = [*EVALUATE, "--model", "best"]
READERS = {
    "config.json": (EVALUATE, RESUME),
    "prices.npz": (EVALUATE, RESUME),
    "model.keras": (EVALUATE,),
    "best.keras": (BEST,),
    "checkpoint.npz": (RESUME,),
    "history.csv": (RESUME,),
    "spectrum.npz": (RESUME,),
}
FILES = [
    (name, damage, words)
    for name, commands in READERS.items()
    for damage in DAMAGES
    for words in commands
] + [("checkpoint.npz", flipped, RESUME), ("prices.npz", flipped, EVALUATE)]


def case(value):
    return getattr(value, "__name__", None) or (value[0] if isinstance(value, list) else None)


@pytest.mark.parametrize(("name", "damage", "words"), FILES, ids=case)
def test_a_damaged_file_is_named(name, damage, words, folder, refused):
    damage(folder / "models" / "small" / name)
    line = refused(words, name)
    assert ("is a folder" in line) or (damage is not a_folder)


@pytest.mark.parametrize(("name", "damage", "words"), FILES, ids=case)
def test_a_damaged_run_is_a_row_that_says_so(name, damage, words, folder, answer):
    damage(folder / "models" / "small" / name)
    before = fingerprint(folder)
    code, out, errors = answer(["runs"])
    assert (code, errors) == (0, [])
    row, fault = out.splitlines()[1:]
    assert row.split()[:2] == ["small", "damaged"]
    assert fault.startswith("small (damaged): models/small/")
    assert name in fault
    (content,) = json.loads(answer(["runs", "--json"])[1])
    assert (content["state"], name in content["detail"]) == ("damaged", True)
    assert fingerprint(folder) == before


MISSING = {
    "config.json": EVALUATE,
    "prices.npz": EVALUATE,
    "best.keras": BEST,
    "checkpoint.npz": RESUME,
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_file_is_named(name, folder, refused):
    (folder / "models" / "small" / name).unlink()
    assert "is missing" in refused(MISSING[name], f"models/small/{name}")


UNREADABLE = [(name, words) for name, commands in READERS.items() for words in commands]


@pytest.mark.parametrize(("name", "words"), UNREADABLE, ids=case)
def test_a_file_that_may_not_be_read_is_not_called_damaged(
    name, words, folder, answer, monkeypatch
):
    opened = open

    def refuse(file, *arguments, **options):
        if isinstance(file, (str, os.PathLike)) and os.fspath(file).endswith(f"small/{name}"):
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *arguments, **options)

    # The superuser may read everything: the system's answer is imitated.
    path = folder / "models" / "small" / name
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refuse)
        patch.setattr("io.open", refuse)
        code, _, lines = answer(words)
    line = only_error(code, words, lines)
    assert f"cannot read models/small/{name}: Permission denied" in line
    assert "damaged" not in line
    assert "--overwrite" not in line
    assert path.read_bytes() == before


# Files that cannot be written.


@pytest.fixture
def full_disk():
    """No file may grow beyond 2,000 bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python asks not to be killed for it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "words",
    [EVALUATE, BEST, [*EVALUATE, "--symbol", "^IXIC", "--period", "1y"]],
    ids=["last", "best", "other prices"],
)
def test_evaluate_on_a_full_disk(words, folder, answer, full_disk):
    before = fingerprint(folder)
    code, _, lines = answer(words)
    line = only_error(code, words, lines)
    assert "error: cannot write to models/small" in line
    assert "File too large" in line
    after = fingerprint(folder)
    # Folders alone may be new.
    assert {path: content for path, content in after.items() if content} == {
        path: content for path, content in before.items() if content
    }


def a_folder_in_place_of_a_result(run):
    (run / "final_predictions.json").mkdir()


def a_file_in_place_of_the_evaluations(run):
    (run / "evaluations").write_text("mine")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (a_folder_in_place_of_a_result, EVALUATE),
        (a_file_in_place_of_the_evaluations, [*EVALUATE, "--symbol", "^IXIC", "--period", "1y"]),
    ],
    ids=case,
)
def test_a_result_whose_place_is_taken(change, words, folder, refused):
    change(folder / "models" / "small")
    refused(words, "cannot write to models/small")


def test_logs_that_cannot_be_written(folder, refused):
    shutil.rmtree(folder / "logs" / "small")
    (folder / "logs" / "small").write_text("mine")
    (folder / "models" / "small" / "model.keras").unlink()
    refused(["train", "--resume", "small"], "logs/small")


# The study's files. A record has a hexadecimal number for a name.
KEY = "00000000000000aa"


@pytest.fixture
def study(folder):
    """The folder of a finished study of one run."""
    (folder / "results" / "runs").mkdir(parents=True)
    record = dataclasses.replace(made_record(test_loss=1.0), key=KEY)
    records.save(folder / "results" / "runs" / f"{KEY}.json", record)
    write_study(Folder(folder / "results"), "python reproduce.py", {}, [KEY])
    return folder / "results"


DRAW = ["reproduce", "--from-results", "results"]


@pytest.mark.parametrize("damage", DAMAGES, ids=case)
@pytest.mark.parametrize("name", ["study.json", f"runs/{KEY}.json"])
def test_a_damaged_file_of_a_study_is_named(name, damage, study, refused):
    damage(study / name)
    line = refused(DRAW, f"results/{name}", "run the study again")
    assert ("is a folder" in line) == (damage is a_folder)


@pytest.mark.parametrize("name", ["study.json", f"runs/{KEY}.json"])
def test_a_file_of_a_study_that_may_not_be_read_is_not_called_damaged(
    name, study, refused, monkeypatch
):
    read = pathlib.Path.read_text

    def denied(path, **options):
        if path.match(name):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, **options)

    monkeypatch.setattr("pathlib.Path.read_text", denied)
    assert "damaged" not in refused(DRAW, f"cannot read results/{name}: Permission denied")
