"""The progress of a long computation with an operator, shown on stderr."""

from __future__ import annotations

import sys
import time

import numpy as np
import tqdm

from stock_rnn.curvature.operators.operator import Operator
from stock_rnn.curvature.operators.protocol import (
    Array,
    MatvecRoutine,
    Result,
    SymmetricOperator,
    adapt_routine,
    is_verified,
    relative_rounding,
    run_routine,
)

_LINES = 10


class Watched(Operator):
    """An operator that shows on stderr how many of its products are done, and the time left.

    A bar on a terminal, about ten lines elsewhere. `close` it at the end.

    Args:
        operator: multiplies.
        total: products that will be asked for.
        what: what is computed by them, at the beginning of the line.
    """

    def __init__(self, operator: SymmetricOperator, total: int, what: str) -> None:
        self._operator = operator
        self.shape = operator.shape
        # Now: what they cost is no time of the products.
        self._relative_rounding = relative_rounding(operator)
        self._verified = is_verified(operator)
        self._total, self._what = total, what
        self._done, self._began = 0, time.monotonic()
        self._bar = tqdm.tqdm(
            total=total, desc=what, unit="product", disable=not sys.stderr.isatty()
        )

    @property
    def relative_rounding(self) -> float:
        """That of the operator."""
        return self._relative_rounding

    @property
    def verified(self) -> bool:
        """Whether the operator is."""
        return self._verified

    def __matmul__(self, vectors: Array, /) -> Array:
        """A @ v for float64 v of shape (n,) or (n, k); the same shape."""
        product = self._operator @ vectors
        self._show(1 if np.ndim(vectors) == 1 else np.shape(vectors)[1])
        return product

    def run_routine(self, routine: MatvecRoutine[Result]) -> Result:
        """Answer a routine in the operator's own way."""

        def answer(vectors: Array) -> MatvecRoutine[Array]:
            product = yield vectors
            self._show(1 if np.ndim(vectors) == 1 else np.shape(vectors)[1])
            return product

        return run_routine(self._operator, adapt_routine(routine, answer))

    def close(self) -> None:
        """End the bar's line."""
        self._bar.close()

    def _show(self, products: int) -> None:
        before, self._done = self._done, self._done + products
        if not self._bar.disable:
            self._bar.update(products)
        # A line where another tenth is done.
        elif before * _LINES // self._total < self._done * _LINES // self._total:
            seconds = time.monotonic() - self._began
            left = seconds * (self._total - self._done) / self._done
            print(
                f"{self._what}: {self._done:,} of {self._total:,} products, "
                f"{tqdm.tqdm.format_interval(left)} left",
                file=sys.stderr,
            )
