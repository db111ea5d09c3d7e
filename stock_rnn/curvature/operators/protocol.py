"""Symmetric matrices that are known by their products only, and how to ask them.

Two things are accepted wherever an operator is asked for: anything real with `shape` and
`@` (a NumPy array, a sparse matrix or a `LinearOperator` of SciPy's), and the classes of this
folder, which derive from `Operator` and can be added, scaled and shifted.

An iterative algorithm is a `MatvecRoutine`: a generator that yields a vector, is sent
the matrix's product with it, and returns its result. A routine says nothing of how
products are made, so an operator may make them in one go: `HessianOperator` answers a
whole routine inside a single TensorFlow call, where every product shares one forward
and one backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Result = TypeVar("Result")

# Of a vector's entries: `np.float32` or `np.float64` itself.
VectorType = type[np.float32] | type[np.float64]

# Yields v of shape (n,) or (n, k), is sent A @ v of the same shape, returns a result.
MatvecRoutine = Generator[Array, Array, Result]

# Error of a product in float64, relative to ‖A‖ ‖v‖.
FLOAT64_ROUNDING = 8 * float(np.finfo(np.float64).eps)


# The most that is left of it where a result is called computed in float64.
MOST_FLOAT64_ROUNDING = 1e-13


class SymmetricOperator(Protocol):
    """A symmetric n × n matrix A that can be multiplied with vectors."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""

    def __matmul__(self, vectors: Array, /) -> Array:
        """A @ v for float64 v of shape (n,) or (n, k); the same shape."""


class LossOperator(SymmetricOperator, Protocol):
    """The Hessian of a loss at a point θ, with the loss itself around that point."""

    def loss(self) -> float:
        """L(θ)."""

    def gradient(self) -> Array:
        """∂L/∂θ: float64 (n,)."""

    def loss_at(self, displacement: Array, /) -> float:
        """L(θ + displacement) for float64 (n,); θ itself is left alone."""


def run_routine(operator: SymmetricOperator, routine: MatvecRoutine[Result]) -> Result:
    """Answer every product that the routine asks for, in the operator's own way if it has one."""
    own = getattr(operator, "run_routine", None)
    return answer_routine(operator.__matmul__, routine) if own is None else own(routine)


def answer_routine(product: Callable[[Array], Array], routine: MatvecRoutine[Result]) -> Result:
    """Run the routine to its end with one call of `product` (v -> A v) a question."""
    try:
        vectors = next(routine)
        while True:
            vectors = routine.send(product(vectors))
    except StopIteration as stop:
        return stop.value


def adapt_routine(
    routine: MatvecRoutine[Result], answer: Callable[[Array], MatvecRoutine[Array]]
) -> MatvecRoutine[Result]:
    """A routine on A made a routine on B, for an A whose products need products with B.

    Args:
        routine: asks for products with A.
        answer: v -> a routine on B that returns A v.
    """
    try:
        vectors = next(routine)
        while True:
            vectors = routine.send((yield from answer(vectors)))
    except StopIteration as stop:
        return stop.value


def column_by_column(vectors: Array) -> MatvecRoutine[Array]:
    """The products with (n,) or (n, k), asked for one vector (n,) at a time."""
    if vectors.ndim == 1:
        return (yield vectors)
    products = np.empty_like(vectors, np.float64)
    for k, column in enumerate(vectors.T):
        products[:, k] = yield column
    return products


def dimension(operator: SymmetricOperator) -> int:
    """n of an n × n matrix.

    Raises:
        ValueError: The matrix is not square, empty or complex, or a `numpy.matrix`, whose
            products with vectors are no vectors.
    """
    if isinstance(operator, np.matrix):
        raise ValueError("The operator must be an array. Received: numpy.matrix; use np.asarray(A)")
    if getattr(getattr(operator, "dtype", None), "kind", None) == "c":
        raise ValueError(
            "The operator must be real. Received: a complex one; the Hermitian A + iB has the "
            "eigenvalues of [[A, -B], [B, A]], each twice"
        )
    shape = tuple(operator.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(
            f"The operator must be a square matrix with at least one row. Received: shape={shape}"
        )
    return int(shape[0])


def loss_operator(operator: SymmetricOperator) -> LossOperator:
    """The operator, if it knows the loss and its gradient.

    Raises:
        TypeError: It does not.
    """
    if not _knows_loss(operator):
        raise TypeError(
            "The loss and its gradient need an operator that knows them. "
            f"Received: {type(operator).__name__}"
        )
    return operator


def _knows_loss(operator: SymmetricOperator) -> TypeGuard[LossOperator]:
    return hasattr(operator, "loss_at")


def relative_rounding(operator: SymmetricOperator) -> float:
    """‖error of A v‖ / (‖A‖ ‖v‖): what the operator says of it, or float64's.

    Of a `LinearOperator` of SciPy's that of its dtype: arrays and sparse matrices of narrower
    types are multiplied in float64.
    """
    own = getattr(operator, "relative_rounding", None)
    if own is not None:
        return float(own)
    dtype = getattr(operator, "dtype", None)
    if hasattr(operator, "matvec") and isinstance(dtype, np.dtype) and dtype.kind == "f":
        return max(FLOAT64_ROUNDING, 8 * float(np.finfo(dtype).eps))
    return FLOAT64_ROUNDING


def is_float64(operator: SymmetricOperator) -> bool:
    """Whether the products are made in float64: their error is 1e-13 of ‖A‖ at most."""
    return relative_rounding(operator) <= MOST_FLOAT64_ROUNDING


def float64_operator(operator: SymmetricOperator) -> SymmetricOperator:
    """The same matrix with products in float64; the operator itself, if these are.

    Raises:
        TypeError: an operator of less exact products that knows no better ones.
        PrecisionError: a model that cannot be computed in float64 throughout.
    """
    own: Callable[[], SymmetricOperator] | None = getattr(operator, "in_float64", None)
    if own is not None:
        return own()
    if not is_float64(operator):
        raise TypeError(
            'verify="float64" needs an operator whose products can be made in float64: one of a '
            "Keras model's loss, its blocks, or sums of them. "
            f"Received: {type(operator).__name__}"
        )
    return operator


def all_finite(vector: NDArray[np.floating]) -> bool:
    """Whether every entry is; as fast as a sum, where all are."""
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum that is finite has finite terms only.
        return bool(np.isfinite(vector.sum()) or np.isfinite(vector).all())


def vector_type(operator: SymmetricOperator) -> VectorType:
    """The type in which vectors are kept: float32 where products are no more exact than that."""
    least = 8 * float(np.finfo(np.float32).eps)
    return np.float32 if relative_rounding(operator) >= least else np.float64


def product_error(operator: SymmetricOperator, norm: float) -> float:
    """Error of a product with a unit vector, as a norm, where ‖A‖ is about `norm`."""
    own = getattr(operator, "product_error", None)
    return relative_rounding(operator) * norm if own is None else float(own(norm))


def is_verified(operator: SymmetricOperator) -> bool:
    """Whether nothing is left unchecked about the operator's products; see `Operator`."""
    return bool(getattr(operator, "verified", True))
