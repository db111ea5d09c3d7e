"""The folder of a study: its list of runs, and its lock."""

import dataclasses
import json

import pytest

from stock_rnn.errors import UserError
from stock_rnn.study import records
from stock_rnn.study.folder import Folder, locked, read_study, write_study
from tests.study.cases import made_record

KEYS = ("0123456789abcdef", "00000000000000aa")


def test_one_study_at_a_time_writes_to_a_folder(tmp_path):
    folder = Folder(tmp_path / "new")
    with (
        locked(folder),
        pytest.raises(UserError, match=f"another study is writing to {folder.path}"),
        locked(folder),
    ):
        pass
    with locked(folder):
        pass


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    folder = Folder(tmp_path / "file" / "results")
    with pytest.raises(UserError, match=f"cannot write to {folder.path}"), locked(folder):
        pass


def listed(path, keys=KEYS):
    folder = Folder(path)
    write_study(folder, "python reproduce.py", {"symbol": "^GSPC"}, keys)
    folder.runs.mkdir()
    return folder


def keep(folder, key):
    record = made_record(test_loss=1.0)
    records.save(folder.runs / f"{key}.json", dataclasses.replace(record, key=key))


def test_finished_runs_are_read_and_missing_ones_counted(tmp_path, caplog):
    folder = listed(tmp_path)
    keep(folder, KEYS[0])
    keep(folder, "1" * 16)  # Of another study.
    command, found = read_study(folder)
    assert command == "python reproduce.py"
    assert [record.key for record in found] == [KEYS[0]]
    assert "1 of 2 runs are not finished and left out" in caplog.text
    caplog.clear()
    keep(folder, KEYS[1])
    assert [record.key for record in read_study(folder)[1]] == list(KEYS)
    assert caplog.text == ""


def test_a_study_without_finished_runs_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        read_study(listed(tmp_path))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", json.dumps({"runs": []}), json.dumps({"command": "", "runs": ["../x"]})],
)
def test_a_damaged_list_is_a_user_error(content, tmp_path):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(UserError, match=r"study\.json is damaged"):
        read_study(Folder(tmp_path))
