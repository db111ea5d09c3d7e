"""What kind of point of the loss this is, judged by signs beyond their error bars."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs

#: The kinds of point; a kind's place is its code (for a chart).
KINDS = ("undecided", "descending", "strict saddle", "flat", "near local minimum")


@dataclass(frozen=True)
class CriticalPoint:
    """The kind of a point, and why it is that."""

    kind: str  # one of KINDS
    reason: str  # a sentence with the numbers and thresholds that decided

    @property
    def code(self) -> int:
        """The kind as a number, its place in KINDS."""
        return KINDS.index(self.kind)


def classify_critical_point(
    gradient_norm: float, extremes: ExtremeEigenpairs, *, eps: float, gamma: float
) -> CriticalPoint:
    """Descending, strict saddle, near a local minimum, flat or undecided.

    With g = ‖∇L‖, the ends λ_min, λ_max of the Hessian and their error bars r_min,
    r_max, each its residual plus the rounding of the products:

    - "descending": g > eps. The first-order term decides; no critical point.
    - "strict saddle": g <= eps and λ_min + r_min <= -gamma. An eigenvalue lies
      within r_min of λ_min, so one is <= -gamma. A local maximum is a
      strict saddle too, by the definition; the reason says when λ_max is negative.
    - "flat": g <= eps and both ends within ±gamma, error bars included: no
      curvature of size gamma was found in any direction.
    - "near local minimum": g <= eps, λ_min - r_min >= -gamma and
      λ_max - r_max > gamma; a second-order stationary point at gamma (Jin et al.).
    - "undecided": an interval λ ± r straddles its threshold, the solver has not
      converged (and has found no resolved negative), the products are not symmetric or
      not verified (see `ExtremeEigenpairs.sound`), or a number is not finite.

    The first and second are proofs, if the rounding of the products is within its bar: in
    float64 it is, in float32 that is a rule of thumb (see `ExtremeEigenpairs`).
    "flat" and "near local minimum" are not: a residual says that an eigenvalue is near λ_min,
    and cannot say that none lies below. They rest on Lanczos having converged from
    a random start, which misses an extreme eigenvalue with small probability only
    (Kuczyński, Woźniakowski 1992), and their reasons say "no resolved negative
    curvature". Nor is the distance ξ to a minimum in the definition ever measured.

    Source: the strict-saddle definition of section 3.2.2 of the report, (α, γ, ξ, δ)
    with the gradient's bound written ε there; Ge, Huang, Jin, Yuan, "Escaping From
    Saddle Points", COLT 2015, definition 5; Jin et al., "How to Escape Saddle Points
    Efficiently", ICML 2017, definition 3 (ε-second-order: λ_min >= -√(ρε)).

    Args:
        gradient_norm: ‖∇L‖ over the same data as the Hessian.
        extremes: both ends of the Hessian.
        eps: how small a gradient counts as zero, in units of loss per weight. There is
            no default, since only the loss's scale gives it a meaning: 1e-2 to 1e-3 of
            the norm at the first epoch is a place to start.
        gamma: how large a curvature counts, > 0. 1e-3 to 1e-2 of λ_max is a
            place to start; below the rounding of the products (1e-6 of the
            largest |λ| in float32) it has no meaning.

    Raises:
        ValueError: if eps is negative, gamma is not positive, or one is not finite.
    """
    if not (math.isfinite(eps) and eps >= 0.0):
        raise ValueError(f"eps must be finite and not negative. Received: eps={eps}")
    if not (math.isfinite(gamma) and gamma > 0.0):
        raise ValueError(f"gamma must be finite and positive. Received: gamma={gamma}")

    low, low_error = extremes.lambda_min, extremes.residual_min + extremes.rounding
    high, high_error = extremes.lambda_max, extremes.residual_max + extremes.rounding
    seen_low, seen_high = (
        f"λ_min = {low:.3g} ± {low_error:.1g}",
        f"λ_max = {high:.3g} ± {high_error:.1g}",
    )
    small = f"‖g‖ = {gradient_norm:.3g} ≤ ε = {eps:.3g}"
    trust = "that nothing lies below rests on Lanczos having converged from a random start"

    if not all(map(math.isfinite, (gradient_norm, low, low_error, high, high_error))):
        return CriticalPoint(
            "undecided", f"Not all is finite: ‖g‖ = {gradient_norm:.3g}, {seen_low}, {seen_high}."
        )
    if gradient_norm > eps:
        return CriticalPoint(
            "descending", f"‖g‖ = {gradient_norm:.3g} > ε = {eps:.3g}: not a critical point."
        )
    if not extremes.sound:
        why = "are not symmetric" if extremes.verified else "were not verified"
        return CriticalPoint(
            "undecided", f"{small}, but the Hessian's products {why}: {seen_low}, {seen_high}."
        )
    if low + low_error <= -gamma:
        shape = (
            "every curvature found is negative, as at a local maximum"
            if high + high_error < 0.0
            else f"{seen_high}"
        )
        surely = "certainly" if extremes.in_float64 else "beyond its error bar"
        return CriticalPoint(
            "strict saddle", f"{small} and {seen_low} is {surely} ≤ -γ = {-gamma:.3g}; {shape}."
        )
    if low - low_error < -gamma:
        return CriticalPoint(
            "undecided", f"{small}, but the error bar of {seen_low} straddles -γ = {-gamma:.3g}."
        )
    if not extremes.converged:
        return CriticalPoint(
            "undecided",
            f"{small} and no resolved negative curvature, {seen_low}, but after"
            f" {extremes.matvecs} products the solver has not converged.",
        )
    if high + high_error <= gamma:
        return CriticalPoint(
            "flat",
            f"{small}, {seen_low} and {seen_high} lie within ±γ = {gamma:.3g}: no resolved"
            f" curvature of either sign; {trust}.",
        )
    if high - high_error <= gamma:
        return CriticalPoint(
            "undecided", f"{small}, but the error bar of {seen_high} straddles γ = {gamma:.3g}."
        )
    return CriticalPoint(
        "near local minimum",
        f"{small} and no resolved negative curvature beyond -γ = {-gamma:.3g}: {seen_low},"
        f" {seen_high}; {trust}.",
    )


def condition_number(
    extremes: ExtremeEigenpairs, *, resolved: bool = False, certified: bool = False
) -> float:
    """λ_max / λ_min of the Hessian, with its sign.

    The lecture's definition, which presumes a positive definite matrix: then it is
    the number that slows gradient descent down, at least 1. What else can come:

    - negative: the Hessian is indefinite. The value is the ratio of its ends and no
      condition number; that would be max |λ| / min |λ|, whose denominator lies
      inside the spectrum, where no end tells of it.
    - both ends negative: λ_min / λ_max, so that max |λ| / min |λ| >= 1 still.
    - inf: λ_min = 0, or λ_max = 0 with λ_min negative. nan: both are 0, or not finite.

    Args:
        extremes: both ends of the Hessian.
        resolved: answer nan unless both ends exclude 0 by their residual and
            rounding, so that a sign is never that of the solver's error.
        certified: and unless the products behind them were made in float64.
    """
    low, high = extremes.lambda_min, extremes.lambda_max
    if not (math.isfinite(low) and math.isfinite(high)):
        return math.nan
    errors = extremes.residuals + extremes.rounding
    unsure = not extremes.sound or bool(np.any(np.abs(extremes.eigenvalues) <= errors))
    if ((resolved or certified) and unsure) or (certified and not extremes.in_float64):
        return math.nan
    if high <= 0.0:
        low, high = high, low
    if low == 0.0:
        return math.nan if high == 0.0 else math.inf
    return high / low
