"""The real commands, as processes, from prices to evaluated predictions."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

pytestmark = pytest.mark.pictures

QUICK = ("--max-epoch", 2, "--lstm-size", 4, "--period", "2y")
NAME = "GSPC_rmsprop_lstm4x1_epoch2_seed0_period-2y"


@pytest.fixture(scope="module")
def trained(run_script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    answer = run_script("train.py", *QUICK, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder, answer


@pytest.fixture(scope="module")
def evaluated(run_script, trained):
    folder, _ = trained
    answer = run_script("evaluate.py", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder, answer


def test_help_needs_no_tensorflow(run_script, tmp_path):
    answer = run_script("train.py", "--help", cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert answer.returncode == 0
    assert "--learning-rate-decay" in answer.stdout
    for slow in ("tensorflow", "keras", "pandas", "numpy", "matplotlib"):
        assert f" {slow}\n" not in answer.stderr


def test_train_prints_its_files_and_nothing_else(trained):
    folder, answer = trained
    for path in (f"models/{NAME}/model.keras", f"models/{NAME}/history.csv"):
        assert path in answer.stdout
        assert (folder / path).exists()
    lines = answer.stderr.splitlines()
    assert lines[0].startswith("^GSPC (bundled):")
    assert "epoch 2/2: train" in lines[-1]
    assert "dropout is on in those of train, off in the others" in lines[-3]
    # No greetings of the libraries.
    assert len(lines) == 5, answer.stderr


def test_evaluate_of_the_newest_run(evaluated):
    folder, answer = evaluated
    lines = answer.stdout.splitlines()
    assert lines[0] == f"run models/{NAME}"
    assert "persistence MSE" in lines[1]
    assert lines[2].startswith("train")
    assert lines[3].startswith("test")
    assert answer.stderr == ""
    content = json.loads((folder / "models" / NAME / "final_predictions.json").read_text())
    assert f" {content['scores']['test']['mse']:.2e} " in lines[3]
    history = pd.read_csv(folder / "models" / NAME / "history.csv")
    assert lines[5].startswith("train MSE of the saved weights: ")
    assert lines[5].endswith(f"; the epoch's {history.loss.iloc[-1]:.2e} is a mean over its steps")


def test_errors_as_prices_are_those_of_the_predictions(evaluated):
    folder, answer = evaluated
    table = pd.read_csv(folder / "models" / NAME / "final_predictions.csv")
    off = table.predicted_price - table.actual_price
    percent = 100 * ((off / table.actual_price) ** 2).mean() ** 0.5
    price = (off**2).mean() ** 0.5
    assert answer.stdout.splitlines()[3].split()[4:6] == [f"{percent:.3f}", f"{price:.2f}"]
    content = json.loads((folder / "models" / NAME / "final_predictions.json").read_text())
    assert content["scores"]["test"]["rmse_percent"] == pytest.approx(percent)
    assert content["scores"]["test"]["rmse_price"] == pytest.approx(price)


def test_the_test_loss_is_that_of_the_history_and_of_the_predictions(evaluated):
    folder, _ = evaluated
    run = folder / "models" / NAME
    history = pd.read_csv(run / "history.csv")
    table = pd.read_csv(run / "final_predictions.csv", parse_dates=["date"])
    scores = json.loads((run / "final_predictions.json").read_text())["scores"]
    mse = ((table.predicted - table.actual) ** 2).mean()
    assert mse == pytest.approx(history.val_loss.iloc[-1], rel=1e-4)
    assert mse == pytest.approx(scores["test"]["mse"], rel=1e-9)
    assert (table.actual**2).mean() == pytest.approx(scores["test"]["persistence_mse"], rel=1e-9)


def test_predictions_as_prices(evaluated):
    folder, _ = evaluated
    table = pd.read_csv(folder / "models" / NAME / "final_predictions.csv", parse_dates=["date"])
    from stock_rnn.prices import load_prices

    prices = load_prices("^GSPC", source="bundled", period="2y")
    closes = pd.Series(prices.close, index=pd.DatetimeIndex(prices.dates))
    np.testing.assert_allclose(table.actual_price, closes[table.date])
    before = closes.shift(1)[table.date].to_numpy()
    np.testing.assert_allclose(table.persistence_price, before)
    np.testing.assert_allclose(table.predicted_price, (1 + table.predicted) * before)


def test_the_pictures_show_actual_and_predicted(evaluated):
    folder, _ = evaluated
    for name in ("predictions_normalized.png", "predictions_price.png"):
        picture = imread(folder / "models" / NAME / name)
        assert picture.shape[0] > 400
        assert picture.shape[1] > 800
        # Red for actual and blue for predicted are on it.
        red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
        assert ((red > 0.7) & (blue < 0.2) & (green < 0.5)).sum() > 100
        assert ((blue > 0.6) & (red < 0.2)).sum() > 100


def test_evaluate_on_another_symbol_and_on_a_csv(run_here, evaluated):
    folder, _ = evaluated
    run = folder / "models" / NAME
    before = (run / "final_predictions.json").read_bytes()
    answer = run_here("evaluate.py", NAME, "--symbol", "^IXIC", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert "^IXIC (bundled)" in answer.stdout
    days = pd.bdate_range("2020-01-01", periods=60)
    pd.DataFrame({"DATE": days, "close": np.linspace(10, 20, 60)}).to_csv(
        folder / "mine.csv", index=False
    )
    answer = run_here("evaluate.py", run, "--csv", "mine.csv", "--symbol", "MINE", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert ["all", "57"] in [line.split()[:2] for line in answer.stdout.splitlines()]
    assert len(list(run.glob("evaluations/*/final_predictions.json"))) == 2
    assert (run / "final_predictions.json").read_bytes() == before


def test_an_existing_run_is_left_alone(run_here, trained):
    folder, _ = trained
    model = folder / "models" / NAME / "model.keras"
    before = model.read_bytes()
    answer = run_here("train.py", *QUICK, cwd=folder)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("train.py: error: run models")
    assert "--overwrite" in answer.stderr
    assert model.read_bytes() == before


def test_underscores_and_presets_on_the_command_line(run_here, tmp_path):
    words = ["--preset", "table5.1", "--max_epoch=1", "--lstm_size=2", "--period", "1y"]
    answer = run_here("train.py", *words, "--run-name", "r", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    config = json.loads((tmp_path / "models/r/config.json").read_text())["config"]
    assert (config["optimizer"], config["max_epoch"], config["lstm_size"]) == ("sgd", 1, 2)
