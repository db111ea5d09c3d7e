"""The Krylov space of one or several vectors: an orthonormal basis, and the matrix in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np

from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.protocol import Array, VectorType, all_finite

# Entries of the basis that are worked on at a time: they stay in the cache, and BLAS
# leaves so few to one thread. Its threads would wait in a busy loop for their next
# call, while TensorFlow's make the next product on the same cores.
TILE = 32768
MIN_TILE_ROWS = 4  # a tile is never wider than with so many: BLAS has threads for long rows

# Breakdown tolerance: a smaller residual after orthogonalization counts as zero.
BREAKDOWN_TOLERANCE = 1e-14

# A pass of Gram-Schmidt that leaves less than this share of a vector is made again
# (Daniel, Gragg, Kaufman and Stewart 1976).
LEAST_SHARE = 0.5**0.5


@dataclass
class KrylovSpace:
    """An orthonormal basis Q, and the matrix A in the part of it that has been multiplied.

    The first `done` vectors have been multiplied; the others wait. With Q_d the
    former, A Q_d = Q H holds for the coefficients H (vectors × done) by
    construction. So T = Q_dᵀ A Q_d is H's upper square, and the residual of a Ritz
    pair (θ, Q_d s) is exactly Q_w H_w s, where w marks the rows of those that wait.

    Attributes:
        vector_type: of the basis's entries; sums over them are float64. With float32,
            the basis is orthonormal, and A Q_d = Q H holds, to the rounding of float32.
    """

    n: int
    start: InitVar[Sequence[Array]]
    rng: np.random.Generator
    max_basis: int
    vector_type: VectorType = np.float64
    done: int = 0
    size: int = 0
    asymmetry: float = 0.0  # the largest |Tᵢⱼ - Tⱼᵢ| seen
    _basis: Any = field(init=False)  # of `vector_type`
    _h: Array = field(init=False)

    def __post_init__(self, start: Sequence[Array]) -> None:
        # Only touched pages of it become memory.
        room = min(self.n, self.max_basis + len(start) + 1)
        self._basis = np.empty((room, self.n), self.vector_type)
        self._h = np.zeros((room, room))
        for vector in start:
            self._append(np.array(vector, np.float64), _norm(vector))

    @property
    def full(self) -> bool:
        """Whether the basis has come to its bound, short of the whole space."""
        return self.done >= self.max_basis and self.done < self.n

    def next_vector(self) -> Array:
        """The unit vector to be multiplied next; a random one if none waits."""
        while self.done == self.size:
            self._append(self.rng.standard_normal(self.n), float(np.sqrt(self.n)))
        return np.asarray(self._basis[self.done], np.float64)

    def extend(self, product: Array) -> None:
        """Take in A times the next vector, float64 (n,), which is overwritten."""
        if not all_finite(product):
            raise NonFiniteError(f"Product number {self.done + 1} is not finite.")
        scale = max(_norm(product), float(np.abs(self._h).max()))
        known = self._subtract_known(product)
        coefficients = self._append(product, scale)
        coefficients[: len(known)] += known
        self._h[: len(coefficients), self.done] = coefficients
        self.done += 1

    def ritz(self) -> tuple[Array, Array, Array]:
        """Ritz values (m,) ascending, their coordinates (m, m), their residual norms (m,)."""
        square = self._h[: self.done, : self.done]
        self.asymmetry = max(self.asymmetry, float(np.abs(square - square.T).max()))
        values, coordinates = np.linalg.eigh((square + square.T) / 2)
        waiting = self._h[self.done : self.size, : self.done]
        return values, coordinates, np.linalg.norm(waiting @ coordinates, axis=0)

    def tridiagonal(self) -> tuple[Array, Array]:
        """T's diagonal (m,) and the entries below it, with the one below T: (m,).

        Of a space of one starting vector that was not restarted. Where a residual counted
        as zero, T ends there, and its last entry below is the largest such residual.
        """
        alphas = np.diagonal(self._h)[: self.done]
        betas = np.append(np.diagonal(self._h, -1), 0.0)[: self.done]
        zero = BREAKDOWN_TOLERANCE * float(np.abs(self._h).max()) or np.finfo(np.float64).tiny
        (ends,) = np.nonzero(betas <= zero)
        steps = int(ends[0]) + 1 if len(ends) else self.done
        return alphas[:steps].copy(), np.maximum(betas[:steps], zero)

    def combine(self, coordinates: Array) -> Array:
        """Vectors (n, k), float64, of coordinates (m, k) in the multiplied part of the basis."""
        vectors = np.empty((coordinates.shape[1], self.n))
        for tile in _tiles(self.n, self.done):
            vectors[:, tile] = coordinates.T @ self._basis[: self.done, tile].astype(np.float64)
        return vectors.T

    def restart(self, kept: list[int]) -> None:
        """Keep these Ritz vectors, and those that wait."""
        values, coordinates, _ = self.ritz()
        waiting = self._basis[self.done : self.size].copy()
        coupling = self._h[self.done : self.size, : self.done] @ coordinates[:, kept]
        for tile in _tiles(self.n, self.done):
            old = self._basis[: self.done, tile].astype(np.float64)
            self._basis[: len(kept), tile] = coordinates[:, kept].T @ old
        self.done, self.size = len(kept), len(kept) + len(waiting)
        self._basis[self.done : self.size] = waiting
        self._h[:] = 0.0
        self._h[: self.done, : self.done] = np.diag(values[kept])
        self._h[self.done : self.size, : self.done] = coupling

    def _subtract_known(self, rest: Array) -> Array:
        """Take from A qⱼ, in place, what A's symmetry tells of it; return the coefficients.

        For i < j, qᵢᵀA qⱼ = qⱼᵀA qᵢ, which is in H: not zero only for the few i since qⱼ
        was appended. What is left has parts in the whole basis if A is not symmetric, or
        by rounding, which `_append` finds.
        """
        known = np.zeros(self.size)
        known[: self.done] = self._h[self.done, : self.done]
        rows = [*np.flatnonzero(known), *range(self.done, self.size)]
        tiles = _tiles(self.n, len(rows))
        for tile in tiles:
            waiting = self._basis[self.done : self.size, tile]
            known[self.done :] += waiting.astype(np.float64) @ rest[tile]
        for tile in tiles:
            rest[tile] -= known[rows] @ self._basis[rows, tile].astype(np.float64)
        return known

    def _append(self, rest: Array, scale: float) -> Array:
        """Append the part of `rest` orthogonal to the basis; return its coefficients.

        Where that part is no more than rounding at `scale`, nothing is appended.
        """
        basis = self._basis[: self.size]
        coefficients = np.zeros(self.size)
        length, share = _norm(rest), 0.0
        while share < LEAST_SHARE and length > BREAKDOWN_TOLERANCE * scale:
            coefficients += _orthogonalize(rest, basis)
            before, length = length, _norm(rest)
            share = length / before
        if self.size == self.n or length <= BREAKDOWN_TOLERANCE * scale:
            return coefficients
        np.divide(rest, length, out=self._basis[self.size], casting="same_kind")
        self.size += 1
        return np.append(coefficients, length)


def _orthogonalize(vector: Array, basis: Any) -> Array:
    """Take from `vector`, in place, its part in `basis` (rows); return the coefficients.

    One pass of classical Gram-Schmidt, products of entries in the basis's own type.
    """
    coefficients = np.zeros(len(basis))
    tiles = _tiles(len(vector), len(basis))
    for tile in tiles:
        coefficients += basis[:, tile] @ vector[tile].astype(basis.dtype, copy=False)
    factors = coefficients.astype(basis.dtype, copy=False)
    for tile in tiles:
        vector[tile] -= factors @ basis[:, tile]
    return coefficients


def _norm(vector: Array) -> float:
    return float(np.sqrt(sum(vector[tile] @ vector[tile] for tile in _tiles(len(vector), 1))))


def _tiles(n: int, rows: int) -> list[slice]:
    width = TILE // max(MIN_TILE_ROWS, rows)
    return [slice(k, k + width) for k in range(0, n, width)]
