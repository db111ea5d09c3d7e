import dataclasses
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.config import OPTIMIZERS, PRESETS, Config, resolve
from stock_rnn.errors import UserError
from stock_rnn.training import runs
from stock_rnn.training.runs import Run
from stock_rnn.training.runs.names import is_made_of_settings


@pytest.mark.parametrize(
    ("settings", "first", "last"),
    [
        ({}, "GSPC", ""),
        ({"symbol": "^DJI"}, "DJI", ""),
        ({"symbol": "^FTSE"}, "FTSE", ""),
        ({"symbol": "AAPL"}, "AAPL", ""),
        ({"csv": "DAX.csv.gz"}, "DAX", "_csv.gz"),
        ({"csv": "GSPC.csv"}, "GSPC", "_csv"),
        ({"csv": "DAX.csv", "symbol": "mine"}, "mine", "_csv-DAX.csv"),
        ({"period": "1y"}, "GSPC", "_period-1y"),
        ({"open_and_close": True}, "GSPC", "_openandclose-True"),
        ({"start": "2015-04-01", "end": "2020-04-01"}, "GSPC", "_start-2015-04-01_end-2020-04-01"),
        ({"symbol": "^IXIC", "start": "2015-04-01", "end": "2020-04-01", "align": "newest"},
         "IXIC", "_etc-870f3e86"),
    ],
)  # fmt: skip
def test_the_name_begins_with_the_symbol_and_says_the_csv_once(settings, first, last):
    assert runs.run_name(Config(**settings)) == f"{first}_rmsprop_lstm32x1_seed0{last}"


def test_the_name_spells_what_is_not_the_default():
    config = Config(
        optimizer="gd", cell="gru", init_learning_rate=0.05, max_epoch=1_000_000, seed=7
    )
    assert runs.run_name(config) == "GSPC_gd_gru32x1_lr0.05_epoch1000000_seed7"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_name_of_a_preset_is_short(preset, optimizer):
    name = runs.run_name(dataclasses.replace(resolve(preset, {}), optimizer=optimizer))
    assert len(name) <= 50
    assert runs.names.is_made_of_settings(name)


def test_the_name_of_a_series_tells_an_index_from_a_stock(prices):
    names = {
        runs.series_name(dataclasses.replace(prices, symbol=symbol)) for symbol in ("^GSPC", "GSPC")
    }
    assert len(names) == 2


values = {
    "symbol": st.sampled_from(
        [None, "^GSPC", "GSPC", "^DJI", "^XYZ", "XYZ", "a", "EURUSD=X", "../../etc/passwd", "A B"]
    ),
    "keep_prob": st.sampled_from([0.5, 0.8, 1.0]),
    "period": st.sampled_from(["1y", "5y"]),
    "csv": st.sampled_from([None, "a", "a.csv", "a.csv.gz", "b/a.csv", "../a.csv", "GSPC.csv"]),
    "open_and_close": st.booleans(),
    "init_learning_rate": st.sampled_from([0.001, 0.00100000001, 0.01]),
    "align": st.sampled_from(["oldest", "newest"]),
    "cell": st.sampled_from(["lstm", "gru", "tt-lstm"]),
    "split": st.sampled_from(["random", "chronological"]),
    "end": st.sampled_from([None, "2018-01-01"]),
}


@given(st.fixed_dictionaries(values), st.fixed_dictionaries(values))
def test_different_configurations_have_different_valid_names(one, other):
    a, b = Config(**one), Config(**other)
    assert (runs.run_name(a) == runs.run_name(b)) == (a == b)
    # The constructor refuses what is not a plain file name.
    Run(runs.run_name(a), None, None)
    assert is_made_of_settings(runs.run_name(a))
    # The longest of these values, and a hash.
    assert len(runs.run_name(a)) <= 75


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\0", "x" * 201, "-rf", "a b"])
def test_a_run_name_is_not_a_path(name, tmp_path):
    with pytest.raises(UserError, match="a run's name must be"):
        Run(name, tmp_path, tmp_path)


