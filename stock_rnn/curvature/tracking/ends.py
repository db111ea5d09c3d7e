"""Both ends of a spectrum as rows of the file by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.operators.protocol import MOST_FLOAT64_ROUNDING


def ends_to_arrays(rows: Sequence[ExtremeEigenpairs | None]) -> dict[str, Any]:
    """Name -> (m, 2) or (m,), of m rows; NaN or False where there is none."""
    nan = np.full(2, np.nan)
    arrays = {
        "eigenvalues": np.array([nan if r is None else r.eigenvalues for r in rows]),
        "residuals": np.array([nan if r is None else r.residuals for r in rows]),
        "rounding": np.array([np.nan if r is None else r.rounding for r in rows]),
        "asymmetry": np.array([np.nan if r is None else r.asymmetry for r in rows]),
        "converged": np.array([r is not None and r.converged for r in rows], np.bool_),
        "symmetric": np.array([r is not None and r.symmetric for r in rows], np.bool_),
        "verified": np.array([r is not None and r.verified for r in rows], np.bool_),
        "in_float64": np.array([r is not None and r.in_float64 for r in rows], np.bool_),
    }
    pairs = ("eigenvalues", "residuals")
    return {**arrays, **{name: arrays[name].reshape(-1, 2) for name in pairs}}


def ends_of_row(
    arrays: Mapping[str, Any], row: int, vectors: Mapping[int, Any], **others: Any
) -> ExtremeEigenpairs:
    """The inverse of `ends_to_arrays`, for one row.

    Args:
        arrays: those of `ends_to_arrays`, and matvecs, of which one was made for something else.
        row: its number.
        vectors: row -> the eigenvectors (n, 2), of the rows that keep them.
        others: further fields.
    """
    return ExtremeEigenpairs(
        eigenvalues=arrays["eigenvalues"][row],
        vectors=vectors.get(row, np.empty((0, 2))),
        residuals=arrays["residuals"][row],
        matvecs=int(arrays["matvecs"][row]) - 1,
        rounding=float(arrays["rounding"][row]),
        asymmetry=float(arrays["asymmetry"][row]),
        converged=bool(arrays["converged"][row]),
        symmetric=bool(arrays["symmetric"][row]),
        verified=bool(arrays["verified"][row]),
        in_float64=_in_float64(arrays, row),
        **others,
    )


def _in_float64(arrays: Mapping[str, Any], row: int) -> bool:
    """Whether the products were made in float64; files of earlier versions tell by the rounding."""
    if "in_float64" in arrays:
        return bool(arrays["in_float64"][row])
    size = float(np.abs(arrays["eigenvalues"][row]).max())
    return bool(arrays["rounding"][row] <= MOST_FLOAT64_ROUNDING * size)
