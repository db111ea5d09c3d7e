"""The spectrum of a trained run's Hessian: all eigenvalues, or their density."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stock_rnn.curvature import figures
from stock_rnn.curvature.algorithms.dense import TooLargeError, exact_hessian
from stock_rnn.curvature.algorithms.density import negative_fraction, spectral_density
from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.algorithms.extreme import Verify, extreme_eigenpairs
from stock_rnn.curvature.algorithms.trace import trace
from stock_rnn.curvature.analysis.landscape import loss_along, telling_distance
from stock_rnn.curvature.operators.hessian import HessianOperator
from stock_rnn.curvature.tracking.measurement import load_measurements
from stock_rnn.curvature.tracking.steps_file import load_steps
from stock_rnn.data import dataset_of
from stock_rnn.errors import UserError, writing_to
from stock_rnn.files import atomic_write, write_arrays
from stock_rnn.forecasting.forecaster import WRITE_ELSEWHERE, Forecaster
from stock_rnn.forecasting.progress import Watched
from stock_rnn.training import runs
from stock_rnn.training.runs.reading import reading
from stock_rnn.training.second_order import inputs_of

_log = logging.getLogger("stock_rnn.forecasting.spectra")

# An eigenvalue within this fraction of the largest |λ| counts as zero: float32
# products are not more accurate.
_ZERO = 1e-5

# The memory that all eigenvalues may take, as in `exact_spectrum`.
_MAX_BYTES = 4 * 2**30


def describe_spectrum(forecaster: Forecaster, kind: str) -> tuple[list[str], list[Path]]:
    """Compute the spectrum of a run's model; write figures and arrays into its folder.

    Those of the best epoch's model go into `best/`; "model" in the arrays' file says which.

    The loss is the mean squared error, dropout off, on the training examples that the
    run's curvature was measured on.

    Args:
        forecaster: the run and its model.
        kind: "exact", all eigenvalues and the matrix, or "density", estimates
            with standard errors for networks of any size.

    Returns:
        Lines for the terminal, and the files written.

    Raises:
        UserError: the network is too large for "exact", the run's files are damaged, or
            its folder cannot be written.
    """
    operator = training_loss(forecaster)
    verify: Verify | None = "float64" if forecaster.config.hessian_verify else None
    extremes = extreme_eigenpairs(operator, tol=1e-3, verify=verify)
    title = forecaster.title
    lines = [
        f"{operator.shape[0]:,} parameters, {operator.examples:,} training examples",
        _describe_end("λ_min", extremes.lambda_min, extremes.residual_min, extremes),
        _describe_end("λ_max", extremes.lambda_max, extremes.residual_max, extremes),
    ]
    drawn = {"loss_slices.png": _slices(operator, extremes, title)}
    if forecaster.run.spectrum.exists():
        # Of the training, not of one model.
        drawn |= _by_epoch(forecaster.run.spectrum, forecaster.run.name)
    if forecaster.run.sharpness.exists():
        drawn |= _sharpness(forecaster.run.sharpness, forecaster.run.name)
    more_lines, more_drawn, arrays = (
        _exact(operator, title) if kind == "exact" else _density(operator, extremes, title)
    )
    drawn |= more_drawn
    folder = forecaster.folder_in(forecaster.run.folder)
    files = _write(folder, kind, drawn, {**arrays, "model": np.array(forecaster.which)})
    return lines + more_lines, files


def training_loss(forecaster: Forecaster) -> HessianOperator:
    """The mean squared error, dropout off, on the examples that a run's curvature is measured on.

    Raises:
        UserError: the run's prices cannot be read or are damaged.
    """
    dataset = dataset_of(forecaster.config, runs.read_prices(forecaster.run))
    _, labels = dataset.curvature_sample(forecaster.config.hessian_samples)
    examples = dataset.spaced_examples(forecaster.config.hessian_samples)
    inputs = inputs_of(forecaster.model, dataset, examples)
    check = not forecaster.config.has_kinks
    return HessianOperator(forecaster.model, "mse", inputs, labels, check=check)


def _describe_end(name: str, value: float, residual: float, extremes: ExtremeEigenpairs) -> str:
    sign = ""
    if name == "λ_min" and extremes.resolved_negative:
        sure = extremes.certified_negative
        sign = ", certainly negative" if sure else ", negative beyond its error bar"
    return f"{name} {value:+.4g} ± {residual + extremes.rounding:.1g}{sign}"


def _by_epoch(path: Path, title: str) -> dict[str, Figure]:
    """File name -> figure of what was measured while the run was trained."""
    with reading(path, "train the run again with --overwrite"):
        measurements = load_measurements(path)
    drawn = {"spectrum_by_epoch.png": figures.epochs_figure(measurements, title=title)}
    if any(m.residual_term is not None for m in measurements):
        drawn["negative_end.png"] = figures.negative_end_figure(measurements, title=title)
    return drawn


def _sharpness(path: Path, title: str) -> dict[str, Figure]:
    """File name -> figure of the eigenvalues that were tracked beside the stability line."""
    with reading(path, "train the run again with --overwrite"):
        return {"sharpness.png": figures.steps_figure(load_steps(path), title=title)}


def _slices(operator: HessianOperator, extremes: ExtremeEigenpairs, title: str) -> Figure:
    slices = {}
    for name, vector, value in zip(
        ("v_min", "v_max"), extremes.vectors.T, extremes.eigenvalues, strict=True
    ):
        reach = telling_distance(operator.loss(), value)
        slices[name] = loss_along(operator, vector, np.linspace(-reach, reach, 61))
    return figures.slices_figure(slices, title=title)


def _exact(
    operator: HessianOperator, title: str
) -> tuple[list[str], dict[str, Figure], dict[str, Any]]:
    count = operator.shape[0]
    # As `exact_spectrum`, which keeps no matrix to draw: LAPACK works on a copy.
    if (needed := 2 * 8 * count**2) > _MAX_BYTES:
        raise UserError(
            f"--spectrum exact of {count:,} parameters needs {needed / 2**30:,.1f} GiB, and "
            f"{_MAX_BYTES / 2**30:,.0f} are allowed; take --spectrum density"
        )
    watched = Watched(operator, count, "Hessian")
    try:
        hessian = exact_hessian(watched, max_bytes=_MAX_BYTES)
    except TooLargeError as error:
        raise UserError(f"{error} (--spectrum density)") from error
    finally:
        watched.close()
    _log.info("all eigenvalues of a matrix of %s rows, by LAPACK", f"{count:,}")
    eigenvalues = np.asarray(np.linalg.eigvalsh(hessian.matrix), np.float64)
    zero = _ZERO * float(np.abs(eigenvalues).max())
    negative = int((eigenvalues < -zero).sum())
    lines = [
        f"negative eigenvalues: {negative:,} of {len(eigenvalues):,} "
        f"({negative / len(eigenvalues):.2%}), counted below -{zero:.1g}",
        f"trace {eigenvalues.sum():.4g}; relative asymmetry of the products "
        f"{hessian.asymmetry:.1g}",
    ]
    drawn = {
        "hessian_matrix.png": figures.matrix_figure(
            hessian.matrix, operator.blocks, title=f"Hessian: {title}"
        ),
        "spectrum_exact.png": figures.eigenvalues_figure(eigenvalues, zero=zero, title=title),
    }
    return lines, drawn, {"eigenvalues": eigenvalues, "asymmetry": hessian.asymmetry}


def _density(
    operator: HessianOperator, extremes: ExtremeEigenpairs, title: str
) -> tuple[list[str], dict[str, Figure], dict[str, Any]]:
    density = spectral_density(operator)
    total = trace(operator)
    negative = negative_fraction(density, threshold=_ZERO)
    lines = [
        f"negative eigenvalues: {negative.value:.2%} ± {negative.standard_error:.2%} "
        f"(standard error), below {negative.cutoff:.1g}",
        f"trace {total.value:.4g} ± {total.standard_error:.2g} (standard error)",
    ]
    drawn = {
        "spectrum_density.png": figures.density_figure(density, extremes=extremes, title=title)
    }
    arrays = {
        "grid": density.grid,
        "density": density.density,
        "density_error": density.density_error,
    }
    return lines, drawn, arrays


def _write(folder: Path, kind: str, drawn: dict[str, Figure], arrays: dict[str, Any]) -> list[Path]:
    files = [folder / f"spectrum_{kind}.npz", *(folder / name for name in drawn)]
    with writing_to(folder, WRITE_ELSEWHERE):
        folder.mkdir(exist_ok=True)
        write_arrays(files[0], arrays)
        for path, figure in zip(files[1:], drawn.values(), strict=True):
            with atomic_write(path) as part:
                figure.savefig(part, bbox_inches="tight")
    return files
