import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pandas as pd
import pytest

import stock_rnn
from stock_rnn.config import Config
from stock_rnn.curvature import load_measurements
from stock_rnn.data import dataset_of, prices_of
from stock_rnn.errors import UserError
from stock_rnn.training import epochs
from stock_rnn.training.fit import compiled
from stock_rnn.training.runs import Run, read_record
from stock_rnn.training.train import train
from tests.conftest import ROOT
from tests.samples import sampled


def weights(path):
    return keras.saving.load_model(path, safe_mode=True).get_weights()


def assert_same_weights(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_what_the_readme_lists(small_run):
    present = {path.name for path in small_run.folder.iterdir()}
    assert present >= {
        "config.json", "prices.npz", "model.keras", "best.keras", "checkpoint.npz", "history.csv",
        "spectrum.npz",
    }  # fmt: skip
    assert not [name for name in present if name.startswith(".tmp-")]
    history = pd.read_csv(small_run.history)
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["learning_rate"].tolist() == pytest.approx([0.001] * 3)
    assert {"loss", "val_loss"} <= set(history.columns)


def test_the_best_model_is_that_of_the_lowest_training_loss(small_run):
    history = pd.read_csv(small_run.history)
    with np.load(small_run.checkpoint) as arrays:
        assert arrays["best_loss"] == pytest.approx(history["loss"].min(), rel=1e-6)
        best = [arrays[f"best/{i}"] for i in range(5)]
    for a, b in zip(weights(small_run.best_model), best, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_same_seed_gives_the_same_bits_measured_or_not_and_another_others(
    small_config, small_run, tmp_path
):
    def unmeasured(seed):
        config = dataclasses.replace(small_config, seed=seed, hessian_every=0)
        return train(
            config, run_name=f"seed{seed}", models_dir=tmp_path / "m", logs_dir=tmp_path / "l"
        )

    same = unmeasured(small_config.seed)
    assert_same_weights(small_run.model, same.model)
    assert small_run.spectrum.exists()
    assert not same.spectrum.exists()
    other = weights(unmeasured(small_config.seed + 1).model)
    assert not np.array_equal(weights(small_run.model)[0], other[0])


def test_curvature_is_in_the_history_and_in_the_spectrum(small_run):
    history = pd.read_csv(small_run.history)
    measured = load_measurements(small_run.spectrum)
    assert [m.epoch for m in measured] == [0, 1, 2, 3]
    for row, m in zip(history.itertuples(), measured[1:], strict=True):
        assert row.hessian_lambda_min == pytest.approx(m.extremes.lambda_min)
        assert row.hessian_lambda_max == pytest.approx(m.extremes.lambda_max)
        assert row.hessian_gradient_norm == pytest.approx(m.gradient_norm)


def test_persistence_and_skill_are_in_the_history(small_config, small_run):
    history = pd.read_csv(small_run.history)
    data = dataset_of(small_config, prices_of(small_config))
    # Of relative changes: the forecast 0.
    for prefix, labels in (("", data.train_y), ("val_", data.test_y)):
        persistence = (labels**2).mean()
        assert history[f"{prefix}persistence_loss"].tolist() == pytest.approx([persistence] * 3)
        skill = 1 - history[f"{prefix}loss"] / persistence
        assert history[f"{prefix}skill"].tolist() == pytest.approx(skill.tolist())


def test_curvature_is_measured_as_often_as_asked(small_config, tmp_path):
    config = dataclasses.replace(small_config, hessian_every=2, hessian_samples=50, max_epoch=5)
    run = train(config, run_name="r", models_dir=tmp_path / "m", logs_dir=tmp_path / "l")
    assert [m.epoch for m in load_measurements(run.spectrum)] == [0, 2, 4]
    assert pd.read_csv(run.history)["hessian_lambda_min"].notna().tolist() == [False, True] * 2 + [
        False
    ]


OPTIONS = {
    "random split, shuffled windows": {
        "split": "random", "shuffle": "windows", "optimizer": "rmsprop-tf1", "init": "tf1",
    },
    "open and close, two layers of GRU": {
        "open_and_close": True, "input_size": 2, "cell": "gru", "num_layers": 2,
        "optimizer": "sgd",
    },
    "prices as they are, no dropout": {
        "normalized": False, "keep_prob": 1.0, "cell": "simple_rnn", "optimizer": "adam",
    },
    "windows too long to unroll": {"num_steps": 31, "symbol": "^IXIC"},
}  # fmt: skip


@pytest.mark.parametrize("name", sampled(OPTIONS, list(OPTIONS)[1::2]))
def test_the_logged_test_loss_is_that_of_the_trained_model_with_any_option(name, tmp_path):
    config = Config(period="1y", lstm_size=3, max_epoch=1, hessian_every=0, **OPTIONS[name])
    run = train(config, run_name="r", models_dir=tmp_path / "m", logs_dir=tmp_path / "l")
    model = keras.saving.load_model(run.model)
    data = dataset_of(config, prices_of(config))
    loss = np.mean((model.predict(data.test_X, verbose=0) - data.test_y) ** 2)
    assert pd.read_csv(run.history)["val_loss"].tolist() == pytest.approx([loss], rel=1e-4)
    # The configured network, and it has left its initial weights.
    initial, _ = compiled(config, data)
    before, after = initial.get_weights(), model.get_weights()
    assert [w.shape for w in before] == [w.shape for w in after]
    assert any((w != v).any() for w, v in zip(before, after, strict=True))
    cells = [layer.cell for layer in model.layers if isinstance(layer, keras.layers.RNN)]
    kinds = {"lstm": "LSTMCell", "gru": "GRUCell", "simple_rnn": "SimpleRNNCell"}
    assert [type(cell).__name__ for cell in cells] == [kinds[config.cell]] * config.num_layers


@pytest.fixture
def handler():
    """A handler of Ctrl-C that the caller of a training has set."""

    def own(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGINT, own)
    yield own
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("rate", [1e30, 1e4])
def test_divergence_is_reported_and_leaves_no_model(rate, handler, tmp_path):
    config = Config(period="1y", optimizer="sgd", init_learning_rate=rate, max_epoch=20)
    folders = {"models_dir": tmp_path / "m", "logs_dir": tmp_path / "l"}
    with pytest.raises(UserError, match=r"training diverged in epoch .*--init-learning-rate"):
        train(config, run_name="diverging", **folders)
    assert not list(tmp_path.glob("m/*/model.keras"))
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(UserError, match=r"diverged, and would again: training diverged in epoch"):
        train(config, run_name="diverging", resume=True, **folders)
    with pytest.raises(UserError, match=r"exists and diverged: --overwrite"):
        train(config, run_name="diverging", **folders)
    with pytest.raises(UserError, match=r"no complete run in .*: the newest, diverging, diverged"):
        stock_rnn.load_run(**folders)


def test_the_caller_s_handler_of_ctrl_c_is_back_after_a_training(handler, tmp_path):
    config = Config(period="1y", lstm_size=2, max_epoch=1, hessian_every=0)
    train(config, run_name="r", models_dir=tmp_path / "m", logs_dir=tmp_path / "l")
    assert signal.getsignal(signal.SIGINT) is handler


def interrupted(run, tmp_path, **settings):
    """A copy of a run as an interruption would have left it, and its folders."""
    shutil.copytree(run.models_dir, tmp_path / "m")
    folders = {"models_dir": tmp_path / "m", "logs_dir": tmp_path / "l"}
    copy = Run(run.name, **folders)
    copy.model.unlink()
    content = json.loads(copy.config.read_text())
    content["config"] |= settings
    copy.config.write_text(json.dumps(content))
    return copy, folders


def test_the_first_loss_that_divergence_is_measured_by_survives_a_resume(
    small_config, small_run, tmp_path
):
    run, folders = interrupted(small_run, tmp_path, max_epoch=4)
    history = pd.read_csv(run.history)
    # So that any loss is a million times the first one.
    history.loc[0, "loss"] = 1e-30
    history.to_csv(run.history, index=False)
    longer = dataclasses.replace(small_config, max_epoch=4)
    with pytest.raises(UserError, match=r"diverged in epoch 4: the loss grew from 1e-30"):
        train(longer, run_name="small", resume=True, **folders)


def test_the_history_of_an_older_version_is_continued_in_one_format(
    small_config, small_run, tmp_path
):
    run, folders = interrupted(small_run, tmp_path, max_epoch=4)
    whole = pd.read_csv(run.history)
    added = [f"{prefix}{name}" for prefix in ("", "val_") for name in ("persistence_loss", "skill")]
    older = whole.drop(columns=added).rename(columns=lambda name: name.removeprefix("hessian_"))
    older["epoch"] -= 1
    text = older.to_csv(index=False)
    # Older versions left lines of both kinds.
    run.history.write_bytes(text.replace("\n", "\r\n", 2).encode())
    longer = dataclasses.replace(small_config, max_epoch=4)
    train(longer, run_name="small", resume=True, **folders)
    content = run.history.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") == 5
    found = pd.read_csv(run.history)
    assert found.columns.tolist() == whole.columns.tolist()
    pd.testing.assert_frame_equal(found[:3], whole)
    assert found["epoch"].tolist() == [1, 2, 3, 4]


def test_a_finished_run_is_trained_on_to_the_bits_of_one_training(
    small_config, small_run, tmp_path
):
    folders = {"models_dir": tmp_path / "m", "logs_dir": tmp_path / "l"}
    short = train(small_config, **folders)
    longer = dataclasses.replace(small_config, max_epoch=5)
    for _ in range(2):
        # Found by its name but for the epochs; the second time there is nothing left to do.
        run = train(longer, resume=True, **folders)
        assert run == short
    whole = train(longer, run_name="whole", **folders)
    assert_same_weights(run.model, whole.model)
    assert_same_weights(run.best_model, whole.best_model)
    histories = [pd.read_csv(each.history).drop(columns="hessian_seconds") for each in (run, whole)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    assert read_record(run).config == longer
    with pytest.raises(UserError, match=r"other settings \(--max-epoch 5, now 4\)"):
        train(
            dataclasses.replace(small_config, max_epoch=4), run_name=run.name, resume=True,
            **folders,
        )  # fmt: skip


def test_resume_and_overwrite_exclude_each_other(small_config, tmp_path):
    with pytest.raises(UserError, match="--overwrite starts again and --resume goes on"):
        train(small_config, resume=True, overwrite=True, models_dir=tmp_path, logs_dir=tmp_path)


def test_resume_of_a_complete_run_changes_nothing(small_config, small_run):
    before = small_run.model.stat().st_mtime_ns
    folders = {"models_dir": small_run.models_dir, "logs_dir": small_run.logs_dir}
    train(small_config, run_name="small", resume=True, **folders)
    assert small_run.model.stat().st_mtime_ns == before


def test_resume_refuses_other_settings(small_config, small_run):
    other = dataclasses.replace(small_config, lstm_size=5)
    folders = {"models_dir": small_run.models_dir, "logs_dir": small_run.logs_dir}
    with pytest.raises(UserError, match=r"other settings \(--lstm-size 4, now 5\)"):
        train(other, run_name="small", resume=True, **folders)


def start(folder, *words):
    command = [sys.executable, str(ROOT / "train.py"), "--run-name", "r", "--resume", *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def wait_for_epoch(folder, epoch, process):
    history = folder / "models" / "r" / "history.csv"
    # Only against hanging: a busy machine may need a minute to import TensorFlow.
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if history.exists() and len(history.read_text().splitlines()) > epoch:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    raise AssertionError("the training made no progress")


@pytest.mark.slow
def test_a_run_killed_at_any_moment_and_resumed_ends_in_the_same_bits(tmp_path):
    # Adam has all the state that an optimizer may have.
    words = ["--period", "1y", "--max-epoch", "16", "--lstm-size", "4", "--optimizer", "adam"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed.mkdir()
    # In this process, which has TensorFlow already.
    config = Config(period="1y", max_epoch=16, lstm_size=4, optimizer="adam")
    train(config, run_name="r", models_dir=whole / "models", logs_dir=whole / "logs")
    for epoch, pause in [(5, 0.007)]:
        process = start(killed, *words)
        wait_for_epoch(killed, epoch, process)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=600)
        assert not (killed / "models/r/model.keras").exists()
        # As a version before 0.2 would have left it: columns without their prefix.
        history = killed / "models" / "r" / "history.csv"
        history.write_bytes(history.read_bytes().replace(b"hessian_", b""))
    assert start(killed, *words).wait(timeout=600) == 0
    assert_same_weights(whole / "models/r/model.keras", killed / "models/r/model.keras")
    assert_same_weights(whole / "models/r/best.keras", killed / "models/r/best.keras")
    histories = [
        pd.read_csv(folder / "models/r/history.csv").drop(columns="hessian_seconds")
        for folder in (whole, killed)
    ]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    spectra = [load_measurements(f / "models/r/spectrum.npz") for f in (whole, killed)]
    assert [m.epoch for m in spectra[0]] == list(range(17))
    for one, other in zip(*spectra, strict=True):
        np.testing.assert_array_equal(one.extremes.eigenvalues, other.extremes.eigenvalues)


@pytest.mark.slow
def test_ctrl_c_is_reported_and_keeps_what_was_saved(tmp_path):
    process = start(tmp_path, "--period", "2y", "--max-epoch", "100000", "--lstm-size", "4")
    wait_for_epoch(tmp_path, 3, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors.splitlines()[-1]
    assert (tmp_path / "models/r/checkpoint.npz").exists()


def test_resume_reports_a_damaged_checkpoint_and_removes_part_files(
    small_config, small_run, tmp_path
):
    shutil.copytree(small_run.models_dir, tmp_path / "m")
    (tmp_path / "m/small/model.keras").unlink()
    (tmp_path / "m/small/.tmp-killed.npz").write_bytes(b"half")
    (tmp_path / "m/small/checkpoint.npz").write_bytes(b"PK half")
    with pytest.raises(UserError, match=r"checkpoint\.npz is damaged.*--overwrite"):
        train(
            small_config, run_name="small", resume=True,
            models_dir=tmp_path / "m", logs_dir=tmp_path / "l",
        )  # fmt: skip
    assert not (tmp_path / "m/small/.tmp-killed.npz").exists()


STOPPING = {
    **{"period": "1y", "lstm_size": 2, "optimizer": "sgd", "init_learning_rate": 0.3},
    **{"validation_ratio": 0.2, "early_stopping": 3, "max_epoch": 60, "hessian_every": 0},
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that ended before its last epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    return train(
        Config(**STOPPING), run_name="stopped", models_dir=folder / "m", logs_dir=folder / "l"
    )


def test_early_stopping_ends_when_the_validation_loss_no_longer_falls(stopped):
    losses = pd.read_csv(stopped.history)["val_loss"]
    assert 4 <= len(losses) < 60
    assert losses.idxmin() == len(losses) - 4


def test_with_a_validation_set_the_best_model_is_that_of_the_lowest_validation_loss(stopped):
    config = Config(**STOPPING)
    data = dataset_of(config, prices_of(config))
    model = keras.saving.load_model(stopped.best_model)
    predicted = model.predict(data.inputs(data.validation), verbose=0)
    loss = np.mean((predicted - data.labels(data.validation)) ** 2)
    assert loss == pytest.approx(pd.read_csv(stopped.history)["val_loss"].min(), rel=1e-4)


def test_nothing_of_the_test_set_is_read_in_a_training_with_a_validation_set(stopped, tmp_path):
    """Other prices in the test set change neither history nor events nor weights."""
    config = Config(**STOPPING)
    prices = prices_of(config)
    data = dataset_of(config, prices)
    first = np.searchsorted(prices.dates, data.label_dates(data.test)[0, 0])
    close = prices.close.copy()
    close[first:] *= np.linspace(1.1, 2.0, len(close) - first)
    rows = zip(prices.dates.astype("datetime64[D]"), close, strict=True)
    csv = tmp_path / "changed.csv"
    csv.write_text("Date,Close\n" + "".join(f"{day},{float(price)!r}\n" for day, price in rows))
    changed = train(
        Config(**STOPPING | {"csv": str(csv)}),
        run_name="r", models_dir=tmp_path / "m", logs_dir=tmp_path / "l",
    )  # fmt: skip
    assert changed.history.read_bytes() == stopped.history.read_bytes()
    assert_same_weights(changed.best_model, stopped.best_model)
    assert {path.name for path in changed.logs.iterdir() if path.is_dir()} == {
        "train", "validation", "train_persistence", "validation_persistence",
    }  # fmt: skip


def test_a_stopped_run_that_is_lengthened_ends_where_it_did(stopped, tmp_path):
    shutil.copytree(stopped.models_dir, tmp_path / "m")
    folders = {"models_dir": tmp_path / "m", "logs_dir": tmp_path / "l"}
    longer = Config(**STOPPING | {"max_epoch": 80})
    run = train(longer, run_name="stopped", resume=True, **folders)
    assert run.history.read_bytes() == stopped.history.read_bytes()
    assert_same_weights(run.model, stopped.model)


def test_early_stopping_without_a_validation_set_is_refused():
    with pytest.raises(UserError, match=r"--early-stopping needs --validation-ratio"):
        Config(early_stopping=3)


def test_a_run_that_is_resumed_after_it_was_compiled_has_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(epochs, "COMPILED_FROM", 2)

    def trained(name, max_epoch):
        config = Config(
            period="6mo", lstm_size=2, cell="simple_rnn", hessian_every=0, max_epoch=max_epoch
        )
        folders = {"models_dir": tmp_path / "m", "logs_dir": tmp_path / "l"}
        return train(config, run_name=name, resume=True, **folders)

    whole = trained("whole", 5)
    trained("parts", 3)
    parts = trained("parts", 5)
    assert_same_weights(whole.model, parts.model)
    assert whole.history.read_bytes() == parts.history.read_bytes()
