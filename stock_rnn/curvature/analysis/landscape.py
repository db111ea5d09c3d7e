"""The loss around a point: what its curvature predicts, beside what is true.

Every function takes a `LossOperator`, in the coordinates of that operator: given
a preconditioned one (`stock_rnn.curvature.operators.preconditioned`), "gradient step" means
the step of that optimizer, and "negative subspace" that of D^-1/2 H D^-1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.algorithms.lanczos import lanczos_tridiagonal
from stock_rnn.curvature.operators.protocol import (
    LossOperator,
    SymmetricOperator,
    dimension,
    is_verified,
    product_error,
)

Array = NDArray[np.float64]


def curvature_along(op: SymmetricOperator, direction: Array) -> float:
    """dᵀHd / dᵀd, the second derivative along d: a weighted mean of the eigenvalues.

    Source: the lecture, "Hessian Matrix"; Goodfellow, Bengio, Courville, "Deep
    Learning", 2016, section 4.3.1.

    Returns:
        nan for d = 0.

    Raises:
        ValueError: if the direction is not (n,).
    """
    if np.shape(direction) != (dimension(op),):
        raise ValueError(
            f"The direction must be ({dimension(op)},). Received: shape={np.shape(direction)}"
        )
    norm = float(np.linalg.norm(direction))
    if norm == 0.0:
        return math.nan
    unit = direction / norm
    return float(unit @ (op @ unit))


def curvature_along_gradient(op: LossOperator) -> float:
    """gᵀHg / gᵀg. A gradient step of rate ε lowers the quadratic model iff ε·this < 2.

    Source: the lecture, f(x - εg) ≈ f - εgᵀg + ε²/2 gᵀHg.

    Returns:
        nan where the gradient is 0.
    """
    return curvature_along(op, op.gradient())


@dataclass(frozen=True)
class TaylorStep:
    """One gradient step: the change of the loss predicted to first and second order, and true."""

    learning_rate: float
    loss: float  # L(θ)
    gradient_norm: float  # ‖g‖
    curvature: float  # gᵀHg / gᵀg; nan where g = 0
    first_order: float  # -ε gᵀg
    predicted: float  # -ε gᵀg + ε²/2 gᵀHg
    true: float  # L(θ - εg) - L(θ)

    @property
    def best_learning_rate(self) -> float:
        """gᵀg / gᵀHg, the minimum of the quadratic model; inf where that has none."""
        if self.gradient_norm == 0.0:
            return math.nan
        return 1.0 / self.curvature if self.curvature > 0.0 else math.inf


def taylor_step(op: LossOperator, learning_rate: float) -> TaylorStep:
    """L(θ - εg) - L(θ) ≈ -ε gᵀg + ε²/2 gᵀHg, beside the true change.

    Source: the lecture, "Second order approximation". The step is that of plain
    gradient descent over the operator's data; for RMSprop or Adam without their
    momentum pass the preconditioned operator.

    Args:
        op: the Hessian with its loss.
        learning_rate: ε, finite and not negative.

    Raises:
        ValueError: for a learning rate that is negative or not finite.
    """
    if not (math.isfinite(learning_rate) and learning_rate >= 0.0):
        raise ValueError(
            "learning_rate must be finite and not negative."
            f" Received: learning_rate={learning_rate}"
        )
    gradient = op.gradient()
    square = float(gradient @ gradient)
    curvature = curvature_along(op, gradient)
    loss = op.loss()
    first_order = -learning_rate * square
    second_order = 0.5 * learning_rate**2 * square * curvature if square > 0.0 else 0.0
    return TaylorStep(
        learning_rate=learning_rate,
        loss=loss,
        gradient_norm=math.sqrt(square),
        curvature=curvature,
        first_order=first_order,
        predicted=first_order + second_order,
        true=op.loss_at(-learning_rate * gradient) - loss,
    )


@dataclass(frozen=True)
class NegativeShare:
    """How much of a vector's squared norm lies in the negative eigenspaces."""

    value: float  # in [0, 1]; nan for the zero vector
    lower: float  # bounds on the share, valid up to rounding
    upper: float
    cutoff: float  # eigenvalues < cutoff count as negative
    matvecs: int
    asymmetry: float = 0.0  # as in `ExtremeEigenpairs`, like the next two
    symmetric: bool = True
    verified: bool = True


