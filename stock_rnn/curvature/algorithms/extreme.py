"""Eigenvalues at the ends of a symmetric matrix's spectrum, with true residuals.

The search is that of `stock_rnn.curvature.algorithms.band_lanczos`, and what it finds are the
results of `stock_rnn.curvature.algorithms.eigenpairs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from stock_rnn.curvature.algorithms.band_lanczos import goal_of, krylov_space, search
from stock_rnn.curvature.algorithms.eigenpairs import Eigenpairs, ExtremeEigenpairs
from stock_rnn.curvature.algorithms.float64_residuals import float64_residuals
from stock_rnn.curvature.algorithms.outer_bounds import LanczosRun
from stock_rnn.curvature.operators.protocol import (
    FLOAT64_ROUNDING,
    MatvecRoutine,
    SymmetricOperator,
    VectorType,
    dimension,
    is_float64,
    is_verified,
    product_error,
    run_routine,
    vector_type,
)

# How a result can be verified: by products in float64.
Verify = Literal["float64"]

# Most vectors of a basis: a restart costs as much as three products with an LSTM.
MOST_VECTORS, MOST_VECTORS_OF_TOP = 96, 128

# Least products of a search from a random start. Where most eigenvalues are nearly
# zero, three or four steps give a pair of tiny residual that is not yet at the end.
MIN_COLD_MATVECS = 12


def extreme_eigenpairs(
    operator: SymmetricOperator,
    tol: float = 1e-2,
    *,
    max_matvecs: int = 200,
    max_basis: int | None = None,
    max_memory: int | None = None,
    warm_start: ExtremeEigenpairs | None = None,
    explore: int = 3,
    seed: int = 0,
    verify: Verify | None = None,
) -> ExtremeEigenpairs:
    """The smallest and the largest eigenvalue, from one Krylov space.

    An end has converged when its residual is within

        max( tol · max(|λ|, 1e-4 · ‖A‖),  rounding · ‖A‖ ),

    ‖A‖ being the larger |λ| of the two: relative to the eigenvalue, as ARPACK
    has it, so that its sign is known; but relative to 1e-4 ‖A‖ for an end that is
    all but zero, and never finer than products are exact.

    Args:
        operator: A. Its attribute ``relative_rounding``, if it has one, is the error of
            its products; else that of float64 is taken.
        tol: Relative residual at which an end is accepted.
        max_matvecs: Products at most, at least 3. Two are kept for the residuals.
        max_basis: Vectors kept at most, at least 8; None for 96, or as many as `max_memory` holds.
            They take 8 n bytes each, or 4 n where `relative_rounding` is float32's.
        max_memory: Bytes that the basis may take: the search restarts within them. None for
            1.5 GiB, or what 8 vectors take.
        warm_start: An earlier result, for a matrix near A. The space begins with
            its vectors and one fresh random vector, which finds what has come
            up beside them.
        explore: After a warm start, products beyond two
            that are made in any case. With 0, an old pair that still fits is taken
            unseen of all else.
        seed: Of the random vectors.
        verify: "float64": once the search is done, values and residuals are made anew by
            products in float64, with the same weights and data; see
            `stock_rnn.curvature.algorithms.float64_residuals`. They are not counted.

    Returns:
        What was reached, also when `max_matvecs` came first: then ``converged`` is
        False and the residuals tell how far it got.

    Raises:
        ValueError: An impossible option, a matrix that is empty or not square, or a
            warm start of another size.
        NonFiniteError: A product with a NaN or an infinity.
        PrecisionError: With `verify`, a model that cannot be computed in float64.
        TypeError: With `verify`, an operator that has no products in float64.
    """
    check_verify(verify)
    routine = extreme_routine(
        dimension(operator),
        tol,
        max_matvecs=max_matvecs,
        max_basis=max_basis,
        max_memory=max_memory,
        warm_start=warm_start,
        explore=explore,
        seed=seed,
        rounding=lambda norm: product_error(operator, norm),
        vector_type=vector_type(operator),
    )
    found = judged(run_routine(operator, routine), operator)
    return found if verify is None else verified_in_float64(found, operator, tol)


def check_verify(verify: Any) -> None:
    """Refuse anything but None and "float64".

    Raises:
        ValueError: it is something else.
    """
    if verify not in (None, "float64"):
        raise ValueError(f'verify must be "float64" or None. Received: {verify=}')


def judged(found: ExtremeEigenpairs, operator: SymmetricOperator) -> ExtremeEigenpairs:
    """The result of a routine, with what its operator says of the products."""
    return replace(found, verified=is_verified(operator), in_float64=is_float64(operator))


def verified_in_float64(
    found: ExtremeEigenpairs, operator: SymmetricOperator, tol: float
) -> ExtremeEigenpairs:
    """A result with values, residuals and rounding of products in float64.

    Args:
        found: of the operator, with its vectors.
        operator: A.
        tol: the search's, by which it is judged anew whether it has converged.

    Raises:
        TypeError, PrecisionError, NonFiniteError: as `extreme_eigenpairs`.
    """
    made = float64_residuals(operator, found.vectors)
    search_rounding = max(found.rounding, made.difference)
    explained = found.symmetric or found.asymmetry <= 2 * search_rounding
    goal = goal_of(made.quotients, made.quotients, tol, lambda _: found.rounding, 1.0)
    return replace(
        found,
        eigenvalues=made.quotients,
        residuals=made.residuals,
        rounding=made.rounding,
        symmetric=made.symmetric and explained,
        verified=made.verified,
        converged=found.converged and bool((made.residuals <= goal).all()),
        in_float64=True,
        search_rounding=search_rounding,
    )


def _float64_rounding(norm: float) -> float:
    return FLOAT64_ROUNDING * norm


def extreme_routine(
    n: int,
    tol: float = 1e-2,
    *,
    max_matvecs: int = 200,
    max_basis: int | None = None,
    max_memory: int | None = None,
    warm_start: ExtremeEigenpairs | None = None,
    explore: int = 3,
    seed: int = 0,
    rounding: Callable[[float], float] = _float64_rounding,
    vector_type: VectorType = np.float64,
) -> MatvecRoutine[ExtremeEigenpairs]:
    """`extreme_eigenpairs` as a routine, to be part of a longer one.

    Args:
        n: the size of A.
        rounding: ‖A‖ -> the error of a product with a unit vector.
        vector_type: of the basis: float32 only where `rounding` is that of float32.

    The other arguments are those of `extreme_eigenpairs`. The result calls itself
    verified and in float64, as the routine does not know the operator: see `judged`.
    """
    rng = np.random.default_rng(seed)
    start, least = [rng.standard_normal(n)], MIN_COLD_MATVECS
    if warm_start is not None:
        if warm_start.vectors.shape != (n, 2):
            raise ValueError(
                f"The warm start must have vectors of shape ({n}, 2). "
                f"Received: {warm_start.vectors.shape}"
            )
        old = [*warm_start.vectors.T]
        if warm_start.replaced_vector is not None:
            old.append(warm_start.replaced_vector)
        # The random vector last: what the old ones span need not be found again.
        start, least = [*old, *start], 2 + explore
    # Each starting vector is n numbers, and the basis has them. Nothing here keeps them, nor
    # the space, which `search` lets go.
    space = krylov_space(n, start, rng, max_basis, max_memory, MOST_VECTORS, vector_type)
    spaces, start = [space], []
    del space
    found = yield from search(spaces.pop(), "extremes", 2, tol, max_matvecs, rounding, least)
    alphas, betas = found.pop("first_steps")
    lanczos = LanczosRun(alphas, betas, n) if warm_start is None else None
    return ExtremeEigenpairs(**found, lanczos=lanczos)


def top_eigenpairs(
    operator: SymmetricOperator,
    k: int,
    which: Literal["largest", "smallest"] = "largest",
    tol: float = 1e-2,
    *,
    max_matvecs: int = 500,
    max_basis: int | None = None,
    max_memory: int | None = None,
    warm_start: Eigenpairs | None = None,
    explore: int = 10,
    seed: int = 0,
) -> Eigenpairs:
    """The k largest or the k smallest eigenvalues (by value, not by modulus).

    The space starts with k random vectors, so that an eigenvalue that is repeated
    up to k times is found as often. Tolerance and errors as in `extreme_eigenpairs`.
    After a warm start it starts with the old vectors and one random vector.

    Args:
        operator: A.
        k: How many, at most n.
        which: The end.
        tol: Relative residual at which a pair is accepted.
        max_matvecs: Products at most. k are kept for the residuals.
        max_basis: Vectors kept at most, if that is 4 k or more; None for 128, or as many
            as `max_memory` holds.
        max_memory: Bytes that the basis may take. None for 1.5 GiB, or what 4 k vectors take.
        warm_start: An earlier result, for a matrix near A, with its vectors.
        explore: After a warm start, products beyond one for each old vector that are
            made in any case; see `extreme_eigenpairs`. More than there: an eigenvalue
            that comes up from below the k-th is rarely so far out at first.
        seed: Of the random vectors.
    """
    n = dimension(operator)
    if which not in ("largest", "smallest"):
        raise ValueError(f"which must be 'largest' or 'smallest'. Received: {which=}")
    if not 1 <= k <= n:
        raise ValueError(f"k must be from 1 to {n}. Received: {k=}")
    rng = np.random.default_rng(seed)
    most = max(MOST_VECTORS_OF_TOP if max_basis is None else max_basis, 4 * k)
    if warm_start is None:
        start, least = list(rng.standard_normal((k, n))), MIN_COLD_MATVECS
    else:
        old = warm_start.vectors
        if old.ndim != 2 or len(old) != n or not old.shape[1]:
            raise ValueError(
                f"The warm start must have vectors of shape ({n}, k). Received: {old.shape}"
            )
        start, least = [*old.T, rng.standard_normal(n)], old.shape[1] + explore
    routine = search(
        krylov_space(
            n, start, rng, max_basis and most, max_memory, most, vector_type(operator), least=4 * k
        ),
        which,
        k,
        tol,
        max_matvecs,
        lambda norm: product_error(operator, norm),
        least,
    )
    found = run_routine(operator, routine)
    del found["first_steps"]  # Of several starting vectors: no Lanczos run of one.
    return Eigenpairs(**found, verified=is_verified(operator))