def test_two_processes_do_not_train_one_run(run):
    other = runs.locked(Run(run.name, run.models_dir, run.logs_dir))
    with runs.locked(run), pytest.raises(UserError, match="by another process"):
        other.__enter__()
    with runs.locked(run):
        pass


def test_runs_are_found_by_name_by_folder_and_by_age(run, prices, tmp_path):
    newer = Run("newer", run.models_dir, run.logs_dir)
    for age, each in ((100, run), (10, newer)):
        runs.create(each, Config(), prices, overwrite=False)
        stamp = each.config.stat().st_mtime - age
        os.utime(each.config, (stamp, stamp))

    def find(name):
        return runs.open_run(name, run.models_dir, run.logs_dir)

    with pytest.raises(UserError, match=r"no complete run in .*: the newest, newer, was inter"):
        find(None)
    run.model.write_text("a model")
    assert find(None).name == "a-run"
    newer.model.write_text("a model")
    assert find(None).name == "newer"
    assert find("a-run").folder == run.folder
    assert find(run.folder).folder == run.folder
    with pytest.raises(UserError, match=r"no run at .*absent"):
        find("absent")
    with pytest.raises(UserError, match="no runs in"):
        runs.open_run(None, tmp_path / "empty", run.logs_dir)


def named(name, run):
    return Run(name, run.models_dir, run.logs_dir)


BODY = "rmsprop_lr0.001_decay0.99_lstm32x1_step3_input1_batch64"


@pytest.mark.parametrize(
    ("name", "recorded", "asked"),
    [
        # As version 0.1 spelled them.
        (f"DJI_{BODY}_epoch50_seed0_start-2015-04-01_end-2016-04-01",
         {"symbol": "^DJI", "start": "2015-04-01", "end": "2016-04-01"}, {}),
        (f"GSPC_{BODY}_epoch50_seed0_csv-DJI.csv", {"symbol": "^GSPC", "csv": "DJI.csv"},
         {"symbol": "DJI"}),
        (f"GSPC_{BODY}_epoch50_seed0", {"init_learning_rate": 0.00100000001}, {}),
        # As this version spells them, of fewer epochs.
        ("GSPC_rmsprop_lstm32x1_epoch20_seed0", {"max_epoch": 20}, {"max_epoch": 50}),
        (f"GSPC_{BODY}_epoch20_seed0", {"max_epoch": 20}, {"max_epoch": 50}),
    ],
)  # fmt: skip
def test_a_run_is_found_by_its_settings_under_the_name_of_another_version(
    name, recorded, asked, run, prices
):
    older = named(name, run)
    config = Config(**recorded)
    runs.create(older, config, prices, overwrite=False)
    asked = dataclasses.replace(config, **asked)
    assert runs.run_name(asked) != name
    assert runs.begun_run(asked, run.models_dir, run.logs_dir) == older
    for other in ({"seed": 1}, {"symbol": "^IXIC"}, {"max_epoch": 10}):
        another = dataclasses.replace(asked, **other)
        assert runs.begun_run(another, run.models_dir, run.logs_dir) is None


def test_a_run_that_was_given_its_name_is_not_found_by_settings(run, prices):
    runs.create(run, Config(), prices, overwrite=False)
    assert runs.begun_run(Config(), run.models_dir, run.logs_dir) is None


def test_a_damaged_run_is_passed_over_when_one_is_looked_for(run, prices):
    for epochs in (20, 30):
        each = named(f"GSPC_{BODY}_epoch{epochs}_seed0", run)
        runs.create(each, Config(max_epoch=epochs), prices, overwrite=False)
    each.config.write_text("{")
    found = runs.begun_run(Config(), run.models_dir, run.logs_dir)
    assert found.name == f"GSPC_{BODY}_epoch20_seed0"
