"""Symmetric matrices that are known by their products only, and how to ask them.

An iterative method is a generator here: it yields a vector, is sent the product,
and returns its result. So it says nothing of how products are made, and the one
that owns the matrix is free to make them all in one go: `HessianOperator` answers
a whole method inside a single TensorFlow call, where every product shares one
forward and one backward pass.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Result = TypeVar("Result")

# Yields v of shape (n,) or (n, k), is sent A @ v of the same shape, returns a result.
Method = Generator[Array, Array, Result]


class NonFiniteError(FloatingPointError):
    """The loss, its gradient or a product is infinite or not a number."""


class SymmetricOperator(Protocol):
    """A symmetric n × n matrix A that can be multiplied with vectors."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""

    def __matmul__(self, vectors: Array, /) -> Array:
        """A @ v for float64 v of shape (n,) or (n, k); the same shape."""


@runtime_checkable
class RunsMethods(Protocol):
    """An operator that has a cheaper way to answer a whole method."""

    def run(self, method: Method[Result], /) -> Result:
        """Answer every product that `method` asks for and return its result."""


def run(operator: SymmetricOperator, method: Method[Result]) -> Result:
    """Answer every product that `method` asks for and return its result.

    Args:
        operator: The matrix. One with a `run` of its own is left to do it.
        method: A generator as described in this module.

    Returns:
        What the generator returns.
    """
    if isinstance(operator, RunsMethods):
        return operator.run(method)
    return answer(operator.__matmul__, method)


def answer(product, method: Method[Result]) -> Result:  # type: ignore[no-untyped-def]
    """Run `method`, one call of `product` (v -> A v) for each of its questions."""
    try:
        question = next(method)
        while True:
            question = method.send(product(question))
    except StopIteration as stop:
        return stop.value


class LossOperator(SymmetricOperator, Protocol):
    """The Hessian of a loss at a point θ, with the loss itself around that point."""

    def loss(self) -> float:
        """L(θ)."""

    def gradient(self) -> Array:
        """∂L/∂θ: float64 (n,)."""

    def loss_at(self, displacement: Array, /) -> float:
        """L(θ + displacement) for float64 (n,); θ itself is left alone."""


def dimension(operator: SymmetricOperator) -> int:
    """n of an n × n matrix.

    Raises:
        ValueError: The matrix is not square, or empty.
    """
    shape = tuple(operator.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"The operator must be square and not empty. Received: shape={shape}")
    return int(shape[0])


def relative_rounding(operator: SymmetricOperator) -> float:
    """‖error of A v‖ / (‖A‖ ‖v‖): the operator's ``rounding``, or float64's."""
    return float(getattr(operator, "rounding", 8 * np.finfo(np.float64).eps))