def negative_subspace_share(
    op: SymmetricOperator, vector: Array, *, threshold: float, steps: int = 40
) -> NegativeShare:
    """‖P₋g‖² / ‖g‖², P₋ the projector onto the eigenvectors with λ < -threshold·max|λ|.

    The share is the mass below the cutoff of g's spectral measure, and one Lanczos
    run started at g is that measure's Gauss quadrature: the sum of the weights on
    the negative Ritz values. No eigenvector is needed, and there is no random error;
    the bounds are hard (`Tridiagonal.share_below`) and close as the steps grow.

    Source: Golub, Meurant, "Matrices, Moments and Quadrature with Applications",
    2010, chapter 7; that the gradient of a network mostly avoids the bulk, Gur-Ari,
    Roberts, Dyer, "Gradient Descent Happens in a Tiny Subspace", 2018.

    Args:
        op: symmetric, (n, n).
        vector: g, (n,).
        threshold: relative to the largest |Ritz value|, >= 0; see `negative_fraction`.
        steps: products with the operator; at most n are made.

    Raises:
        ValueError: for a threshold that is negative or not finite, a vector that is
            not a finite (n,), or steps < 1.
        NonFiniteError: if a product is not finite.
    """
    if not (math.isfinite(threshold) and threshold >= 0.0):
        raise ValueError(
            f"threshold must be finite and not negative. Received: threshold={threshold}"
        )
    n = dimension(op)
    if np.shape(vector) != (n,):
        raise ValueError(f"The vector must be ({n},). Received: shape={np.shape(vector)}")
    if not np.any(vector):
        return NegativeShare(math.nan, math.nan, math.nan, math.nan, 0)
    (run,) = lanczos_tridiagonal(op, vector, steps=steps)
    nodes, weights = run.quadrature()
    cutoff = -threshold * float(np.abs(nodes).max())
    lower, upper = run.share_below(cutoff)
    share = float(weights[nodes < cutoff].sum())
    return NegativeShare(
        value=share,
        lower=lower,
        upper=upper,
        cutoff=cutoff,
        matvecs=len(nodes),
        asymmetry=run.asymmetry,
        symmetric=run.is_symmetric(product_error(op, float(np.abs(nodes).max()))),
        verified=is_verified(op),
    )


@dataclass(frozen=True)
class LossSlice:
    """The loss on a line through θ, with the quadratic model of θ beside it."""

    distances: Array  # (k,): t, in units of ‖θ‖'s coordinates; the direction has norm 1
    losses: Array  # (k,): L(θ + t v)
    quadratic: Array  # (k,): L + t gᵀv + t²/2 vᵀHv
    loss: float  # L(θ)
    slope: float  # gᵀv
    curvature: float  # vᵀHv


def loss_along(op: LossOperator, direction: Array, distances: Array) -> LossSlice:
    """L(θ + tv) for v = direction / ‖direction‖, and L + t gᵀv + t²/2 vᵀHv.

    Source: the lecture's second-order approximation; Goodfellow, Vinyals, Saxe,
    "Qualitatively characterizing neural network optimization problems", ICLR 2015.

    Args:
        op: the Hessian with its loss.
        direction: (n,), not zero; normalized here.
        distances: (k,), t; negative ones go the other way.

    Raises:
        ValueError: for a direction that is not a finite (n,) or is zero, or
            distances that are not one-dimensional.
    """
    unit = _unit(op, direction)
    t = np.asarray(distances, dtype=np.float64)
    if t.ndim != 1:
        raise ValueError(f"distances must be one-dimensional. Received: shape={t.shape}")
    loss = op.loss()
    slope = float(op.gradient() @ unit)
    curvature = float(unit @ (op @ unit))
    return LossSlice(
        distances=t,
        losses=losses_at(op, t[:, None] * unit),
        quadratic=loss + t * slope + 0.5 * t**2 * curvature,
        loss=loss,
        slope=slope,
        curvature=curvature,
    )


def telling_distance(loss: float, curvature: float) -> float:
    """√(2 L / |vᵀHv|), from 0.001 to 3: by the quadratic model the loss changes by its own value.

    How far to look along v, if the picture is to show something.
    """
    return float(np.clip(math.sqrt(2 * loss / max(abs(curvature), 1e-12)), 1e-3, 3.0))


