"""Lanczos's method from given vectors, and the Gauss quadrature that comes of it.

Sources: Golub, Welsch, "Calculation of Gauss Quadrature Rules", Math. Comp. 1969;
Golub, Meurant, "Matrices, Moments and Quadrature with Applications", 2010.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.protocol import (
    Array,
    MatvecRoutine,
    SymmetricOperator,
    dimension,
    run_routine,
)


@dataclass(frozen=True)
class Tridiagonal:
    """T = QᵀAQ of a Lanczos run from v, and the spectral measure of v that T stands for.

    The measure is μ = Σ (uᵢᵀv)² δ(t - λᵢ) over the eigenpairs of A, for ‖v‖ = 1.
    """

    alphas: Array  # (m,): the diagonal
    betas: Array  # (m - 1,): beside the diagonal
    exhausted: bool  # the Krylov space is invariant: the nodes are eigenvalues of A
    asymmetry: float = 0.0  # max |qᵢᵀA qⱼ - Tᵢⱼ|: what a symmetric A has not
    length: int = 0  # n, of which the inner products are

    def quadrature(self) -> tuple[Array, Array]:
        """Gauss nodes (m,), ascending, and weights (m,), of sum 1.

        ∫ f dμ = Σ wⱼ f(θⱼ) exactly for polynomials f up to degree 2m - 1.
        """
        return _nodes_and_weights(self.alphas, self.betas)

    def is_symmetric(self, rounding: float) -> bool:
        """Whether the asymmetry is within the rounding of products and inner products.

        Args:
            rounding: the error of a product with a unit vector, as a norm.
        """
        summation = math.sqrt(self.length) * float(np.finfo(np.float64).eps) * self._scale(0.0)
        return self.asymmetry <= 2 * rounding + summation

    def share_below(self, cutoff: float) -> tuple[float, float]:
        """Bounds on μ((-∞, cutoff)), which hold whatever the rest of the spectrum is.

        The Gauss-Radau rule with a node at the cutoff integrates the same
        polynomials up to degree 2m - 2 as μ, and by the Chebyshev-Markov-Stieltjes
        inequalities μ lies between its weights strictly below and those up to the
        cutoff. The gap is the weight at the cutoff; it closes exponentially in m
        where the cutoff lies in a gap of the spectrum, like 1/m within a band.

        Sources: Golub, "Some Modified Matrix Eigenvalue Problems", SIAM Review
        1973 (the rule); Akhiezer, "The Classical Moment Problem", 1965, chapter 2
        (the inequalities).

        Returns:
            (lower, upper), equal if the Krylov space is exhausted and no eigenvalue
            lies on the cutoff.
        """
        if self.exhausted:
            nodes, weights = self.quadrature()
        else:
            nodes, weights = _nodes_and_weights(self._radau_diagonal(cutoff), self.betas)
        # Rounding decides on which side a node this close lies: near a converged
        # eigenvalue the rule's own node is determined to the root of it only.
        near = 4.0 * math.sqrt(np.finfo(np.float64).eps) * self._scale(cutoff)
        lower = float(weights[nodes < cutoff - near].sum())
        return lower, min(float(weights[nodes <= cutoff + near].sum()), 1.0)

    def _scale(self, node: float) -> float:
        sizes = np.abs(self.alphas).max(), np.abs(self.betas).max(initial=0.0), abs(node)
        return float(max(*sizes, np.finfo(np.float64).tiny))

    def _radau_diagonal(self, node: float) -> Array:
        """The diagonal with its last entry changed so that `node` is an eigenvalue."""
        tiny = np.finfo(np.float64).eps * self._scale(node)
        correction = 0.0
        # Pivots of T - node·I without its last row: the last one is what is needed.
        for alpha, beta in zip(self.alphas[:-1], self.betas, strict=True):
            pivot = alpha - node - correction
            correction = beta**2 / (pivot if abs(pivot) > tiny else math.copysign(tiny, pivot))
        return np.append(self.alphas[:-1], node + correction)


def _nodes_and_weights(alphas: Array, betas: Array) -> tuple[Array, Array]:
    nodes, vectors = eigh_tridiagonal(alphas, betas)
    return nodes, vectors[0] ** 2


def lanczos_tridiagonal(
    op: SymmetricOperator, starts: Array, *, steps: int, kept: int | None = None
) -> tuple[Tridiagonal, ...]:
    """Lanczos runs from several vectors side by side.

    The runs do not mix; they ask for their products (n, k) at once, which for a
    Hessian is cheaper than k products one by one. Two passes of Gram-Schmidt
    in float64 (Giraud, Langou, Rozložník 2005: twice is enough).

    Where only the latest vectors of a basis are kept, it loses its orthogonality once an
    eigenvalue has converged. T then has copies of that eigenvalue, whose weights add up
    to its own: the measure that T stands for is that of v up to rounding, with clusters in
    place of eigenvalues (Greenbaum 1989; Knizhnerman 1996; Chen, Trogdon, Ubaru 2021). But
    it takes more steps, is not `exhausted`, and is compared with a symmetric one
    by its latest vectors only.

    Args:
        op: symmetric, (n, n).
        starts: (n,) or (n, k), nonzero columns; normalized here.
        steps: of each run; at most n are made, and a run ends early where its
            Krylov space is exhausted. Memory: 8·n·k·(kept + 4) bytes.
        kept: how many vectors of each basis are kept, from 2; None for all.

    Returns:
        k tridiagonal matrices.

    Raises:
        ValueError: if the shapes disagree, steps < 1, kept < 2, or a start is zero.
        NonFiniteError: if a product is not finite.
    """
    n = dimension(op)
    columns = starts.reshape(n, -1) if starts.ndim == 1 and starts.size == n else starts
    if columns.ndim != 2 or columns.shape[0] != n:
        raise ValueError(f"starts must be ({n},) or ({n}, k). Received: shape={starts.shape}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1. Received: steps={steps}")
    if kept is not None and kept < 2:
        raise ValueError(f"kept must be at least 2. Received: kept={kept}")
    norms = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(norms) & (norms > 0.0)):
        raise ValueError(f"starts must be finite and not zero. Received: norms={norms}")

    steps = min(steps, n)
    return run_routine(op, _lanczos((columns / norms).T, steps, min(kept or steps, steps)))


def _lanczos(q: Array, steps: int, kept: int) -> MatvecRoutine[tuple[Tridiagonal, ...]]:
    """The runs from the unit rows of q (k, n), asking for all k products at once."""
    k, n = q.shape
    basis = np.empty((k, kept, n))  # vector j in row j % kept
    alphas, betas = np.zeros((k, steps)), np.zeros((k, steps))
    lengths = np.full(k, steps)
    exhausted = np.full(k, steps == n == kept)
    asymmetry, scale, unit = np.zeros(k), np.zeros(k), 0.0
    for j in range(steps):
        here, before = j % kept, (j - 1) % kept
        basis[:, here] = q
        products = yield np.ascontiguousarray(q.T)
        if not np.isfinite(products).all():
            raise NonFiniteError(f"The operator's product is not finite (Lanczos step {j + 1}).")
        # In units of the first products, so that no square leaves the range of float64.
        unit = unit or power_of_two(products)
        w = np.array(products.T, dtype=np.float64) / (unit or 1.0)
        known = basis[:, : min(j + 1, kept)]
        for first in (True, False):
            coefficients = np.matmul(known, w[:, :, None])
            if first:
                # Column j of QᵀAQ: alpha, the last beta above it, and zeros.
                column = coefficients[:, :, 0].copy()
                alphas[:, j] = column[:, here]
                column[:, here] = 0.0
                if j:
                    column[:, before] -= betas[:, j - 1]
                asymmetry = np.maximum(asymmetry, np.abs(column).max(axis=1))
            w -= np.matmul(coefficients.transpose(0, 2, 1), known)[:, 0]
        betas[:, j] = np.linalg.norm(w, axis=1)
        scale = np.maximum(scale, np.maximum(np.abs(alphas[:, j]), betas[:, j]))
        # What two passes leave of a vector in the span of the basis is rounding.
        ended = betas[:, j] <= 10.0 * np.finfo(np.float64).eps * math.sqrt(n) * scale
        newly = ended & (lengths == steps)
        lengths[newly], exhausted[newly] = j + 1, True
        if ended.all():
            break
        q = np.where(ended[:, None], 0.0, w / np.where(ended, 1.0, betas[:, j])[:, None])
    unit = unit or 1.0
    return tuple(
        Tridiagonal(
            alphas=unit * alphas[i, :m],
            betas=unit * betas[i, : m - 1],
            exhausted=bool(exhausted[i]),
            asymmetry=unit * float(asymmetry[i]),
            length=n,
        )
        for i, m in enumerate(lengths)
    )


def power_of_two(vectors: Array) -> float:
    """The power of two at the largest entry, so that dividing by it is exact; 0 for zeros."""
    largest = float(np.abs(vectors).max())
    return float(2.0 ** np.floor(np.log2(largest))) if 0 < largest < np.inf else 0.0
