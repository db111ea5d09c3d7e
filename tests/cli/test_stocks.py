"""The commands on several stocks: what they print, and what they refuse in one line."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from stock_rnn.config import INTERVAL_STEP, Config, on_other_prices
from stock_rnn.data import one_stock, prices_of
from stock_rnn.errors import UserError
from stock_rnn.forecasting import predict_stocks
from stock_rnn.training import runs

DAYS = pd.bdate_range("2020-01-01", periods=60).strftime("%Y-%m-%d")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, stocks_run):
    """A folder with a complete run of several stocks, and files of stocks."""
    folder = tmp_path_factory.mktemp("several")
    shutil.copytree(stocks_run.models_dir, folder / "models")
    (folder / "prices").mkdir()
    rng = np.random.default_rng(0)
    for symbol, count in (("AA", 60), ("BB", 50), ("CC", 3)):
        closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
        table = pd.DataFrame({"Date": DAYS[:count], "Close": closes})
        table.to_csv(folder / "prices" / f"{symbol}.csv", index=False)
    lists = {
        "no-symbol": "ticker,sector\nAAPL,x\n",
        "twice": "symbol\nAAPL\nXOM\nAAPL\n",
        "one": "symbol\nAAPL\n",
        "binary": b"symbol\nA\xff\n",
    }
    for name, content in lists.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{name}.csv").write_bytes(data)
    return folder


TRAIN = {
    "a symbol twice": (["--symbols", "AAPL,XOM,AAPL"], "AAPL twice"),
    "two spellings of one": (["--symbols", "AAPL,aapl"], "AAPL is there twice"),
    "one symbol": (["--symbols", "AAPL"], "two symbols or more"),
    "an empty symbol": (["--symbols", "AAPL,,XOM"], "'AAPL,,XOM'"),
    "one that the source lacks": (["--symbols", "AAPL,TSLA"], "symbol=TSLA"),
    "a file that is missing": (["--symbols-file", "absent.csv"], "absent.csv: No such file"),
    "a file without symbols": (["--symbols-file", "no-symbol.csv"], "a column symbol"),
    "a file with one twice": (["--symbols-file", "twice.csv"], "line 4: AAPL is there twice"),
    "a file of one": (["--symbols-file", "one.csv"], "two symbols or more"),
    "a file that is no text": (["--symbols-file", "binary.csv"], "no CSV in UTF-8"),
    "a folder as file": (["--symbols-file", "models"], "models: Is a directory"),
    "one and several": (["--symbol", "AAPL", "--symbols", "AAPL,XOM"], "--symbol AAPL"),
    "a list and a file": (
        ["--symbols", "AAPL,XOM", "--symbols-file", "twice.csv"], "give one of them",
    ),
    "an embedding of one": (["--symbol", "AAPL", "--embed-size", "2"], "--embed-size is of"),
    "no size": (["--symbols", "AAPL,XOM", "--embed-size", "-1"], "--embed-size must be at least"),
    "a random split": (["--symbols", "AAPL,XOM", "--split", "random"], "--split random is for one"),
    "opens that lack": (["--symbols", "AAPL,XOM", "--open-and-close"], "no opening prices"),
    "too few prices": (["--symbols", "AAPL,XOM", "--num-steps", "2000"], "AAPL: 1,259 prices"),
}  # fmt: skip


def assert_one_line(answer, script, named):
    lines = answer.stderr.splitlines()
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    assert lines[-1].startswith(f"{script}: error: "), answer.stderr
    assert named in lines[-1]
    assert sum(line.startswith(f"{script}: error: ") for line in lines) == 1


@pytest.mark.parametrize("name", TRAIN)
def test_train_refuses_what_it_cannot_do_with_several_stocks(name, folder, run_here):
    words, named = TRAIN[name]
    answer = run_here("train.py", "--source", "skfolio", *words, cwd=folder)
    assert_one_line(answer, "train.py", named)
    assert [path.name for path in (folder / "models").iterdir() if path.is_dir()] == ["stocks"]


FOLDER = {
    "a stock without a file": ("AA,DD", "DD.csv"),
    "a stock that is too short": ("AA,CC", "CC: 3 prices are too few"),
    "a symbol that leaves the folder": ("AA,../AA", "'../AA'"),
}


@pytest.mark.parametrize("name", FOLDER)
def test_train_refuses_what_a_folder_of_stocks_lacks(name, folder, run_here):
    symbols, named = FOLDER[name]
    answer = run_here("train.py", "--csv", "prices", "--symbols", symbols, cwd=folder)
    assert_one_line(answer, "train.py", named)


EVALUATE = {
    "other prices without a symbol": (["stocks", "--period", "6mo"], "needs --symbol"),
    "a stock that the source lacks": (["stocks", "--symbol", "TSLA"], "symbol=TSLA"),
}


@pytest.mark.parametrize("name", EVALUATE)
def test_evaluate_refuses_what_it_cannot_do_with_several_stocks(name, folder, run_here):
    words, named = EVALUATE[name]
    assert_one_line(run_here("evaluate.py", *words, cwd=folder), "evaluate.py", named)


def test_stocks_and_a_new_one_come_from_the_files_of_a_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    config = Config(csv="prices", symbols="AA,BB", embed_size=1)
    found = prices_of(config)
    assert (found.symbols, [len(each) for each in found.prices]) == (("AA", "BB"), [60, 50])
    new = one_stock(on_other_prices(config, {"symbol": "CC"}))
    assert (new.symbol, len(new), new.source) == ("CC", 3, "csv")
    with pytest.raises(ValueError, match="are several stocks"):
        one_stock(config)


def test_the_table_of_the_evaluation_has_all_and_each_stock(
    folder, run_here, stocks_result, monkeypatch
):
    monkeypatch.setattr(
        "stock_rnn.forecasting.evaluation.evaluate", lambda *of, **how: stocks_result
    )
    answer = run_here("evaluate.py", "stocks", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    content = stocks_result.comparison.to_dict()
    (test,) = (line for line in lines if line.startswith("test  "))
    # RMSE in price has no meaning for all.
    assert test.split()[1] == "75"
    assert test.split()[5] == "-"
    assert content["sentence"] in lines
    assert content["shift"] in lines
    assert content["shift"].endswith("of 3 stocks")
    start = next(i for i, line in enumerate(lines) if line.startswith("test by stock"))
    for line, (symbol, stock) in zip(lines[start + 2 :], content["stocks"].items(), strict=False):
        model = stock["forecasts"]["model"]
        expected = [symbol, "25", f"{model['mse']:.2e}", f"{model['mape']:.2f}"]
        assert line.split()[:4] == expected
        assert stock["best_baseline"] in line


def test_the_next_prices_of_every_stock_stand_beside_its_skill(
    folder, run_here, stocks_config, stocks_forecaster, monkeypatch
):
    several = predict_stocks(stocks_forecaster, prices_of(stocks_config), horizon=2)
    asked = []

    def predict(forecaster, prices, **options):
        asked.append((prices.symbols, options))
        return several

    monkeypatch.setattr("stock_rnn.forecasting.horizon.predict_stocks", predict)
    text = run_here("predict", "stocks", "--horizon", 2, cwd=folder).stdout
    content = json.loads(run_here("predict", "stocks", "--horizon", 2, "--json", cwd=folder).stdout)
    options = {
        **{"horizon": 2, "coverage": 0.9, "calendar": None},
        **{"intervals": "conformal", "step": INTERVAL_STEP},
    }
    assert asked == [(("AAPL", "JPM", "XOM"), options)] * 2
    lines = text.splitlines()
    assert lines[1].startswith("newest prices of 3 stocks: of 2022-12-28, long ago")
    rows = [line.split() for line in lines[3:9]]
    assert [row[:2] for row in rows] == [
        [symbol, day] for symbol in ("AAPL", "JPM", "XOM") for day in ("2022-12-29", "2022-12-30")
    ]
    for stock, row in zip(content["stocks"], rows[::2], strict=True):
        first = stock["predictions"][0]
        assert row[3] == f"{first['predicted']:,.2f}"
        assert row[7] == f"{stock['skill']:+.2f}"
    assert lines[-1] == "not advice to buy or sell"


def test_the_command_of_a_run_makes_its_settings_again(stocks_config):
    config = Config(symbols=" A , B,C,D ", embed_size=3)
    assert (config.symbols, config.symbol) == ("A,B,C,D", "A+B+C+1more")
    assert config.command() == "python train.py --symbols A,B,C,D --embed-size 3"
    assert Config.from_dict(config.to_dict()) == config
    assert Config.from_dict(stocks_config.to_dict()) == stocks_config
    assert stocks_config.symbol == "three"
    names = {runs.run_name(Config(symbols=each)) for each in ("A,B,C,D", "A,B,C,E", "A,B,C")}
    assert len(names) == 3


def test_one_stock_of_a_run_of_several_comes_from_where_the_others_come(tmp_path):
    of_package = Config(symbols="A,B", source="skfolio", embed_size=3)
    one = on_other_prices(of_package, {"symbol": "C"})
    assert (one.several, one.symbol, one.source) == (False, "C", "skfolio")
    folder = Config(symbols="A,B", csv="prices", close_column="Last")
    one = on_other_prices(folder, {"symbol": "C"})
    assert (one.several, one.symbol, one.csv) == (False, "C", "prices/C.csv")
    assert one.close_column == "Last"
    one = on_other_prices(folder, {"symbol": "C", "source": "yahoo"})
    assert (one.several, one.csv, one.close_column) == (False, None, None)
    later = on_other_prices(folder, {"period": "1y"})
    assert (later.symbols, later.period) == ("A,B", "1y")
    file = on_other_prices(folder, {"csv": "x/NEW.csv"})
    assert (file.several, file.symbol, file.csv) == (False, "NEW", "x/NEW.csv")
    with pytest.raises(UserError, match="cannot be named after"):
        on_other_prices(folder, {"symbol": "../C"})
