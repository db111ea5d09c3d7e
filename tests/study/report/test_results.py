"""What is written from records: files, evidence, TensorBoard."""

import dataclasses
import json
import re
import shutil

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.report.questions import QUESTIONS
from stock_rnn.study.report.tensorboard import write_event_files


def test_verdicts_are_written_for_all_claims_and_procedures(drawn):
    preface, questions, lines = drawn.markdown.read_text(encoding="utf-8").split("\n\n")
    assert len(preface.splitlines()) == 3
    # No cell breaks a table.
    for table, rows in ((questions, len(QUESTIONS)), (lines, len(CLAIMS))):
        assert len(table.splitlines()) == 2 + rows
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    content = json.loads(drawn.verdicts.read_text())
    assert {len(of) for of in content["variants"].values()} == {len(CLAIMS)}
    assert len(content["variants"]) == 5


def test_evidence_names_the_runs_behind_every_table_and_figure(drawn, grid, saddle_record):
    evidence = json.loads(drawn.evidence.read_text())
    runs = {record.key for record in (*grid, saddle_record)}
    assert set(pd.read_csv(drawn.table, dtype={"run": str})["run"]) == runs
    for name, keys in evidence.items():
        if name.startswith(("tables/", "figures/")):
            assert (drawn.path / name).exists()
            assert keys
        assert set(keys) <= runs, name
    made = {f"figures/{path.name}" for path in drawn.figures.glob("*.svg")}
    assert len(made) > 8
    assert made <= evidence.keys()
    assert evidence["figures/escapes.svg"] == [saddle_record.key]


def test_the_figures_and_tables_of_an_earlier_study_are_removed(drawn, grid, draw, tmp_path):
    folder = Folder(tmp_path / "results")
    shutil.copytree(drawn.path, folder.path)
    (folder.path / "notes.csv").write_text("mine")
    # Without curvature there are few figures to draw.
    record = next(record for record in grid if record.network == (1, 32))
    epochs = {n: v for n, v in record.epochs.items() if n == "epoch" or "loss" in n}
    draw(folder.path, [dataclasses.replace(record, epochs=epochs)])
    for path in (folder.figures / "figure_5.4.svg", folder.tables / "table_5.4.csv"):
        assert (drawn.path / path.relative_to(folder.path)).exists()
        assert not path.exists()
    assert not (folder.figures / "figure_5.4.png").exists()
    assert (folder.figures / "figure_5.1.svg").exists()
    assert (folder.path / "notes.csv").read_text() == "mine"


def test_tensorboard_has_every_run_with_its_settings(grid, saddle_record, tmp_path):
    old, mine = tmp_path / ("0" * 16), tmp_path / "mine"
    old.mkdir()
    mine.mkdir()
    found = [grid[4], saddle_record]
    write_event_files(tmp_path, found)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", *(r.key for r in found)}
    events = EventAccumulator(str(tmp_path / grid[4].key))
    events.Reload()
    plugin = events.summary_metadata["_hparams_/session_start_info"].plugin_data
    assert plugin.plugin_name == "hparams"
    for name, tag in (("test_loss", "test_loss"), ("lambda_min", "hessian/lambda_min")):
        written = [float(make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
        assert written == pytest.approx(grid[4].epochs[name].tolist(), rel=1e-6)
