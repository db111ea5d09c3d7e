"""What several tests need: small real runs, and the commands as processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def run_script():
    """Run `python SCRIPT WORDS...` of the checkout as a process, in a folder."""

    def run(script, *words, cwd, env=None, timeout=120):
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


@pytest.fixture(scope="session")
def small_config():
    """A configuration that trains in a second, on real prices."""
    from stock_rnn.config import Config

    return Config(period="1y", lstm_size=4, max_epoch=3, seed=7)


@pytest.fixture(scope="session")
def small_run(small_config, tmp_path_factory):
    """A complete run of `small_config`. Tests that change it must copy it."""
    from stock_rnn.training.train import train

    folder = tmp_path_factory.mktemp("runs")
    return train(
        small_config, run_name="small", models_dir=folder / "models", logs_dir=folder / "logs"
    )
