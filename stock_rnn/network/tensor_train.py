"""Matrices in tensor-train form.

A matrix W of M x N, with M = m₁m₂m₃ and N = n₁n₂n₃, is a tensor of three indices: the k-th is
the pair (i_k, j_k) of digits of the row and of the column, the first digit being the most
significant one. Its tensor train is

    W[i, j] = Σ G₁[1, i₁, j₁, α₁] · G₂[α₁, i₂, j₂, α₂] · G₃[α₂, i₃, j₃, 1],

a core G_k of shape (r_{k-1}, m_k, n_k, r_k), with r₀ = r₃ = 1. A bond k has its full rank
min(Π_{l<=k} m_l·n_l, Π_{l>k} m_l·n_l): with all of them every matrix has this form.

Sources: the report's section 4.3.4, whose A are these G with one index for each pair; Oseledets,
"Tensor-Train Decomposition", SIAM J. Sci. Comput. 33, 2011; Novikov, Podoprikhin, Osokin, Vetrov,
"Tensorizing Neural Networks", NeurIPS 2015, section 3.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Cores of a train.
CORES = 3


@functools.cache
def modes_of(size: int) -> tuple[int, ...]:
    """Three factors of a size, as near to each other as they can be, the smallest first.

    That is, those of the smallest sum. A prime has itself and ones.

    >>> modes_of(128), modes_of(7)
    ((4, 4, 8), (1, 1, 7))
    """
    divisors = [d for d in range(1, math.isqrt(size) + 1) if size % d == 0]
    divisors += [size // d for d in divisors]
    pairs = ((a, b) for a in divisors for b in divisors if a <= b and size % (a * b) == 0)
    triples = ((a, b, size // (a * b)) for a, b in pairs if a * b * b <= size)
    return min(triples, key=lambda modes: (sum(modes), modes))


def full_ranks(rows: Sequence[int], columns: Sequence[int]) -> tuple[int, ...]:
    """The full rank of each bond.

    Args:
        rows, columns: m_k and n_k.
    """
    sizes = [m * n for m, n in zip(rows, columns, strict=True)]
    return tuple(min(math.prod(sizes[:k]), math.prod(sizes[k:])) for k in range(1, len(sizes)))


def core_shapes(
    rows: Sequence[int], columns: Sequence[int], rank: int
) -> list[tuple[int, int, int, int]]:
    """The shape (r_{k-1}, m_k, n_k, r_k) of each core.

    Args:
        rows, columns: m_k and n_k.
        rank: of all bonds; a bond has its full rank if that is lower.
    """
    ranks = [1, *(min(rank, full) for full in full_ranks(rows, columns)), 1]
    return list(zip(ranks[:-1], rows, columns, ranks[1:], strict=True))


def tt_svd(
    matrix: ArrayLike, rows: Sequence[int], columns: Sequence[int], rank: int
) -> list[Array]:
    """The tensor train of a matrix, by singular value decompositions from left to right.

    Args:
        matrix: (M, N), real.
        rows, columns: m_k and n_k.
        rank: as of `core_shapes`. At full rank the train is the matrix to rounding. Else the
            Frobenius norm of the error is at most √(Σ_k ε_k²), with ε_k that of cutting the
            k-th unfolding of W to its rank; it is at most √(d - 1) times the smallest possible.

    Returns:
        The cores, float64.

    Source: Oseledets 2011, algorithm 1 and theorem 2.2.
    """
    shapes = core_shapes(rows, columns, rank)
    d = len(shapes)
    digits = np.asarray(matrix, np.float64).reshape(*rows, *columns)
    # From i₁i₂i₃ j₁j₂j₃ to i₁j₁ i₂j₂ i₃j₃.
    rest = digits.transpose([axis for k in range(d) for axis in (k, d + k)])
    cores = []
    for r_left, m, n, r_right in shapes[:-1]:
        left, values, right = np.linalg.svd(rest.reshape(r_left * m * n, -1), full_matrices=False)
        cores.append(left[:, :r_right].reshape(r_left, m, n, r_right))
        rest = values[:r_right, None] * right[:r_right]
    return [*cores, rest.reshape(shapes[-1])]


def tt_matrix(cores: Sequence[ArrayLike]) -> Array:
    """The matrix (M, N) of a tensor train, float64."""
    arrays = [np.asarray(core, np.float64) for core in cores]
    whole = arrays[0][0]
    for core in arrays[1:]:
        # (M', N', r) by (r, m, n, r') -> (M'·m, N'·n, r')
        joined = np.einsum("IJa,aijb->IiJjb", whole, core)
        rows, m, columns, n, rank = joined.shape
        whole = joined.reshape(rows * m, columns * n, rank)
    return np.asarray(whole[:, :, 0])


def tt_product(x: Any, cores: Sequence[Any]) -> Any:
    """x·W by the cores of W, without W.

    Args:
        x: a tensor (batch, M).
        cores: tensors of the train of W, of the dtype of x.

    Returns:
        A tensor (batch, N).
    """
    rest = math.prod(core.shape[1] for core in cores)
    columns = math.prod(core.shape[2] for core in cores)
    z, n_before = x, 1
    for core in cores:
        r_left, m, n, r_right = core.shape
        rest //= m
        # (batch·j₁..j_{k-2}, i_k, i_{k+1}.., j_{k-1}, α): the sum is over α and i_k.
        z = ops.reshape(z, (-1, m, rest, n_before, r_left))
        z = ops.reshape(ops.transpose(z, (0, 3, 2, 4, 1)), (-1, r_left * m))
        z = z @ ops.reshape(core, (r_left * m, n * r_right))
        n_before = n
    return ops.reshape(z, (-1, columns))
