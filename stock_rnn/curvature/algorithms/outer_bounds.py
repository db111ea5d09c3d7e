"""Bounds outside of both ends of a spectrum, which hold with a chosen probability.

A Lanczos run from v has orthonormal vectors qⱼ₊₁ = pⱼ(A) v, with the polynomials

    βⱼ pⱼ(t) = (t - αⱼ) pⱼ₋₁(t) - βⱼ₋₁ pⱼ₋₂(t),   p₀ = 1

that are orthonormal for the spectral measure of v. Let x be the eigenvector of λ_max and
γ = xᵀv. That measure has the mass γ² at λ_max, and no mass exceeds Christoffel's number:

    Σⱼ pⱼ(λ_max)² ≤ 1 / γ²,   j = 0, ..., k

(Akhiezer, "The Classical Moment Problem", 1965, chapter 2). Beyond the largest Ritz value
the sum grows without bound. For v uniform on the sphere γ² has the distribution
Beta(1/2, (n-1)/2). So with δ² its quantile of ε, λ_max lies with probability 1 - ε below the
t where the sum reaches 1/δ². Van Dorsselaer, Hochstenbach and van der Vorst 2000,
"Computing probabilistic bounds for extreme eigenvalues of symmetric matrices with the
Lanczos method", take the last term of the sum alone; the other terms cost nothing, hold in
the same event, and make the bound sharper: with one eigenvalue fewer than steps + 2 it is
the best there is.

The event is one of v alone. So it does not matter that a search decides by its own results
when to stop, nor which of its steps are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from stock_rnn.curvature.operators.protocol import Array

# Halvings of the interval that holds a bound: to the last digit of its distance.
_HALVINGS = 60


@dataclass(frozen=True)
class LanczosRun:
    """k steps of Lanczos's method for an n × n matrix, from one vector uniform on the sphere."""

    alphas: Array  # (k,): qⱼᵀA qⱼ
    betas: Array  # (k,): lengths of what each step added; the last one is that of qₖ₊₁
    n: int

    def above(self, failure: float) -> float:
        """A number that λ_max exceeds with probability `failure` at most."""
        return float(bound_above(self.alphas, self.betas, log_least(self.n, failure)))

    def below(self, failure: float) -> float:
        """A number that λ_min lies below with probability `failure` at most."""
        return -float(bound_above(-self.alphas, self.betas, log_least(self.n, failure)))


def log_least(n: int, failure: float) -> float:
    """log(1/δ²): -2 log of the length that a coordinate of a random unit vector falls below.

    Args:
        n: dimension.
        failure: the probability that it does, above 0 and below 1.

    Raises:
        ValueError: an impossible probability.
    """
    if not 0 < failure < 1:
        raise ValueError(f"The failure probability is above 0 and below 1. Received: {failure=}")
    return -float(np.log(betaincinv(0.5, (n - 1) / 2, failure))) if n > 1 else 0.0


def bound_above(alphas: Array, betas: Array, log_limit: float) -> Array:
    """Where Σ pⱼ(t)² of one or many runs reaches a limit, beyond their largest Ritz values.

    Args:
        alphas, betas: (..., k), as in `LanczosRun`; betas above 0.
        log_limit: the limit's logarithm.

    Returns:
        (...): t, rounded upwards; the largest Ritz value where the sum has passed the limit
        there already.
    """
    k = alphas.shape[-1]
    matrices = np.zeros((*alphas.shape, k))
    row = np.arange(k)
    matrices[..., row, row] = alphas
    matrices[..., row[1:], row[:-1]] = betas[..., :-1]
    low = np.linalg.eigvalsh(matrices)[..., -1]  # It reads the lower triangle.
    # pₖ(t) = Π (t - θⱼ) / Π βⱼ alone reaches the limit here.
    high = low + np.exp((np.log(betas).sum(axis=-1) + log_limit / 2) / k)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        reached = _log_sum(alphas, betas, middle) >= log_limit
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.asarray(high)


def _log_sum(alphas: Array, betas: Array, t: Array) -> Array:
    """log Σ pⱼ(t)², or -∞ where t is not beyond all Ritz values."""
    log_p, total = np.zeros_like(t), np.zeros_like(t)
    beyond, below = np.ones(t.shape, np.bool_), np.zeros_like(t)  # βⱼ₋₁ pⱼ₋₂ / pⱼ₋₁
    for j in range(alphas.shape[-1]):
        # βⱼ pⱼ / pⱼ₋₁, positive beyond the largest root: p itself would overflow.
        pivot = t - alphas[..., j] - below
        beyond &= pivot > 0
        pivot = np.where(pivot > 0, pivot, betas[..., j])  # Not used any more, but finite.
        log_p = log_p + np.log(pivot) - np.log(betas[..., j])
        total = np.logaddexp(total, 2 * log_p)
        below = betas[..., j] * (betas[..., j] / pivot)
    return np.where(beyond, total, -np.inf)
