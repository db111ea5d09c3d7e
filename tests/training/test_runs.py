import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.config import Config, resolve
from stock_rnn.errors import UserError
from stock_rnn.files import replacing
from stock_rnn.prices import Prices
from stock_rnn.training import runs
from stock_rnn.training.runs import Run


@pytest.fixture
def prices():
    dates = np.arange(60).astype("datetime64[D]").astype("datetime64[s]")
    return Prices("^X", "csv", dates, np.linspace(1, 2, 60), np.linspace(2, 3, 60))


@pytest.fixture
def run(tmp_path):
    return Run("a-run", tmp_path / "models", tmp_path / "logs")


def test_the_name_spells_out_the_configuration():
    assert runs.run_name(Config()) == (
        "GSPC_rmsprop_lr0.001_decay0.99_lstm32x1_step3_input1_batch64_epoch50_seed0"
    )


values = {
    "symbol": st.sampled_from(["^GSPC", "^DJI", "EURUSD=X", "../../etc/passwd", "A B"]),
    "keep_prob": st.sampled_from([0.5, 0.8, 1.0]),
    "period": st.sampled_from(["1y", "5y"]),
    "csv": st.sampled_from([None, "a.csv", "b/a.csv", "../a.csv"]),
    "open_and_close": st.booleans(),
    "init_learning_rate": st.sampled_from([0.001, 0.01]),
    "cell": st.sampled_from(["lstm", "gru"]),
    "split": st.sampled_from(["random", "chronological"]),
    "end": st.sampled_from([None, "2018-01-01"]),
}


@given(st.fixed_dictionaries(values), st.fixed_dictionaries(values))
def test_names_do_not_collide_and_are_names(one, other):
    a, b = Config(**one), Config(**other)
    assert (runs.run_name(a) == runs.run_name(b)) == (a == b)
    # The constructor refuses what is not a plain file name.
    Run(runs.run_name(a), None, None)
    assert len(runs.run_name(a)) <= 200


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\0", "x" * 201, "-rf", "a b"])
def test_a_run_name_is_not_a_path(name, tmp_path):
    with pytest.raises(UserError, match="a run's name must be"):
        Run(name, tmp_path, tmp_path)


def test_record_and_prices_go_round(run, prices):
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


def test_overwrite_touches_no_folder_that_is_not_a_run(run, prices):
    run.folder.mkdir(parents=True)
    (run.folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="exists and is not a run"):
        runs.create(run, Config(), prices, overwrite=True)
    assert (run.folder / "thesis.tex").read_text() == "years of work"


def test_what_a_kill_before_the_record_leaves_is_no_obstacle(run, prices):
    run.folder.mkdir(parents=True)
    run.prices.write_bytes(b"half")
    (run.folder / ".tmp-abc.json").write_text("{")
    runs.create(run, Config(), prices, overwrite=False)
    assert runs.read_prices(run).sha256 == prices.sha256


def test_two_processes_do_not_train_one_run(run):
    other = runs.locked(Run(run.name, run.models_dir, run.logs_dir))
    with runs.locked(run), pytest.raises(UserError, match="by another process"):
        other.__enter__()
    with runs.locked(run):
        pass


def test_runs_are_found_by_name_by_folder_and_by_age(run, prices, tmp_path):
    import os

    newer = Run("newer", run.models_dir, run.logs_dir)
    for age, each in ((100, run), (10, newer)):
        runs.create(each, Config(), prices, overwrite=False)
        stamp = each.config.stat().st_mtime - age
        os.utime(each.config, (stamp, stamp))
    find = lambda name: runs.open_run(name, run.models_dir, run.logs_dir)  # noqa: E731
    assert find(None).name == "newer"
    assert find("a-run").folder == run.folder
    assert find(run.folder).folder == run.folder
    with pytest.raises(UserError, match=r"no run at .*absent"):
        find("absent")
    with pytest.raises(UserError, match="no runs in"):
        runs.open_run(None, tmp_path / "empty", run.logs_dir)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": 2}', "null", "\0\0", '{"format": 1, "config": 3}']
)
def test_a_damaged_record_is_one_line(run, prices, content):
    runs.create(run, Config(), prices, overwrite=False)
    run.config.write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        runs.read_record(run)


def test_damaged_or_other_prices_are_noticed(run, prices):
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


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    runs.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        runs.write_json(path, {"a": float("nan")})
    with pytest.raises(UnicodeEncodeError), replacing(path) as temporary:
        temporary.write_text("half \udc80", encoding="utf-8")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
