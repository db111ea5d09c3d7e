"""`backtest` in the terminal, on a few prices; most fits are known ones."""

import concurrent.futures
import contextlib
import json

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from stock_rnn.backtest.fit import train_and_forecast
from stock_rnn.workers import pool
from tests.backtest.cases import halfway, known_fit

WORDS = (
    *("--csv", "made.csv", "--cell", "simple_rnn", "--lstm-size", 2, "--num-steps", 2),
    *("--max-epoch", 2, "--folds", 2, "--initial", 0.65, "--jobs", 1),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a CSV of 50 prices, and workers that train nothing."""
    dates = pd.bdate_range("2020-01-01", periods=50)
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 50)))
    pd.DataFrame({"Date": dates, "Close": closes}).to_csv(tmp_path / "made.csv", index=False)

    here_instead(
        monkeypatch, lambda task, prices: known_fit(task.config, task.fit, prices, halfway)
    )
    return tmp_path


def here_instead(monkeypatch, function):
    """Let workers be this process, and do this."""

    def submit(*words):
        future = concurrent.futures.Future()
        try:
            future.set_result(function(*words))
        except Exception as error:
            future.set_exception(error)
        return future

    monkeypatch.setattr(pool, "local_processes", lambda *_: contextlib.nullcontext(submit))


def test_a_backtest_shows_folds_all_of_them_and_intervals(run_here, here):
    answer = run_here("backtest", *WORDS, "--run-name", "b", cwd=here)
    assert answer.returncode == 0, answer.stderr
    assert "fit 3 of 3" in answer.stderr
    assert " left" in answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[:2] == [
        "backtest models/b",
        "made: 2 folds, expanding window, a fit every fold; each fit starts anew, 2 epochs, last "
        "epoch's weights",
    ]
    result = json.loads((here / "models" / "b" / "result.json").read_text())
    first = next(row for row in result["folds"] if row["forecast"] == "model")
    assert lines[3].split()[:6] == [
        *("1", first["first"], first["last"], "31", "anew", f"{first['mse']:.2e}")
    ]
    assert lines[5].startswith("2 folds: the model beside baselines")
    assert lines[14].startswith("conformal intervals that aim at 90%")
    assert lines[-10:-6] == result["sentences"]
    files = (
        *("result.json", "folds.csv", "pooled.csv", "forecasts.csv", "backtest.png"),
        "report.html",
    )
    assert lines[-6:] == [f"models/b/{name}" for name in files]
    page = (here / "models" / "b" / "report.html").read_text(encoding="utf-8")
    # As a sentence, with a capital letter.
    assert all(escape(line[1:]) in page for line in result["sentences"])
    assert escape(result["command"]) in page
    assert page.count('role="img"') == 1
    again = run_here("backtest", "--resume", "b", "--intervals", "dropout", cwd=here)
    assert again.returncode == 0, again.stderr
    assert "3 kept in models/b, 0 to make" in again.stderr
    assert again.stdout.splitlines()[5:14] == lines[5:14]
    assert "dropout intervals that aim at 90%" in again.stdout
    page = (here / "models" / "b" / "report.html").read_text(encoding="utf-8")
    assert "--intervals dropout" in page
    refused = run_here("backtest", "--resume", "b", "--folds", 3, "--symbol", "X", cwd=here)
    assert refused.returncode == 2
    assert refused.stderr.endswith("own settings: leave out --symbol, --folds\n")


def test_too_high_a_rate_is_one_line_with_the_fit(run_here, here, monkeypatch):
    here_instead(monkeypatch, train_and_forecast)
    words = (*WORDS, "--init-learning-rate", 1e30, "--optimizer", "sgd")
    answer = run_here("backtest", *words, cwd=here)
    assert answer.returncode == 2
    line = answer.stderr.splitlines()[-1]
    assert "error: the fit on made: " in line
    assert "training diverged in epoch" in line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--folds", 40], "30 examples are too few"),
        (["--intervals", "bayes"], "--intervals must be one of conformal, adaptive, dropout"),
        (["--coverage", 1], "--coverage must be above 0 and below 1. Received: 1.0"),
        (["--interval-step", 0.1], "--interval-step is of --intervals adaptive alone"),
        (["--intervals", "adaptive", "--interval-step", 0], "--interval-step must be above 0"),
        (["--interval-errors", 0], "--interval-errors must be at least 1"),
        (
            ["--intervals", "dropout", "--keep-prob", 1],
            "the training has no dropout for --intervals dropout",
        ),
        (["--window", "sliding"], "--window must be one of expanding, rolling"),
        (["--jobs", 0], "--jobs must be at least 1"),
        (["--resume", "none"], "no backtest at models/none"),
        (["--test-ratio", 0.2], "unrecognized arguments: --test-ratio"),
        (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_what_a_user_can_mend_is_one_line(run_here, here, monkeypatch, words, named):
    monkeypatch.setattr(pool, "CONNECT_SECONDS", 0.2)
    # Thirty examples; of the flags that are given twice the last one counts.
    lines = (here / "made.csv").read_text().splitlines()
    (here / "made.csv").write_text("\n".join(lines[:33]) + "\n")
    own = [] if "--resume" in words else WORDS
    answer = run_here("backtest", *own, *words, cwd=here)
    assert answer.returncode == 2
    line = answer.stderr.splitlines()[-1]
    assert line.startswith("python -m stock_rnn backtest: error: ")
    assert named in line


def test_ctrl_c_says_how_to_go_on(run_here, here, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "local_processes", lambda *_: contextlib.nullcontext(interrupted))
    answer = run_here("backtest", *WORDS, "--run-name", "b", cwd=here)
    assert answer.returncode == 130
    assert answer.stderr.splitlines()[-1] == (
        "python -m stock_rnn backtest: interrupted; python -m stock_rnn backtest --resume b goes on"
    )
