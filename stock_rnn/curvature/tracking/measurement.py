"""What is measured of a loss at one point, and the file that keeps it by epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.algorithms.extreme import (
    Verify,
    check_verify,
    extreme_routine,
    judged,
    verified_in_float64,
)
from stock_rnn.curvature.analysis.critical_point import (
    KINDS,
    classify_critical_point,
    condition_number,
)
from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.protocol import Array, MatvecRoutine, vector_type
from stock_rnn.curvature.tracking import split
from stock_rnn.curvature.tracking.array_file import read_arrays, write_arrays
from stock_rnn.curvature.tracking.ends import ends_of_row, ends_to_arrays
from stock_rnn.curvature.tracking.split import ResidualTerm

#: The scalars of a measurement and what each is. With the callback's name before them they
#: are keys in Keras's `logs`; TensorBoard has a chart for each but the kind of point.
SCALARS = {
    "lambda_min": "Smallest eigenvalue of the Hessian that was found (a Ritz value). An "
    "eigenvalue lies within residual_min, plus rounding, of it.",
    "lambda_max": "Largest eigenvalue of the Hessian that was found (a Ritz value). An "
    "eigenvalue lies within residual_max, plus rounding, of it.",
    "residual_min": "Error bar of lambda_min: the norm of Hv - lambda v, in lambda's units.",
    "residual_max": "Error bar of lambda_max: the norm of Hv - lambda v, in lambda's units.",
    "gradient_norm": "Norm of the loss's gradient over the measured examples, dropout off.",
    "condition_number": "lambda_max / lambda_min with its sign; negative: the Hessian is "
    "indefinite.",
    "curvature_along_gradient": "Second derivative of the loss along the gradient.",
    "critical_point": "Code of the kind of point, its place in `KINDS`; NaN: not classified.",
    "matvecs": "Products of the Hessian and a vector that the measurement took.",
    "seconds": "Time that the measurement took.",
}

#: The probability with which an eigenvalue may lie beyond a bound, of each of the two.
BOUND_FAILURE = 1e-6

#: Bounds outside of both ends; charts in TensorBoard alone, of the measurements that have them.
BOUND_SCALARS = {
    name: f"No eigenvalue of the Hessian lies {where} this, except with a probability of "
    f"{BOUND_FAILURE:g} over the random start of the search, if its rounding is within its bar. "
    "Only a search from a random start alone has it, one measurement in ten: the others start "
    "from the last vectors, where no such bound holds."
    for name, where in (("lower_bound", "below"), ("upper_bound", "above"))
}

#: TensorBoard's tags beside the charts of the scalars, after the callback's name.
HISTOGRAM, KIND, SHARE = "eigenvalues", "critical_point", "share_of"

# Format 2 adds asymmetry, symmetric and verified.
_FORMAT = 2

# Vectors are kept of so many of the latest measurements: a run that stopped between
# writing the spectrum and saving the weights goes on from the last but one.
KEPT_VECTORS = 2


@dataclass(frozen=True)
class Measurement:
    """Loss, gradient and extreme curvature at one point."""

    epoch: int  # epochs of training done before it
    loss: float
    gradient_norm: float
    curvature_along_gradient: float  # gᵀHg / gᵀg; NaN where g = 0
    extremes: ExtremeEigenpairs  # its vectors are (0, 2) where they are not kept
    matvecs: int  # products, the one with the gradient included
    seconds: float
    critical_point: float = np.nan  # code of the kind of point; NaN: not classified
    reason: str = ""  # why it is that kind, with the numbers and thresholds
    residual_term: ResidualTerm | None = None  # of R = H - G; None: not measured
    # What no eigenvalue lies beyond, but with probability BOUND_FAILURE; NaN: a warm start.
    lower_bound: float = np.nan
    upper_bound: float = np.nan

    @property
    def condition_number(self) -> float:
        """λ_max / λ_min with its sign; see `saddle.condition_number`."""
        return condition_number(self.extremes)

    @property
    def kind(self) -> str | None:
        """The kind of point, one of `KINDS`; None: not classified."""
        return None if np.isnan(self.critical_point) else KINDS[int(self.critical_point)]

    def classified(self, *, eps: float, gamma: float) -> Measurement:
        """The same, with the kind of point it is; see `classify_critical_point`."""
        point = classify_critical_point(self.gradient_norm, self.extremes, eps=eps, gamma=gamma)
        return replace(self, critical_point=float(point.code), reason=point.reason)

    def scalars(self) -> dict[str, float]:
        """The values by the names in SCALARS."""
        return {
            name: float(getattr(self if hasattr(self, name) else self.extremes, name))
            for name in SCALARS
        }


def measure(
    operator: Any,
    tol: float = 1e-2,
    *,
    epoch: int = 0,
    max_matvecs: int = 200,
    warm_start: ExtremeEigenpairs | None = None,
    seed: int = 0,
    verify: Verify | None = None,
) -> Measurement:
    """Loss, gradient, both ends and the curvature along the gradient, in one go.

    Args:
        operator: A `HessianOperator`.
        tol: As in `extreme_eigenpairs`.
        epoch: Epochs of training done; goes into the result, and with the seed
            decides the random vectors.
        max_matvecs: Products at most, the one with the gradient included.
        warm_start: The extremes at a point nearby.
        seed: Of the random vectors.
        verify: As in `extreme_eigenpairs`.

    Returns:
        The measurement. Where loss or gradient are not finite, NaN throughout.

    Raises:
        ValueError, PrecisionError: As `extreme_eigenpairs`.
    """
    check_verify(verify)
    begin = time.perf_counter()

    def routine(loss: float, gradient: Array) -> MatvecRoutine[Measurement]:
        along = yield gradient
        extremes = yield from extreme_routine(
            operator.parameters,
            tol,
            max_matvecs=max_matvecs - 1,
            warm_start=warm_start,
            seed=seed_of(seed, epoch),
            rounding=operator.product_error,
            vector_type=vector_type(operator),
        )
        square = float(gradient @ gradient)
        return Measurement(
            epoch=epoch,
            loss=loss,
            gradient_norm=float(np.sqrt(square)),
            curvature_along_gradient=float(gradient @ along) / square if square else np.nan,
            extremes=judged(extremes, operator),
            matvecs=extremes.matvecs + 1,
            seconds=time.perf_counter() - begin,
        )

    try:
        found = operator.run_at_gradient(routine)
        if verify is not None:
            exact = verified_in_float64(found.extremes, operator, tol)
            found = replace(found, extremes=exact)
        return replace(_bounded(found), seconds=time.perf_counter() - begin)
    except NonFiniteError:
        return _nothing(epoch, time.perf_counter() - begin)


def _bounded(found: Measurement) -> Measurement:
    """The same with bounds outside of both ends, where the search has any."""
    ends = found.extremes
    if ends.lanczos is None or not ends.sound:
        return found
    lower, upper = ends.lower_bound(BOUND_FAILURE), ends.upper_bound(BOUND_FAILURE)
    return replace(found, lower_bound=lower, upper_bound=upper)


def seed_of(seed: int, epoch: int) -> int:
    """The seed of an epoch's random vectors."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _nothing(epoch: int, seconds: float) -> Measurement:
    nan = np.full(2, np.nan)
    extremes = ExtremeEigenpairs(nan, np.empty((0, 2)), nan, 0, False, np.empty(0))
    return Measurement(epoch, np.nan, np.nan, np.nan, extremes, 0, seconds)


