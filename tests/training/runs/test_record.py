import json
import shutil
import subprocess

import numpy as np
import pytest

from stock_rnn.config import Config, resolve
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.training import runs
from stock_rnn.training.runs import Run, record


def test_record_and_prices_are_read_back(run, prices):
    config = resolve("appendix", {"symbol": "^X"})
    runs.create(run, config, prices, overwrite=False)
    record = runs.read_record(run)
    assert record.config == config
    assert record.data["sha256"] == prices.sha256
    assert record.made_by["command"].startswith("python train.py --symbol")
    assert runs.read_prices(run).sha256 == prices.sha256
    np.testing.assert_array_equal(runs.read_prices(run).open, prices.open)


def test_an_existing_run_is_not_overwritten_unless_asked(run, prices):
    runs.create(run, Config(), prices, overwrite=False)
    with pytest.raises(UserError, match=r"exists and was interrupted: --resume"):
        runs.create(run, Config(), prices, overwrite=False)
    run.model.write_text("a model")
    with pytest.raises(UserError, match=r"exists and is complete: --overwrite"):
        runs.create(run, Config(), prices, overwrite=False)
    assert run.model.read_text() == "a model"
    runs.create(run, Config(seed=1), prices, overwrite=True)
    assert not run.model.exists()
    assert runs.read_record(run).config.seed == 1


def test_overwrite_spares_a_folder_that_is_not_a_run(run, prices):
    run.folder.mkdir(parents=True)
    (run.folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="exists and is not a run"):
        runs.create(run, Config(), prices, overwrite=True)
    assert (run.folder / "thesis.tex").read_text() == "years of work"


def test_prices_and_part_files_of_a_killed_training_are_no_obstacle(run, prices):
    run.folder.mkdir(parents=True)
    run.prices.write_bytes(b"half")
    (run.folder / ".tmp-abc.json").write_text("{")
    runs.create(run, Config(), prices, overwrite=False)
    assert runs.read_prices(run).sha256 == prices.sha256
    assert sorted(path.name for path in run.folder.iterdir()) == ["config.json", "prices.npz"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2}',
        "null",
        "\0\0",
        '{"format": 1, "config": 3}',
        "data",
        "made_by",
    ],
)
def test_a_damaged_record_is_refused(run, prices, content):
    runs.create(run, Config(), prices, overwrite=False)
    if content in ("data", "made_by"):
        content = json.dumps(json.loads(run.config.read_text()) | {content: {"symbol": 3}})
    run.config.write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        runs.read_record(run)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"format": 2}, "has format 2"), ({"config": {"attention": True}}, "the settings attention")],
)
def test_a_run_of_a_newer_version_is_not_called_damaged(run, prices, change, named):
    runs.create(run, Config(), prices, overwrite=False)
    content = json.loads(run.config.read_text())
    run.config.write_text(json.dumps({**content, **change}))
    with pytest.raises(UserError) as caught:
        runs.read_record(run)
    assert named in str(caught.value)
    assert str(caught.value).endswith(": upgrade it")
    assert (runs.summarize(run).state, runs.summarize(run).record) == ("of a newer version", None)


def test_damaged_or_other_prices_are_refused(run, prices):
    runs.create(run, Config(), prices, overwrite=False)
    kept = run.prices.read_bytes()
    for damage in (b"", b"text", kept[: len(kept) // 2]):
        run.prices.write_bytes(damage)
        with pytest.raises(UserError, match=r"prices\.npz is damaged"):
            runs.read_prices(run)
    other = Run("other", run.models_dir, run.logs_dir)
    changed = Prices("^X", "csv", prices.dates, prices.close + 1)
    runs.create(other, Config(), changed, overwrite=False)
    shutil.copy(other.prices, run.prices)
    with pytest.raises(UserError, match="is not what the run was trained on"):
        runs.read_prices(run)


@pytest.mark.parametrize("tracked", [True, False])
def test_the_git_revision_is_of_the_checkout_that_has_this_code(
    run, prices, tracked, tmp_path, monkeypatch
):
    def git(*words):
        names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", *names, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    (tmp_path / "record.py").write_text("# the code")
    git("init")
    git("commit", "--allow-empty", "-m", "somebody else's")
    if tracked:
        git("add", "record.py")
        git("commit", "-m", "with the code")
    monkeypatch.setattr(record, "__file__", str(tmp_path / "record.py"))
    runs.create(run, Config(), prices, overwrite=False)
    revision = runs.read_record(run).made_by["git_revision"]
    assert revision == (git("rev-parse", "HEAD") if tracked else None)
