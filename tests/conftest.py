"""Shared by many tests: a small real run, and the commands."""

import dataclasses
import gc
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.once import shared_folder

# An example may take long where the machine is busy.
settings.register_profile("stock_rnn", deadline=None)
settings.load_profile("stock_rnn")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Collections take half of the time in which TensorFlow is imported.
gc.disable()


def pytest_collection_finish():
    """Collect garbage from now on: the test files have imported what they need."""
    gc.enable()


ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items):
    """Begin with the files that have slow tests, so that no process ends with one alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def _short_garbage_collections():
    """Leave what earlier tests and TensorFlow's modules keep out of garbage collection.

    Most of it never goes, and going through it took longer than many a test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _blank_pictures(request):
    """Write blank pictures in a module without the mark `pictures`.

    Figures are made as ever. Only their rendering is left out, which took a third of each
    evaluation: layout, letters, compression.
    """
    if request.node.get_closest_marker("pictures"):
        yield
        return
    from tests.blank import blank_pictures

    with blank_pictures():
        yield


@pytest.fixture(scope="session")
def run_script():
    """Run `python SCRIPT WORDS...` of the checkout as a process, in a folder."""

    def run(script, *words, cwd, env=None, timeout=600):
        return subprocess.run(
            [sys.executable, str(ROOT / script), *map(str, words)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command left: as `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run_here(capsys, monkeypatch):
    """Run a command's `main` in this process, in a folder: the imports are paid for once.

    What it raises is not caught: a traceback fails the test.
    """

    def run(script, *words, cwd):
        main = importlib.import_module(f"stock_rnn.cli.{Path(script).stem}").main
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            try:
                code = main([str(word) for word in words])
            except SystemExit as exit_:
                code = exit_.code
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window. Without one the test is skipped, and fails in CI."""
    from playwright.sync_api import sync_playwright

    from tests.browser import MISSING, find_chromium

    if (path := find_chromium()) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    # For a module only: as long as Playwright runs, nothing else can run an event loop.
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def small_config():
    """A configuration that trains in a second, on real prices."""
    from stock_rnn.config import Config

    return Config(period="1y", lstm_size=4, max_epoch=3, seed=7)


@pytest.fixture(scope="session")
def stocks_config(tmp_path_factory):
    """A configuration of three stocks with an embedding, on real prices."""
    from stock_rnn.config import Config

    with shared_folder(tmp_path_factory, "symbols") as folder:
        symbols = folder / "three.csv"
        symbols.write_text("symbol,sector\nAAPL,Technology\nJPM,Financials\nXOM,Energy\n")
    return Config(
        symbols_file=str(symbols), source="skfolio", period="1y", embed_size=2, lstm_size=3,
        max_epoch=2, hessian_samples=100, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="session")
def stocks_run(stocks_config, tmp_path_factory):
    """A complete run of `stocks_config`, named "stocks". Tests that change it must copy it."""
    from stock_rnn.training.train import train

    with shared_folder(tmp_path_factory, "stocks") as folder:
        return train(
            stocks_config, run_name="stocks", models_dir=folder / "models",
            logs_dir=folder / "logs", resume=True,
        )  # fmt: skip


@pytest.fixture(scope="session")
def stocks_forecaster(stocks_run, tmp_path_factory):
    """The model of a copy of `stocks_run`: its evaluation writes files."""
    from stock_rnn.forecasting import load_run

    models = tmp_path_factory.mktemp("evaluated") / "models"
    shutil.copytree(stocks_run.models_dir, models)
    return load_run(models / "stocks")


@pytest.fixture(scope="session")
def stocks_result(stocks_forecaster):
    """The evaluation of `stocks_run` on its own prices."""
    from stock_rnn.forecasting import evaluate

    return evaluate(stocks_forecaster)


@pytest.fixture(scope="session")
def small_run(small_config, tmp_path_factory):
    """A complete run of `small_config`. Tests that change it must copy it."""
    from stock_rnn.training.train import train

    with shared_folder(tmp_path_factory, "small") as folder:
        return train(
            small_config, run_name="small", models_dir=folder / "models",
            logs_dir=folder / "logs", resume=True,
        )  # fmt: skip