def losses_at(op: LossOperator, displacements: Array) -> Array:
    """L(θ + d) for each row d of (k, n), all at once where the operator can: float64 (k,)."""
    own = getattr(op, "losses_at", None)
    if own is not None:
        return np.asarray(own(displacements))
    return np.array([op.loss_at(row) for row in displacements])


def _unit(op: LossOperator, direction: Array) -> Array:
    n = dimension(op)
    norm = float(np.linalg.norm(direction))
    if np.shape(direction) != (n,) or not math.isfinite(norm) or norm == 0.0:
        raise ValueError(
            f"The direction must be a finite ({n},) and not zero."
            f" Received: shape={np.shape(direction)}, norm={norm}"
        )
    return np.asarray(direction / norm, dtype=np.float64)


@dataclass(frozen=True)
class Descent:
    """The lowest loss found on a line of distances."""

    distance: float  # signed, along the unit direction; 0 where nothing is lower than L(θ)
    loss: float  # reached; L(θ) where nothing is lower
    decrease: float  # L(θ) - loss >= 0


#: Distances in the space of the weights: from a touch to across the landscape.
DISTANCES: tuple[float, ...] = tuple(float(t) for t in np.geomspace(1e-4, 10.0, 16))


@dataclass(frozen=True)
class NegativeDirection:
    """Whether the most negative curvature is a way down, tried out."""

    eigenvalue: float  # λ_min
    residual: float
    resolved: bool  # λ_min + residual + rounding < 0
    certified: bool  # the same by products in float64
    slope: float  # gᵀv: what part of the descent is the gradient's doing already
    slice: LossSlice  # along v_min, on both sides
    along: Descent  # the best of ±v_min
    gradient: Descent | None  # the best along -g at the same distances; None where g = 0

    @property
    def helps(self) -> bool:
        """Whether ±v_min lowers the loss further than the negative gradient does."""
        return self.along.decrease > (self.gradient.decrease if self.gradient else 0.0)


def negative_direction(
    op: LossOperator, extremes: ExtremeEigenpairs, *, distances: tuple[float, ...] = DISTANCES
) -> NegativeDirection:
    """The loss really reached along ±v_min, beside that along -g at equal distances.

    Negative curvature promises L(θ ± tv) ≈ L ± t gᵀv - t²|λ|/2 for small t only; how
    deep the way down goes is not a matter of the Hessian, so it is walked. The
    eigenvector's sign is arbitrary: both are tried. Where the gradient is not zero,
    v_min usually has a slope as well, and a decrease along it proves nothing:
    hence the gradient's own decrease as the measure, in `helps`.

    Source: Dauphin et al. 2014 (saddles are left along negative curvature); Alain,
    Le Roux, Manzagol, "Negative eigenvalues of the Hessian in deep neural networks",
    2018 (the loss along such directions, measured).

    Args:
        op: the Hessian with its loss.
        extremes: its ends.
        distances: positive, of each trial point from θ. Costs three evaluations of the
            loss each.

    Raises:
        ValueError: if distances is empty or one is not positive and finite.
    """
    t = np.asarray(distances, dtype=np.float64)
    if t.ndim != 1 or t.size == 0 or not np.all(np.isfinite(t) & (t > 0.0)):
        raise ValueError(f"distances must be positive. Received: distances={distances}")
    both_sides = np.concatenate([-t[::-1], t])
    slice_ = loss_along(op, extremes.vectors[:, 0], both_sides)
    gradient = op.gradient()
    downhill = None
    if np.any(gradient):
        unit = _unit(op, -gradient)
        downhill = _lowest(slice_.loss, t, losses_at(op, t[:, None] * unit))
    return NegativeDirection(
        eigenvalue=extremes.lambda_min,
        residual=extremes.residual_min,
        resolved=extremes.resolved_negative,
        certified=extremes.certified_negative,
        slope=slice_.slope,
        slice=slice_,
        along=_lowest(slice_.loss, both_sides, slice_.losses),
        gradient=downhill,
    )


def _lowest(loss: float, distances: Array, losses: Array) -> Descent:
    """The lowest of the losses, or the start; losses that are not finite do not count."""
    found = np.where(np.isfinite(losses), losses, np.inf)
    best = int(np.argmin(found))
    if not found[best] < loss:
        return Descent(0.0, loss, 0.0)
    return Descent(float(distances[best]), float(found[best]), float(loss - found[best]))