def shares_of_kinds(measurements: Sequence[Measurement]) -> dict[str, float]:
    """Kind of point -> its share of the classified measurements; nothing if there are none."""
    kinds = [measurement.kind for measurement in measurements if measurement.kind is not None]
    return {kind: kinds.count(kind) / len(kinds) for kind in KINDS} if kinds else {}


def without_vectors(measurement: Measurement) -> Measurement:
    """The same, but for the eigenvectors."""
    extremes = replace(measurement.extremes, vectors=np.empty((0, 2)), replaced_vector=None)
    term = measurement.residual_term
    term = None if term is None else term.without_vectors()
    return replace(measurement, extremes=extremes, residual_term=term)


def save_measurements(path: str | os.PathLike[str], measurements: Sequence[Measurement]) -> None:
    """Write a .npz of plain arrays, one row a measurement, under its name only when whole.

    Arrays: epochs, loss, gradient_norm, curvature_along_gradient, matvecs, seconds,
    critical_point, reason, converged, rounding, asymmetry, symmetric, verified, in_float64,
    lower_bound, upper_bound (m,), the bounds NaN where there are none;
    eigenvalues, residuals (m, 2); ritz_values (m, most), filled up with NaN; vectors
    (kept, n, 2) and earlier (kept, n), the replaced vectors, zero where there is none,
    of the rows vector_rows (kept,), the last ones; format, the version of this layout.
    Where the residual term was measured, also residual_term_...: eigenvalues and residuals
    (m, 2), along_v_min, share, matvecs, seconds and more (m,), vectors (kept, n, 2).

    Raises:
        OSError: it cannot be written.
    """
    rows = list(measurements)
    ritz = np.full((len(rows), max((len(r.extremes.ritz_values) for r in rows), default=0)), np.nan)
    for k, row in enumerate(rows):
        ritz[k, : len(row.extremes.ritz_values)] = row.extremes.ritz_values
    # The vectors of the last rows, with the numbers of those rows.
    kept = [k for k, row in enumerate(rows) if len(row.extremes.vectors)][-KEPT_VECTORS:]
    arrays = {
        "epochs": np.array([r.epoch for r in rows], np.int64),
        "loss": np.array([r.loss for r in rows]),
        "gradient_norm": np.array([r.gradient_norm for r in rows]),
        "curvature_along_gradient": np.array([r.curvature_along_gradient for r in rows]),
        "matvecs": np.array([r.matvecs for r in rows], np.int64),
        "seconds": np.array([r.seconds for r in rows]),
        "critical_point": np.array([r.critical_point for r in rows]),
        "reason": np.array([r.reason for r in rows], np.str_),
        "lower_bound": np.array([r.lower_bound for r in rows]),
        "upper_bound": np.array([r.upper_bound for r in rows]),
        **ends_to_arrays([r.extremes for r in rows]),
        "ritz_values": ritz,
        "vectors": np.array([rows[k].extremes.vectors for k in kept] or np.empty((0, 0, 2))),
        "earlier": np.array([_or_zeros(rows[k].extremes) for k in kept] or np.empty((0, 0))),
        "vector_rows": np.array(kept, np.int64),
        "format": np.array(_FORMAT),
        **split.to_arrays([r.residual_term for r in rows], kept),
    }
    write_arrays(path, arrays)


