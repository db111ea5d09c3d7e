"""The whole matrix, where it fits into memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.protocol import (
    Array,
    MatvecRoutine,
    SymmetricOperator,
    dimension,
    is_verified,
    run_routine,
)

# Columns that are asked for at a time, and the side of a tile when symmetrizing.
CHUNK = 64


class TooLargeError(MemoryError):
    """A dense matrix would need more memory than is allowed."""


@dataclass(frozen=True)
class ExactHessian:
    """The dense matrix, made symmetric."""

    matrix: Array  # (n, n), exactly symmetric
    asymmetry: float  # max |H - Hᵀ| / max |H| of what the products gave
    verified: bool  # as in `ExtremeEigenpairs`


@dataclass(frozen=True)
class ExactSpectrum:
    """All eigenvalues."""

    eigenvalues: Array  # (n,), ascending
    asymmetry: float  # as in ExactHessian: the relative size of the products' error
    verified: bool  # as in `ExtremeEigenpairs`


def exact_hessian(operator: SymmetricOperator, *, max_bytes: int = 4 * 2**30) -> ExactHessian:
    """(H + Hᵀ) / 2 with H the products of the operator and the identity's columns.

    Args:
        operator: Anything that multiplies; n products are asked for.
        max_bytes: The memory that the dense matrix and its work space may take, the
            model's own not counted.

    Raises:
        TooLargeError: More than that would be needed: 8 n² bytes and a few columns.
        ValueError: A matrix that is empty or not square.
        NonFiniteError: A product that is not finite.
    """
    n = dimension(operator)
    _refuse_above(max_bytes, 8 * n * n, n)
    matrix = run_routine(operator, _columns(n))
    return ExactHessian(matrix, _symmetrize(matrix), is_verified(operator))


def exact_spectrum(operator: SymmetricOperator, *, max_bytes: int = 4 * 2**30) -> ExactSpectrum:
    """All eigenvalues of `exact_hessian`, by LAPACK.

    Args:
        operator: Anything that multiplies; n products are asked for.
        max_bytes: As for `exact_hessian`.

    Raises:
        TooLargeError: More would be needed: 16 n² bytes and a few columns, for
            LAPACK works on a copy.
        ValueError, NonFiniteError: As `exact_hessian`.
    """
    n = dimension(operator)
    _refuse_above(max_bytes, 16 * n * n, n)
    hessian = exact_hessian(operator, max_bytes=max_bytes)
    eigenvalues = np.asarray(np.linalg.eigvalsh(hessian.matrix), np.float64)
    return ExactSpectrum(eigenvalues, hessian.asymmetry, hessian.verified)


def _refuse_above(max_bytes: int, matrices: int, n: int) -> None:
    needed = matrices + 3 * 8 * n * min(CHUNK, n)
    if needed > max_bytes:
        raise TooLargeError(
            f"A dense matrix for {n:,} parameters needs {needed / 2**30:,.2f} GiB, and "
            f"{max_bytes / 2**30:,.2f} are allowed. Choose fewer variables, allow more "
            "(max_bytes), or ask for the ends or the density of the spectrum instead."
        )


def _columns(n: int) -> MatvecRoutine[Array]:
    """All n products, some columns at a time."""
    # The operator is symmetric, so that what is asked as columns may be kept as rows.
    matrix = np.empty((n, n))
    for first in range(0, n, CHUNK):
        unit = np.zeros((n, min(CHUNK, n - first)))
        unit[first + np.arange(unit.shape[1]), np.arange(unit.shape[1])] = 1.0
        products = yield unit
        if not np.isfinite(products).all():
            raise NonFiniteError(f"Products with columns from {first} on are not finite.")
        matrix[first : first + CHUNK] = products.T
    return matrix


def _symmetrize(matrix: Array) -> float:
    """Average with the transpose, in place and by tiles; the relative asymmetry before."""
    n, difference, size = len(matrix), 0.0, 0.0
    for i in range(0, n, CHUNK):
        rows = slice(i, i + CHUNK)
        for j in range(i, n, CHUNK):
            columns = slice(j, j + CHUNK)
            upper, lower = matrix[rows, columns].copy(), matrix[columns, rows].T.copy()
            difference = max(difference, float(np.abs(upper - lower).max()))
            size = max(size, float(np.abs(upper).max()), float(np.abs(lower).max()))
            matrix[rows, columns] = (upper + lower) / 2
            matrix[columns, rows] = matrix[rows, columns].T
    return difference / size if size else 0.0
