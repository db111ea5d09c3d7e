"""The base class of all operators, and their sums, multiples and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stock_rnn.curvature.operators.protocol import (
    FLOAT64_ROUNDING,
    Array,
    MatvecRoutine,
    Result,
    SymmetricOperator,
    adapt_routine,
    answer_routine,
    dimension,
    float64_operator,
    is_verified,
    product_error,
    relative_rounding,
    run_routine,
)


class Operator:
    """Base class: a symmetric matrix with sum, scale and shift.

    A + B, A - B, 2 * A, -A and A.shifted(σ) = A + σI are operators again, where B is
    an operator or a plain matrix. A subclass defines `shape` and `__matmul__`, and
    `relative_rounding` and `verified` where they differ, each as a property or an attribute of
    the class. SciPy's iterative routines take an operator as it is:
    `scipy.sparse.linalg.eigsh(A)`.

    Attributes:
        shape: (n, n).
        dtype: float64, that of the products.
    """

    # NumPy leaves `matrix + operator` to the operator.
    __array_ufunc__ = None

    shape: tuple[int, int]
    dtype: np.dtype[np.float64] = np.dtype(np.float64)

    @property
    def relative_rounding(self) -> float:
        """‖error of A v‖ / (‖A‖ ‖v‖); that of float64."""
        return FLOAT64_ROUNDING

    @property
    def verified(self) -> bool:
        """Whether the products were compared with differences of the gradient.

        A matrix that is given, and not differentiated, needs no such check.
        """
        return True

    def __matmul__(self, vectors: Array, /) -> Array:
        """A @ v for float64 v of shape (n,) or (n, k); the same shape."""
        raise NotImplementedError

    def matvec(self, vector: Array) -> Array:
        """A @ v for v of shape (n,) or (n, 1): float64 (n,). What SciPy calls."""
        return self @ np.ravel(vector)

    # A is symmetric.
    rmatvec = matvec

    def run_routine(self, routine: MatvecRoutine[Result]) -> Result:
        """Answer every product that the routine asks for, and return its result."""
        return answer_routine(self.__matmul__, routine)

    def product_error(self, norm: float) -> float:
        """Error of a product with a unit vector, as a norm, where ‖A‖ is about `norm`."""
        return self.relative_rounding * norm

    def shifted(self, shift: float) -> Operator:
        """A + shift · I."""
        return LinearCombination([(1.0, self)], shift)

    def __add__(self, other: SymmetricOperator) -> Operator:
        return LinearCombination([(1.0, self), (1.0, other)])

    __radd__ = __add__

    def __sub__(self, other: SymmetricOperator) -> Operator:
        return LinearCombination([(1.0, self), (-1.0, other)])

    def __mul__(self, factor: float) -> Operator:
        return LinearCombination([(float(factor), self)])

    __rmul__ = __mul__

    def __neg__(self) -> Operator:
        return self * -1.0

    def to_scipy(self) -> Any:
        """This matrix as a `scipy.sparse.linalg.LinearOperator` of float64."""
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(
            self.shape,
            matvec=self.matvec,
            rmatvec=self.rmatvec,
            matmat=self.__matmul__,
            dtype=self.dtype,
        )


class LinearCombination(Operator):
    """Σ cᵢ Aᵢ + σ I, for symmetric Aᵢ of one size.

    Args:
        terms: The pairs (cᵢ, Aᵢ), at least one.
        shift: σ.

    Raises:
        ValueError: Matrices of different sizes, or a number that is not finite.

    Example:

    >>> a = LinearCombination([(2.0, np.eye(2)), (1.0, np.ones((2, 2)))], shift=-1.0)
    >>> a @ np.eye(2)
    array([[2., 1.],
           [1., 2.]])
    """

    def __init__(
        self, terms: Sequence[tuple[float, SymmetricOperator]], shift: float = 0.0
    ) -> None:
        sizes = {dimension(operator) for _, operator in terms}
        if len(sizes) != 1:
            raise ValueError(f"The operators must be of one size. Received: sizes {sorted(sizes)}")
        if not np.isfinite([shift, *(factor for factor, _ in terms)]).all():
            raise ValueError(
                f"Factors and shift must be finite. Received: {[c for c, _ in terms]}, {shift=}"
            )
        self.terms = tuple(terms)
        self.shift = float(shift)
        self.shape = (n := sizes.pop(), n)
        self._relative_rounding = max(relative_rounding(operator) for _, operator in terms)
        # The largest ‖Aᵢ v‖ / ‖v‖ so far: from below, close to ‖Aᵢ‖ once a search has run.
        self._norms = np.zeros(len(self.terms))

    @property
    def relative_rounding(self) -> float:
        """The largest of the terms'."""
        return self._relative_rounding

    @property
    def verified(self) -> bool:
        """Whether all the terms are."""
        return all(is_verified(operator) for _, operator in self.terms)

    def __matmul__(self, vectors: Array, /) -> Array:
        """Σ cᵢ Aᵢ v + σ v: float64, (n,) or (n, k)."""
        return self._sum(vectors, [operator @ vectors for _, operator in self.terms])

    def run_routine(self, routine: MatvecRoutine[Result]) -> Result:
        """Answer a routine; on a single term in that operator's own way."""
        if len(self.terms) > 1:
            return super().run_routine(routine)

        def answer(vectors: Array) -> MatvecRoutine[Array]:
            return self._sum(vectors, [(yield vectors)])

        return run_routine(self.terms[0][1], adapt_routine(routine, answer))

    def in_float64(self) -> LinearCombination:
        """The same sum of terms computed in float64; see `float64_operator` for the errors."""
        terms = [(factor, float64_operator(operator)) for factor, operator in self.terms]
        return LinearCombination(terms, self.shift)

    def product_error(self, norm: float) -> float:
        """Σ |cᵢ| times the error of Aᵢ: where terms cancel, more than the sum's norm tells."""
        own = sum(
            abs(factor) * product_error(operator, float(seen))
            for (factor, operator), seen in zip(self.terms, self._norms, strict=True)
        )
        return max(own, super().product_error(norm))

    def _sum(self, vectors: Array, products: Sequence[Array]) -> Array:
        lengths = np.linalg.norm(vectors, axis=0)
        total = self.shift * vectors
        for k, ((factor, _), product) in enumerate(zip(self.terms, products, strict=True)):
            total = total + factor * product
            stretch = np.linalg.norm(product, axis=0) / np.where(lengths > 0, lengths, np.inf)
            self._norms[k] = max(self._norms[k], float(np.max(stretch, initial=0.0)))
        return np.asarray(total)
