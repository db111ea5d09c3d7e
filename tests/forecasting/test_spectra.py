"""`evaluate.py --spectrum`: both ways tell the same of one run."""

import contextlib
import dataclasses
import io
import re
import shutil
import sys

import numpy as np
import pytest

from stock_rnn.errors import UserError
from stock_rnn.forecasting import spectra
from stock_rnn.forecasting.forecaster import load_run
from stock_rnn.forecasting.progress import Watched
from stock_rnn.forecasting.spectra import describe_spectrum
from stock_rnn.training.train import train


@pytest.fixture(scope="module")
def forecaster(small_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spectra")
    shutil.copytree(small_run.folder, folder / "small")
    return load_run("small", models_dir=folder)


@pytest.fixture(scope="module")
def told():
    """What goes to stderr while the spectrum is computed."""
    return io.StringIO()


@pytest.fixture(scope="module")
def exact(forecaster, told):
    with contextlib.redirect_stderr(told):
        return describe_spectrum(forecaster, "exact")


def test_exact_writes_the_eigenvalues_and_the_pictures(forecaster, exact):
    lines, files = exact
    assert {path.name for path in files} == {
        "spectrum_exact.npz", "loss_slices.png", "spectrum_by_epoch.png", "hessian_matrix.png",
        "spectrum_exact.png",
    }  # fmt: skip
    assert all(path.stat().st_size > 1000 for path in files)
    with np.load(forecaster.run.folder / "spectrum_exact.npz") as arrays:
        eigenvalues = arrays["eigenvalues"]
    assert len(eigenvalues) == forecaster.model.count_params()
    low, high = (float(re.search(r"([+-][\d.e+-]+) ±", line)[1]) for line in lines[1:3])
    assert low == pytest.approx(eigenvalues[0], rel=2e-3)
    assert high == pytest.approx(eigenvalues[-1], rel=2e-3)


def test_progress_and_the_time_left_are_told(forecaster, exact, told):
    count = forecaster.model.count_params()
    lines = told.getvalue().splitlines()
    assert 2 <= len(lines) <= 10
    for line in lines:
        assert re.fullmatch(rf"Hessian: \d+ of {count} products, \d\d:\d\d left", line)
    assert f"{count} of {count} products, 00:00 left" in lines[-1]


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    watched = Watched(np.diag([1.0, 2.0]), 2, "Hessian")
    np.testing.assert_array_equal(watched @ np.eye(2), np.diag([1.0, 2.0]))
    watched.close()
    assert "Hessian: 100%" in capsys.readouterr().err


def test_density_agrees_with_exact_within_its_error(forecaster, exact):
    with np.load(forecaster.run.folder / "spectrum_exact.npz") as arrays:
        eigenvalues = arrays["eigenvalues"]
    lines, files = describe_spectrum(forecaster, "density")
    assert "spectrum_density.png" in {path.name for path in files}
    estimate, error = map(float, re.search(r"trace ([\d.e+-]+) ± ([\d.e+-]+)", lines[-1]).groups())
    assert abs(estimate - eigenvalues.sum()) <= 4 * error + 1e-3 * abs(estimate)


def test_exact_is_refused_before_lapack_s_copy_fills_the_memory(forecaster, monkeypatch):
    count = forecaster.model.count_params()
    # Enough for the matrix and its columns, not for the copy that LAPACK works on.
    monkeypatch.setattr(spectra, "_MAX_BYTES", 15 * count**2)
    monkeypatch.setattr(spectra, "exact_hessian", None)
    with pytest.raises(UserError, match=r"--spectrum exact of .* take --spectrum density"):
        describe_spectrum(forecaster, "exact")


def test_a_run_that_measured_the_residual_term_has_its_picture(small_config, tmp_path):
    config = dataclasses.replace(small_config, hessian_split=True, max_epoch=1, lstm_size=2)
    run = train(config, run_name="r", models_dir=tmp_path / "m", logs_dir=tmp_path / "l")
    _, files = describe_spectrum(load_run(run.folder), "density")
    assert run.folder / "negative_end.png" in files
