"""The Krylov space of one or several vectors: an orthonormal basis, and the matrix in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.protocol import Array

# Entries of the basis that are worked on at a time: they stay in the cache, and BLAS
# leaves so few to one thread. Its threads would wait in a busy loop for their next
# call, while TensorFlow's make the next product on the same cores.
TILE = 32768
MIN_TILE_ROWS = 4  # a tile is never wider than with so many: BLAS has threads for long rows

# Breakdown tolerance: a smaller residual after orthogonalization counts as zero.
BREAKDOWN_TOLERANCE = 1e-14


@dataclass
class KrylovSpace:
    """An orthonormal basis Q, and the matrix A in the part of it that has been multiplied.

    The first `done` vectors have been multiplied; the others wait. With Q_d the
    former, A Q_d = Q H holds for the coefficients H (vectors × done) by
    construction. So T = Q_dᵀ A Q_d is H's upper square, and the residual of a Ritz
    pair (θ, Q_d s) is exactly Q_w H_w s, where w marks the rows of those that wait.
    """

    n: int
    start: Array
    rng: np.random.Generator
    max_basis: int
    done: int = 0
    size: int = 0
    asymmetry: float = 0.0  # the largest |Tᵢⱼ - Tⱼᵢ| seen
    _basis: Array = field(init=False)
    _h: Array = field(init=False)

    def __post_init__(self) -> None:
        # Only touched pages of it become memory.
        room = min(self.n, self.max_basis + len(self.start) + 1)
        self._basis = np.empty((room, self.n))
        self._h = np.zeros((room, room))
        for vector in self.start:
            self._append(vector, _norm(vector))

    @property
    def full(self) -> bool:
        """Whether the basis has come to its bound, short of the whole space."""
        return self.done >= self.max_basis and self.done < self.n

    def next_vector(self) -> Array:
        """The unit vector to be multiplied next; a random one if none waits."""
        while self.done == self.size:
            self._append(self.rng.standard_normal(self.n), float(np.sqrt(self.n)))
        return self._basis[self.done]

    def extend(self, product: Array) -> None:
        """Take in A times the next vector."""
        if not np.isfinite(product).all():
            raise NonFiniteError(f"Product number {self.done + 1} is not finite.")
        scale = max(_norm(product), float(np.abs(self._h).max()))
        coefficients = self._append(product, scale)
        self._h[: len(coefficients), self.done] = coefficients
        self.done += 1

    def ritz(self) -> tuple[Array, Array, Array]:
        """Ritz values (m,) ascending, their coordinates (m, m), their residual norms (m,)."""
        square = self._h[: self.done, : self.done]
        self.asymmetry = max(self.asymmetry, float(np.abs(square - square.T).max()))
        values, coordinates = np.linalg.eigh((square + square.T) / 2)
        waiting = self._h[self.done : self.size, : self.done]
        return values, coordinates, np.linalg.norm(waiting @ coordinates, axis=0)

    def combine(self, coordinates: Array) -> Array:
        """Vectors (n, k) of coordinates (m, k) in the multiplied part of the basis."""
        return self._basis[: self.done].T @ coordinates

    def restart(self, kept: list[int]) -> None:
        """Keep these Ritz vectors, and those that wait."""
        values, coordinates, _ = self.ritz()
        waiting = self._basis[self.done : self.size].copy()
        coupling = self._h[self.done : self.size, : self.done] @ coordinates[:, kept]
        self._basis[: len(kept)] = self.combine(coordinates[:, kept]).T
        self.done, self.size = len(kept), len(kept) + len(waiting)
        self._basis[self.done : self.size] = waiting
        self._h[:] = 0.0
        self._h[: self.done, : self.done] = np.diag(values[kept])
        self._h[self.done : self.size, : self.done] = coupling

    def _append(self, vector: Array, scale: float) -> Array:
        """Append the part of `vector` orthogonal to the basis; return its coefficients."""
        rest, coefficients = _orthogonalized(vector, self._basis[: self.size])
        length = _norm(rest)
        if self.size == self.n or length <= BREAKDOWN_TOLERANCE * scale:
            return coefficients
        self._basis[self.size] = rest / length
        self.size += 1
        return np.append(coefficients, length)


def _orthogonalized(vector: Array, basis: Array) -> tuple[Array, Array]:
    """The part of `vector` orthogonal to `basis` (rows), and its coefficients in the basis.

    Classical Gram-Schmidt, twice: enough for orthogonality to working precision
    (Giraud, Langou, Rozložník and van den Eshof 2005).
    """
    first, second = np.zeros(len(basis)), np.zeros(len(basis))
    rest = np.array(vector, np.float64)
    tiles = _tiles(len(rest), len(basis))
    for tile in tiles:
        first += basis[:, tile] @ rest[tile]
    for tile in tiles:  # both passes at once, while the tile is in the cache
        rest[tile] -= first @ basis[:, tile]
        second += basis[:, tile] @ rest[tile]
    for tile in tiles:
        rest[tile] -= second @ basis[:, tile]
    return rest, first + second


def _norm(vector: Array) -> float:
    return float(np.sqrt(sum(vector[tile] @ vector[tile] for tile in _tiles(len(vector), 1))))


def _tiles(n: int, rows: int) -> list[slice]:
    width = TILE // max(MIN_TILE_ROWS, rows)
    return [slice(k, k + width) for k in range(0, n, width)]
