"""The search of a Krylov space for wanted eigenpairs: band Lanczos with thick restarts.

Band Lanczos (Ruhe 1979, "Implementation aspects of band Lanczos algorithms") grows the
Krylov space of one or of several starting vectors, one product a step. With one starting
vector it is Lanczos's method (Paige 1972; Parlett, "The Symmetric Eigenvalue Problem",
chapter 13). A new vector is first rid of the parts that A's symmetry tells of, then
orthogonalized against the whole basis. The basis is kept in float64, or in float32 if the
products are no more exact, all sums over it and the matrix in it in float64. It is shrunk to
its outermost Ritz vectors when it is full (thick restart: Wu and Simon 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from stock_rnn.curvature.algorithms.krylov import BREAKDOWN_TOLERANCE, KrylovSpace
from stock_rnn.curvature.algorithms.lanczos import power_of_two
from stock_rnn.curvature.operators.protocol import Array, MatvecRoutine, VectorType

# An end smaller than this share of the largest |λ| is found relative to that share:
# an eigenvalue at zero has no relative accuracy.
NEGLIGIBLE_SHARE = 1e-4

# Most bytes of a basis, unless fewer than 8 vectors would fit.
BASIS_BYTES = 3 * 2**29

Which = Literal["extremes", "largest", "smallest"]


def krylov_space(
    n: int,
    start: Sequence[Array],
    rng: np.random.Generator,
    max_basis: int | None,
    max_memory: int | None,
    most: int,
    vector_type: VectorType,
    least: int = 8,
) -> KrylovSpace:
    """The space of some vectors, its basis bounded by `max_basis`, or `most`, and by memory.

    Args:
        n: the size of A.
        start: the starting vectors, (n,) each.
        rng: draws a vector where the space is exhausted before it has n dimensions.
        max_basis, max_memory: as in `extreme_eigenpairs`.
        most: vectors of the basis where `max_basis` is None.
        vector_type: of the basis.
        least: vectors that a restart needs.

    Raises:
        ValueError: fewer than 8 vectors are asked for, or fewer than `least` fit.
    """
    each = n * np.dtype(vector_type).itemsize
    # Beside them there is room for those that wait, and a new one.
    others = len(start) + 1
    held = (BASIS_BYTES if max_memory is None else max_memory) // each - others
    if max_memory is not None and held < min(least, n):
        needed = (min(least, n) + others) * each
        raise ValueError(
            f"A basis of {min(least, n)} vectors of {n:,} parameters needs {needed:,} bytes. "
            f"Received: {max_memory=}"
        )
    if max_basis is None:
        max_basis = max(least, min(most, held))
    elif max_memory is not None:
        max_basis = min(max_basis, max(least, held))
    if max_basis < 8:
        raise ValueError(f"A basis of 8 is needed. Received: {max_basis=}")
    return KrylovSpace(n, start, rng, min(max_basis, n), vector_type)


def search(
    space: KrylovSpace,
    which: Which,
    k: int,
    tol: float,
    max_matvecs: int,
    rounding: Callable[[float], float],
    least: int,
) -> MatvecRoutine[dict[str, Any]]:
    """Grow a Krylov space until the wanted Ritz pairs have converged, and check them.

    Args:
        space: with its starting vectors. The caller should not keep it: its memory is let go
            before the last products.
        which: both ends ("extremes", and k is 2), or the k values at one end.
        k: how many pairs are wanted.
        tol: relative residual at which a pair is accepted; see `goal_of`.
        max_matvecs: products at most; k of them are kept for the residuals.
        rounding: ‖A‖ -> the error of a product with a unit vector.
        least: products before the first look at the Ritz pairs.

    Returns:
        The fields of a result: eigenvalues (k,), vectors (n, k), their true residuals
        (k,), matvecs, converged, ritz_values, rounding, asymmetry, symmetric; and
        `KrylovSpace.tridiagonal` of the steps before the first restart, as first_steps.

    Raises:
        ValueError: a tolerance that is not positive, or too few products.
    """
    if not tol > 0:
        raise ValueError(f"tol must be positive. Received: {tol=}")
    if max_matvecs < k + 1:
        raise ValueError(f"At least {k + 1} products are needed. Received: {max_matvecs=}")
    n = space.n
    scale, matvecs = 0.0, 0
    first_steps: tuple[Array, Array] | None = None
    while True:
        product = yield space.next_vector()
        # In units of the first product, so that no square leaves the range of float64.
        scale = scale or power_of_two(product)
        space.extend(product / (scale or 1.0))
        del product  # Not to be held while the next one is made.
        matvecs += 1
        last = matvecs + k >= max_matvecs or space.done == n
        if last or space.full or (matvecs >= least and space.done >= min(k, n)):
            values, coordinates, residuals = space.ritz()
            wanted = _wanted(which, k, len(values))
            # 0.9: room for what rounding adds to the residual when it is made anew.
            goal = 0.9 * goal_of(values[wanted], values, tol, rounding, scale)
            if last or (residuals[wanted] <= goal).all():
                break
        if space.full:
            first_steps = first_steps or space.tridiagonal()
            space.restart(_kept(which, k, space.done))
    scale = scale or 1.0
    alphas, betas = first_steps or space.tridiagonal()
    vectors, asymmetry = space.combine(coordinates[:, wanted]), scale * space.asymmetry
    del space  # Its memory is wanted for the products.
    for vector in vectors.T:
        vector /= np.linalg.norm(vector)
    products = yield vectors
    eigenvalues, true_residuals = np.empty(len(wanted)), np.empty(len(wanted))
    for end, (vector, product) in enumerate(zip(vectors.T, products.T, strict=True)):
        rest = product / scale
        eigenvalues[end] = vector @ rest
        rest -= eigenvalues[end] * vector
        true_residuals[end] = np.linalg.norm(rest)
    goal = goal_of(eigenvalues, values, tol, rounding, scale)
    norm = scale * float(np.abs(values).max())
    # Both products are off by their rounding, a vector taken for zero by its length, and
    # inner products of n numbers by about √n ε.
    inexact = 2 * BREAKDOWN_TOLERANCE + float(np.sqrt(n) * np.finfo(np.float64).eps)
    symmetric = asymmetry <= 2 * rounding(norm) + inexact * norm
    return {
        "eigenvalues": scale * eigenvalues,
        "vectors": vectors,
        "residuals": scale * true_residuals,
        "matvecs": matvecs + len(wanted),
        "converged": symmetric and len(wanted) == k and bool((true_residuals <= goal).all()),
        "ritz_values": scale * values,
        "rounding": rounding(norm),
        "asymmetry": asymmetry,
        "symmetric": symmetric,
        "first_steps": (scale * alphas, scale * betas),
    }


def goal_of(
    eigenvalues: Array,
    all_values: Array,
    tol: float,
    rounding: Callable[[float], float],
    scale: float,
) -> Array:
    """The residual at which each of `eigenvalues` is accepted, all in units of `scale`."""
    size = float(np.abs(all_values).max())
    error = rounding(scale * size) / scale if scale else 0.0
    return np.maximum(tol * np.maximum(np.abs(eigenvalues), NEGLIGIBLE_SHARE * size), error)


def _wanted(which: Which, k: int, m: int) -> list[int]:
    """Which of m ascending values are asked for; fewer than k if m is less."""
    if which == "extremes":
        return [0, m - 1]
    return list(range(min(k, m))) if which == "smallest" else list(range(m))[::-1][:k]


def _kept(which: Which, k: int, m: int) -> list[int]:
    """Which Ritz vectors survive a restart: those wanted and as many of their neighbours."""
    if which == "extremes":
        return [*range(m // 4), *range(m - m // 4, m)]
    count = max(m // 4, min(2 * k, m // 2))
    return list(range(count)) if which == "smallest" else list(range(m - count, m))
