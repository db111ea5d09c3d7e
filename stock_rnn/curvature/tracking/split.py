"""What the residual term of the Hessian is at one point, and its rows in the file by epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.algorithms.extreme import extreme_eigenpairs
from stock_rnn.curvature.operators.protocol import SymmetricOperator
from stock_rnn.curvature.tracking.ends import ends_of_row, ends_to_arrays

#: The scalars of the residual term and what each is; named and used as in `SCALARS`.
SPLIT_SCALARS = {
    "residual_term_min": "Smallest eigenvalue that was found of R = H - G, the Hessian less its "
    "Gauss-Newton matrix. An eigenvalue lies within residual_term_error, plus rounding, of it.",
    "residual_term_max": "Largest eigenvalue that was found of R = H - G. An eigenvalue lies "
    "within residual_term_error, plus rounding, of it.",
    "residual_term_error": "Error bar of both ends of R: the larger norm of Rv - lambda v.",
    "residual_term_share": "v'Rv / lambda_min, v the eigenvector of the Hessian's lambda_min. "
    "Where lambda_min < 0 and the loss is convex it is at least 1; the rest, up to 1, is v'Gv.",
    "residual_term_matvecs": "Products of R and a vector that the measurement took.",
}

_PREFIX = "residual_term_"


@dataclass(frozen=True)
class ResidualTerm:
    """Both ends of R = H - G, and the part that R has in the Hessian's smallest eigenvalue."""

    extremes: ExtremeEigenpairs  # of R; its vectors are (0, 2) where they are not kept
    along_v_min: float  # vᵀRv, v the eigenvector of the Hessian's λ_min
    share: float  # vᵀRv / λ_min; NaN where λ_min = 0
    matvecs: int  # products with R
    seconds: float

    def scalars(self) -> dict[str, float]:
        """The values by the names in SPLIT_SCALARS."""
        values = (
            self.extremes.lambda_min,
            self.extremes.lambda_max,
            float(self.extremes.residuals.max()),
            self.share,
            float(self.matvecs),
        )
        return dict(zip(SPLIT_SCALARS, values, strict=True))

    def without_vectors(self) -> ResidualTerm:
        """The same, but for the eigenvectors."""
        extremes = replace(self.extremes, vectors=np.empty((0, 2)), replaced_vector=None)
        return replace(self, extremes=extremes)


def measure_residual_term(
    operator: SymmetricOperator,
    hessian: ExtremeEigenpairs,
    tol: float = 1e-2,
    *,
    max_matvecs: int = 200,
    warm_start: ResidualTerm | None = None,
    seed: int = 0,
) -> ResidualTerm:
    """Both ends of R, and its part in λ_min of the Hessian.

    Args:
        operator: R, a `ResidualOperator` of the same loss and data as the Hessian.
        hessian: both ends of the Hessian at this point, with their vectors.
        tol: as in `extreme_eigenpairs`.
        max_matvecs: products with R at most, that with the Hessian's vector included.
        warm_start: the result at a point nearby, with its vectors.
        seed: of the random vectors.
    """
    begin = time.perf_counter()
    extremes = extreme_eigenpairs(
        operator,
        tol,
        max_matvecs=max_matvecs - 1,
        warm_start=None if warm_start is None else warm_start.extremes,
        seed=seed,
    )
    v = hessian.vectors[:, 0]
    along = float(v @ (operator @ v))
    share = along / hessian.lambda_min if hessian.lambda_min else np.nan
    seconds = time.perf_counter() - begin
    return ResidualTerm(extremes, along, share, extremes.matvecs + 1, seconds)


def to_arrays(rows: Sequence[ResidualTerm | None], kept: Sequence[int]) -> dict[str, Any]:
    """The rows as arrays of `save_measurements`, NaN where there is none; {} if none has any.

    Args:
        rows: one a measurement.
        kept: numbers of the rows whose vectors are kept.
    """
    if not any(rows):
        return {}
    with_vectors = [(k, row) for k in kept if (row := rows[k]) and len(row.extremes.vectors)]
    arrays = {
        **ends_to_arrays([None if r is None else r.extremes for r in rows]),
        "along_v_min": [np.nan if r is None else r.along_v_min for r in rows],
        "share": [np.nan if r is None else r.share for r in rows],
        "matvecs": [0 if r is None else r.matvecs for r in rows],
        "seconds": [np.nan if r is None else r.seconds for r in rows],
        "vectors": [r.extremes.vectors for _, r in with_vectors] or np.empty((0, 0, 2)),
        "vector_rows": np.array([k for k, _ in with_vectors], np.int64),
    }
    return {_PREFIX + name: np.array(values) for name, values in arrays.items()}


def from_arrays(arrays: Mapping[str, Any], rows: int) -> list[ResidualTerm | None]:
    """The inverse of `to_arrays`, for so many rows; None for each in a file without any.

    The Ritz values between the ends are not kept.

    Raises:
        KeyError: some of the arrays are missing.
    """
    if _PREFIX + "share" not in arrays:
        return [None] * rows
    names = [name for name in arrays if name.startswith(_PREFIX)]
    a = {name.removeprefix(_PREFIX): arrays[name] for name in names}
    vectors = dict(zip(a["vector_rows"].tolist(), a["vectors"], strict=True))
    return [
        ResidualTerm(
            extremes=ends_of_row(a, k, vectors, ritz_values=np.empty(0)),
            along_v_min=float(a["along_v_min"][k]),
            share=float(a["share"][k]),
            matvecs=int(a["matvecs"][k]),
            seconds=float(a["seconds"][k]),
        )
        if a["matvecs"][k]
        else None
        for k in range(rows)
    ]
