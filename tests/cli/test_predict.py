"""`predict` in the terminal and as JSON."""

import datetime
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from stock_rnn.cli.predict import as_text
from stock_rnn.forecasting.horizon import NOTICE, predict_next
from stock_rnn.prices import Prices


@pytest.fixture
def predict_here(run_here, small_run, tmp_path):
    """Predict with a copy of the small run in the test's folder: stdout."""
    shutil.copytree(small_run.models_dir, tmp_path / "models")

    def predict(*words):
        answer = run_here("predict", *words, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    return predict


def test_days_prices_intervals_persistence_and_skill_stand_together(predict_here):
    lines = predict_here("small", "--horizon", 3).splitlines()
    assert lines[0] == "run models/small"
    assert lines[1].startswith("newest price of ^GSPC: 2,506.85 of 2018-12-31, long ago: ")
    assert lines[2].split("  ")[-1] == "persistence"
    content = json.loads(predict_here("small", "--horizon", 3, "--json"))
    assert [row["date"] for row in content["predictions"]] == [
        f"2019-01-0{day}" for day in (2, 3, 4)
    ]
    for line, row in zip(lines[3:6], content["predictions"], strict=True):
        numbers = (row[name] for name in ("predicted", "low", "high", "persistence"))
        predicted, low, high, last = (f"{number:,.2f}" for number in numbers)
        assert line.split() == [row["date"], "close", predicted, f"[{low},", f"{high}]", last]
        assert row["low"] < row["predicted"] < row["high"]
    expected = ["calendar_note", "intervals", "verdict", "notice"]
    assert lines[6:] == [content[name] for name in expected]
    assert content["verdict"].endswith(")")
    assert content["notice"] == NOTICE


def test_opens_and_closes_are_predicted_in_turn(run_here, tmp_path):
    words = ("--lstm-size", 2, "--max-epoch", 1, "--hessian-every", 0, "--period", "1y")
    run_here("train", "--run-name", "r", "--open-and-close", *words, cwd=tmp_path)
    content = json.loads(run_here("predict", "r", "--horizon", 2, "--json", cwd=tmp_path).stdout)
    rows = [(row["date"], row["kind"]) for row in content["predictions"]]
    days = ("2019-01-02", "2019-01-03")
    assert rows == [(day, kind) for day in days for kind in ("open", "close")]


def test_a_run_of_an_earlier_span_is_led_on_from_the_newest_prices(run_here, tmp_path):
    dates = pd.bdate_range("2020-01-01", periods=100)
    closes = 0.001 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 100)))
    pd.DataFrame({"Date": dates, "Close": closes}).to_csv(tmp_path / "a.csv", index=False)
    words = ("--lstm-size", 2, "--max-epoch", 1, "--hessian-every", 0, "--csv", "a.csv")
    run_here("train", "--run-name", "r", "--end", "2020-03-31", *words, cwd=tmp_path)
    content = json.loads(run_here("predict", "r", "--json", cwd=tmp_path).stdout)
    assert content["last_date"] == str(dates[-1].date())
    assert content["last_price"] == pytest.approx(closes[-1])
    assert content["calendar"] == "weekdays"
    early = run_here("predict", "r", "--end", "2020-02-28", "--calendar", "XNYS", cwd=tmp_path)
    lines = early.stdout.splitlines()
    assert lines[3].startswith("2020-03-02")
    # Prices far below one have the digits that they need.
    assert lines[3].split()[-1] == f"{closes[dates <= '2020-02-28'][-1]:.7f}"


def test_prices_of_last_week_are_not_called_old(small_run):
    import stock_rnn

    dates = pd.bdate_range("2026-11-02", periods=10).to_numpy("datetime64[s]")
    prices = Prices("^GSPC", "yahoo", dates, np.linspace(100, 110, 10))
    found = predict_next(stock_rnn.load_run(small_run.folder), prices)
    assert "long ago" not in as_text(found, datetime.date(2026, 11, 20))
    assert "long ago" in as_text(found, datetime.date(2026, 12, 20))


def test_other_intervals_are_named(predict_here, run_here, tmp_path):
    words = ("small", "--intervals", "adaptive", "--interval-step", 0.02, "--coverage", 0.5)
    content = json.loads(predict_here(*words, "--json"))
    assert content["intervals"].startswith("adaptive intervals (step 0.02) from the errors")
    for refused, named in (
        (("--interval-step", 0.02), "--interval-step is of --intervals adaptive alone"),
        (("--intervals", "bayes"), "--intervals must be one of conformal, adaptive, dropout"),
    ):
        answer = run_here("predict", "small", *refused, cwd=tmp_path)
        assert answer.returncode == 2
        assert named in answer.stderr.splitlines()[-1]
