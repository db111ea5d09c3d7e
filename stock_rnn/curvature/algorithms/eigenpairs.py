"""What is found at the ends of a symmetric matrix's spectrum: eigenpairs with error bars."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stock_rnn.curvature.algorithms.outer_bounds import LanczosRun
from stock_rnn.curvature.operators.protocol import MOST_FLOAT64_ROUNDING, Array


@dataclass(frozen=True)
class ExtremeEigenpairs:
    """Approximations to both ends of the spectrum of a symmetric matrix A.

    For every unit vector v and number λ, *some* eigenvalue of A lies within
    ‖Av - λv‖ of λ (Parlett, "The Symmetric Eigenvalue Problem", theorem 4.5.1).
    Since ``eigenvalues[0]`` is the Rayleigh quotient vᵀAv of its vector, the
    smallest eigenvalue is certainly at most that number, and an eigenvalue lies
    within ``residuals[0]`` of it. ``rounding`` is the bar for the error of the products. What
    no bar covers: that a still smaller eigenvalue exists whose vector the search has missed.

    The theorem is one of symmetric matrices, and of the matrix whose products were
    made. So no sign is claimed unless the products were found to be symmetric, and
    those of a Hessian were compared with differences of the gradient.

    In float32 the rounding is a rule of thumb: a sign beyond it is *resolved*. With products
    in float64, those of a float64 model or of ``verify="float64"``, it is 1e-13 of ‖A‖ unless
    the loss was seen to magnify it: a sign beyond it is *certified*.
    """

    eigenvalues: Array  # (2,): λ_min, λ_max
    vectors: Array  # (n, 2): unit columns
    residuals: Array  # (2,): ‖Av - λv‖ of each
    matvecs: int  # products with A, those for the residuals included
    converged: bool  # both residuals within the tolerance, and the products symmetric
    ritz_values: Array  # (m,): ascending, of the final Krylov space
    rounding: float = 0.0  # how far a product itself may be off, as a norm
    replaced_vector: Array | None = None  # (n,): see `with_replaced_vector`
    asymmetry: float = 0.0  # max |qᵢᵀA qⱼ - qⱼᵀA qᵢ| over the Krylov basis
    symmetric: bool = True  # whether the asymmetry is within rounding
    verified: bool = True  # whether nothing about the operator is unchecked; see `Operator`
    lanczos: LanczosRun | None = None  # the search's first steps, where it had a random start
    in_float64: bool = True  # whether the products behind values and residuals were in float64
    # That of the search's products, where values and residuals were verified in float64.
    search_rounding: float | None = None

    @property
    def lambda_min(self) -> float:
        """The smallest Ritz value."""
        return float(self.eigenvalues[0])

    @property
    def lambda_max(self) -> float:
        """The largest Ritz value."""
        return float(self.eigenvalues[1])

    @property
    def residual_min(self) -> float:
        """‖Av - λv‖ at the smallest end."""
        return float(self.residuals[0])

    @property
    def residual_max(self) -> float:
        """‖Av - λv‖ at the largest end."""
        return float(self.residuals[1])

    @property
    def sound(self) -> bool:
        """Whether the error bars hold: the products are symmetric and verified."""
        return self.symmetric and self.verified

    @property
    def resolved_negative(self) -> bool:
        """Whether λ_min + residual + rounding < 0, and the products are sound.

        Then A has a negative eigenvalue, if the rounding of the products is within its bar. In
        float32 that is a rule of thumb, which can be wrong: see `certified_negative`.
        """
        return self.sound and self.lambda_min + self.residual_min + self.rounding < 0.0

    @property
    def resolved_positive(self) -> bool:
        """Whether λ_min - residual - rounding > 0, and the products are sound.

        Weaker than the negative claim: an eigenvalue that the search missed
        could still be smaller.
        """
        return self.sound and self.lambda_min - self.residual_min - self.rounding > 0.0

    @property
    def certified_negative(self) -> bool:
        """Whether A surely has a negative eigenvalue: resolved, by products in float64.

        The rounding is then at least 1e-13 of the larger |λ|. False wherever the products were
        made in float32 and not verified in float64.
        """
        error = self.residual_min + self._float64_rounding
        return self.sound and self.in_float64 and self.lambda_min + error < 0.0

    @property
    def certified_positive(self) -> bool:
        """Whether the smallest eigenvalue that was found surely lies above 0; see the others."""
        error = self.residual_min + self._float64_rounding
        return self.sound and self.in_float64 and self.lambda_min - error > 0.0

    @property
    def _float64_rounding(self) -> float:
        return max(self.rounding, MOST_FLOAT64_ROUNDING * float(np.abs(self.eigenvalues).max()))

    def lower_bound(self, failure: float) -> float:
        """A number that no eigenvalue lies below, but with a probability of `failure` at most.

        The probability is that of the random start. The bound comes of the search's own steps
        (see `stock_rnn.curvature.algorithms.outer_bounds`), of those before a restart if there
        was one: what is kept at a restart is no Lanczos run of one vector. The rounding of k
        products may move an eigenvalue by 2 √k `rounding`, which is taken off.

        Args:
            failure: above 0 and below 1; 1e-6, say.

        Raises:
            ValueError: an impossible probability; a search that was not from a random start
                alone, or a result read from a file; products that are not sound.
        """
        run = self._random_run()
        return run.below(failure) - self._outer_rounding(run)

    def upper_bound(self, failure: float) -> float:
        """A number that no eigenvalue exceeds, but with a probability of `failure` at most.

        As `lower_bound`, at the other end. Each of the two may fail.
        """
        run = self._random_run()
        return run.above(failure) + self._outer_rounding(run)

    def _random_run(self) -> LanczosRun:
        if self.lanczos is None:
            raise ValueError(
                "A bound outside needs a search from a random start alone. This one had a warm "
                "start, or was read from a file: search anew without warm_start."
            )
        if not self.sound:
            raise ValueError(
                "A bound outside needs products that are symmetric and verified. "
                f"Received: symmetric={self.symmetric}, verified={self.verified}"
            )
        return self.lanczos

    def _outer_rounding(self, run: LanczosRun) -> float:
        # AQ = QT + F with columns of F within the rounding: T is of A - FQᵀ - QFᵀ.
        rounding = self.rounding if self.search_rounding is None else self.search_rounding
        return 2 * float(np.sqrt(len(run.alphas))) * rounding


def with_replaced_vector(
    found: ExtremeEigenpairs, previous: ExtremeEigenpairs | None
) -> ExtremeEigenpairs:
    """`found`, with the vector that its smallest end has replaced in a series.

    Near a fit the negative end belongs to the term (mean residual) × (second
    derivative of the network), whose sign is the residual's: from one epoch to the
    next the smallest end may jump to the vector of the term's other end, and back.
    A warm start that knows both finds either at once.

    Args:
        found: the newest of a series of results.
        previous: the one before it, from this function itself, or None.
    """
    if previous is None or previous.vectors.shape != found.vectors.shape:
        return found
    overlap = abs(float(previous.vectors[:, 0] @ found.vectors[:, 0]))
    replaced = previous.vectors[:, 0] if overlap < 0.5 else previous.replaced_vector
    return replace(found, replaced_vector=replaced)


@dataclass(frozen=True)
class Eigenpairs:
    """k eigenvalues at one end of the spectrum, the outermost first."""

    eigenvalues: Array  # (k,)
    vectors: Array  # (n, k): orthonormal columns
    residuals: Array  # (k,): ‖Av - λv‖ of each
    matvecs: int  # products with A, those for the residuals included
    converged: bool  # all residuals within the tolerance, and the products symmetric
    ritz_values: Array  # (m,): ascending, of the final Krylov space
    rounding: float = 0.0  # as in ExtremeEigenpairs, like all that follows
    asymmetry: float = 0.0
    symmetric: bool = True
    verified: bool = True