def _or_zeros(extremes: ExtremeEigenpairs) -> Array:
    vector = extremes.replaced_vector
    return np.zeros(len(extremes.vectors)) if vector is None else vector


def load_measurements(path: str | os.PathLike[str]) -> list[Measurement]:
    """What `save_measurements` wrote, in this version of the package or an earlier one.

    Earlier ones did not compare products with differences: their rows are not verified.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError, KeyError: It is something else, damaged, or of a later version.
    """
    a = read_arrays(path, _FORMAT)
    rows = len(a["epochs"])
    a = {
        "asymmetry": np.full(rows, np.nan),
        "symmetric": np.ones(rows, np.bool_),
        "verified": np.zeros(rows, np.bool_),
        "critical_point": np.full(rows, np.nan),
        "reason": np.full(rows, ""),
        "lower_bound": np.full(rows, np.nan),
        "upper_bound": np.full(rows, np.nan),
        "earlier": np.zeros(a["vectors"].shape[:2]),
        **a,
    }
    vectors = dict(zip(a["vector_rows"].tolist(), a["vectors"], strict=True))
    earlier = dict(zip(a["vector_rows"].tolist(), a["earlier"], strict=True))
    terms = split.from_arrays(a, rows)
    return [
        Measurement(
            epoch=int(a["epochs"][k]),
            loss=float(a["loss"][k]),
            gradient_norm=float(a["gradient_norm"][k]),
            curvature_along_gradient=float(a["curvature_along_gradient"][k]),
            extremes=ends_of_row(
                a,
                k,
                vectors,
                ritz_values=a["ritz_values"][k][~np.isnan(a["ritz_values"][k])],
                replaced_vector=earlier[k] if np.any(earlier.get(k)) else None,
            ),
            matvecs=int(a["matvecs"][k]),
            seconds=float(a["seconds"][k]),
            critical_point=float(a["critical_point"][k]),
            reason=str(a["reason"][k]),
            residual_term=terms[k],
            lower_bound=float(a["lower_bound"][k]),
            upper_bound=float(a["upper_bound"][k]),
        )
        for k in range(rows)
    ]
