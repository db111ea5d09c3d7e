"""The whole spectrum in outline: stochastic Lanczos quadrature.

A symmetric A with eigenvalues λ₁, ..., λₙ has the spectral density
φ(t) = (1/n) Σ δ(t - λᵢ). For v uniform on the unit sphere, E vᵀf(A)v = ∫ f φ, and
a Lanczos run from v turns vᵀf(A)v into a Gauss quadrature Σ wⱼ f(θⱼ): the nodes
are the eigenvalues of its tridiagonal matrix T and the weights the squares of
the first components of T's eigenvectors.

Sources: Golub, Welsch, "Calculation of Gauss Quadrature Rules", Math. Comp. 1969;
Lin, Saad, Yang, "Approximating Spectral Densities of Large Matrices", SIAM Review
2016; Ubaru, Chen, Saad, "Fast Estimation of tr(f(A)) via Stochastic Lanczos
Quadrature", SIMAX 2017; Ghorbani, Krishnan, Xiao, "An Investigation into Neural
Net Optimization via Hessian Eigenvalue Density", ICML 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from stock_rnn.curvature.algorithms.estimate import Estimate, sphere_probes, sphere_standard_error
from stock_rnn.curvature.operators.protocol import (
    Method,
    NonFiniteError,
    SymmetricOperator,
    dimension,
    run,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tridiagonal:
    """T = QᵀAQ of a Lanczos run from v, and the spectral measure of v that T stands for.

    The measure is μ = Σ (uᵢᵀv)² δ(t - λᵢ) over the eigenpairs of A, for ‖v‖ = 1.
    """

    alphas: Array  # (m,): the diagonal
    betas: Array  # (m - 1,): beside the diagonal
    exhausted: bool  # the Krylov space is invariant: the nodes are eigenvalues of A

    def quadrature(self) -> tuple[Array, Array]:
        """Gauss nodes (m,), ascending, and weights (m,), of sum 1.

        ∫ f dμ = Σ wⱼ f(θⱼ) exactly for polynomials f up to degree 2m - 1.
        """
        return _nodes_and_weights(self.alphas, self.betas)

    def share_below(self, cutoff: float) -> tuple[float, float]:
        """Bounds on μ((-∞, cutoff)), which hold whatever the rest of the spectrum is.

        The Gauss-Radau rule with a node at the cutoff integrates the same
        polynomials up to degree 2m - 2 as μ, and by the Chebyshev-Markov-Stieltjes
        inequalities μ lies between its weights strictly below and those up to the
        cutoff. The gap is the weight at the cutoff; it closes exponentially in m
        where the cutoff lies in a gap of the spectrum, like 1/m within a band.

        Sources: Golub, "Some Modified Matrix Eigenvalue Problems", SIAM Review
        1973 (the rule); Akhiezer, "The Classical Moment Problem", 1965, chapter 2
        (the inequalities).

        Returns:
            (lower, upper), equal if the Krylov space is exhausted and no eigenvalue
            lies on the cutoff.
        """
        if self.exhausted:
            nodes, weights = self.quadrature()
        else:
            nodes, weights = _nodes_and_weights(self._radau_diagonal(cutoff), self.betas)
        # On which side a node this close comes to lie is rounding: near a converged
        # eigenvalue the rule's own node is determined to the root of it only.
        near = 4.0 * math.sqrt(np.finfo(np.float64).eps) * self._scale(cutoff)
        lower = float(weights[nodes < cutoff - near].sum())
        return lower, min(float(weights[nodes <= cutoff + near].sum()), 1.0)

    def _scale(self, node: float) -> float:
        sizes = np.abs(self.alphas).max(), np.abs(self.betas).max(initial=0.0), abs(node)
        return float(max(*sizes, np.finfo(np.float64).tiny))

    def _radau_diagonal(self, node: float) -> Array:
        """The diagonal with its last entry changed so that `node` is an eigenvalue."""
        tiny = np.finfo(np.float64).eps * self._scale(node)
        correction = 0.0
        # Pivots of T - node·I without its last row: the last one is what is needed.
        for alpha, beta in zip(self.alphas[:-1], self.betas, strict=True):
            pivot = alpha - node - correction
            correction = beta**2 / (pivot if abs(pivot) > tiny else math.copysign(tiny, pivot))
        return np.append(self.alphas[:-1], node + correction)


def _nodes_and_weights(alphas: Array, betas: Array) -> tuple[Array, Array]:
    nodes, vectors = eigh_tridiagonal(alphas, betas)
    return nodes, vectors[0] ** 2


def lanczos_tridiagonal(
    op: SymmetricOperator, starts: Array, *, steps: int
) -> tuple[Tridiagonal, ...]:
    """Lanczos runs from several vectors side by side, with full reorthogonalization.

    The runs do not mix; they ask for their products (n, k) at once, which for a
    Hessian is cheaper than k products one by one. Two passes of Gram-Schmidt
    in float64 (Giraud, Langou, Rozložník 2005: twice is enough).

    Args:
        op: symmetric, (n, n).
        starts: (n,) or (n, k), nonzero columns; normalized here.
        steps: of each run; at most n are made, and a run ends early where its
            Krylov space is exhausted. Memory: 8·n·k·steps bytes.

    Returns:
        k tridiagonal matrices.

    Raises:
        ValueError: if the shapes disagree, steps < 1, or a start is zero.
        NonFiniteError: if a product is not finite.
    """
    n = dimension(op)
    columns = starts.reshape(n, -1) if starts.ndim == 1 and starts.size == n else starts
    if columns.ndim != 2 or columns.shape[0] != n:
        raise ValueError(f"starts must be ({n},) or ({n}, k). Received: shape={starts.shape}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1. Received: steps={steps}")
    norms = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(norms) & (norms > 0.0)):
        raise ValueError(f"starts must be finite and not zero. Received: norms={norms}")

    return run(op, _lanczos((columns / norms).T, min(steps, n)))


def _lanczos(q: Array, steps: int) -> Method[tuple[Tridiagonal, ...]]:
    """The runs from the unit rows of q (k, n), asking for all k products at once."""
    k, n = q.shape
    basis = np.empty((k, steps, n))
    alphas, betas = np.zeros((k, steps)), np.zeros((k, steps))
    lengths = np.full(k, steps)
    exhausted = np.full(k, steps == n)
    scale = np.zeros(k)
    for j in range(steps):
        basis[:, j] = q
        products = yield np.ascontiguousarray(q.T)
        w = np.array(products.T, dtype=np.float64)
        if not np.isfinite(w).all():
            raise NonFiniteError(f"The operator's product is not finite (Lanczos step {j + 1}).")
        alphas[:, j] = np.einsum("kn,kn->k", q, w)
        known = basis[:, : j + 1]
        for _ in range(2):
            w -= np.matmul(np.matmul(known, w[:, :, None]).transpose(0, 2, 1), known)[:, 0]
        betas[:, j] = np.linalg.norm(w, axis=1)
        scale = np.maximum(scale, np.maximum(np.abs(alphas[:, j]), betas[:, j]))
        # What two passes leave of a vector in the span of the basis is rounding.
        ended = betas[:, j] <= 10.0 * np.finfo(np.float64).eps * math.sqrt(n) * scale
        newly = ended & (lengths == steps)
        lengths[newly], exhausted[newly] = j + 1, True
        if ended.all():
            break
        q = np.where(ended[:, None], 0.0, w / np.where(ended, 1.0, betas[:, j])[:, None])
    return tuple(
        Tridiagonal(alphas[i, :m].copy(), betas[i, : m - 1].copy(), bool(exhausted[i]))
        for i, m in enumerate(lengths)
    )


@dataclass(frozen=True)
class SpectralDensity:
    """φ(t) = (1/n) Σ δ(t - λᵢ), smoothed by a Gaussian of width sigma on a grid.

    The error bars are standard errors of the mean over the probes (see
    `sphere_standard_error`). They do not cover the smoothing by sigma, nor what
    is left of the quadrature's own error after `steps` products a probe: moments
    up to 2·steps - 1 are free of it; for a share of the spectrum
    `negative_fraction` bounds it.
    """

    n: int  # the dimension of the operator
    runs: tuple[Tridiagonal, ...]  # one a probe
    nodes: Array  # (probes, m): Ritz values; a run that ended early is padded
    weights: Array  # (probes, m): of sum 1 in each row; 0 where padded
    grid: Array  # (g,)
    density: Array  # (g,): integrates to 1
    density_error: Array  # (g,): standard error
    cumulative: Array  # (g,): share of the eigenvalues <= grid, not smoothed
    cumulative_error: Array  # (g,): standard error
    sigma: float
    matvecs: int

    @property
    def probes(self) -> int:
        """Independent random starts."""
        return len(self.runs)

    @property
    def spectral_radius(self) -> float:
        """The largest |Ritz value|, from below close to max |λ|."""
        return float(np.abs(self.nodes).max())

    def integrate(self, function: Callable[[Array], Array]) -> Estimate:
        """∫ f φ = tr f(A) / n.

        Args:
            function: f, elementwise on an array.
        """
        values = np.asarray(function(self.nodes), dtype=np.float64)
        mean, error = _mean_and_error(values[:, :, None], self.weights, self.n)
        return Estimate(float(mean[0]), float(error[0]), self.probes)

    def moment(self, k: int) -> Estimate:
        """tr(Aᵏ) / n; unbiased up to k = 2·steps - 1. n·moment(2) is ‖A‖²_F."""
        return self.integrate(lambda t: t**k)


def _mean_and_error(values: Array, weights: Array, n: int) -> tuple[Array, Array]:
    """Mean and standard error over probes of Σ wⱼ fⱼ: values (p, m, g), weights (p, m)."""
    samples = np.einsum("pm,pmg->pg", weights, values)
    mean_square = np.einsum("pm,pmg->g", weights, values**2) / len(weights)
    return samples.mean(axis=0), sphere_standard_error(samples, mean_square, n)


def spectral_density(
    op: SymmetricOperator,
    *,
    probes: int = 10,
    steps: int = 80,
    grid: int | Array = 1001,
    sigma: float | None = None,
    seed: int = 0,
    max_bytes: int = 2**30,
) -> SpectralDensity:
    """The density of the eigenvalues, by stochastic Lanczos quadrature.

        φ_σ(t) = (1/probes) Σ_p Σⱼ w_pj N(t; θ_pj, σ²)

    Sources: see the module. The probes are uniform on the sphere, so that the
    variance depends on the eigenvalues alone.

    Args:
        op: symmetric, (n, n).
        probes: random starts; the error falls like 1/√(probes·n).
        steps: products a probe (fewer where the Krylov space is exhausted).
        grid: points, or how many between the outermost Ritz values ± 4σ.
        sigma: width of the Gaussian, in units of the eigenvalues; None for 1 %
            of the distance between the outermost Ritz values, at least 1e-4 of
            the largest |Ritz value|.
        seed: of the probes.
        max_bytes: how large the Lanczos bases may be together: probes run side
            by side (one product with many vectors) as far as this allows, at least
            one: 8·n·steps bytes.

    Raises:
        ValueError: for probes or steps < 1, sigma <= 0, a grid that is empty or not
            one-dimensional.
        NonFiniteError: if a product is not finite.
    """
    n = dimension(op)
    if probes < 1 or steps < 1:
        raise ValueError(
            f"probes and steps must be at least 1. Received: probes={probes}, steps={steps}"
        )
    if sigma is not None and not sigma > 0.0:
        raise ValueError(f"sigma must be positive. Received: sigma={sigma}")
    points = grid if isinstance(grid, int) else np.asarray(grid, dtype=np.float64)
    if np.ndim(points) > 1 or np.size(points) == 0 or (isinstance(points, int) and points < 2):
        raise ValueError(f"grid must be points, or how many (at least 2). Received: grid={grid}")

    starts = sphere_probes(n, probes, np.random.default_rng(seed))
    side_by_side = max(1, min(probes, max_bytes // (8 * n * min(steps, n))))
    runs = tuple(
        run
        for first in range(0, probes, side_by_side)
        for run in lanczos_tridiagonal(op, starts[:, first : first + side_by_side], steps=steps)
    )
    nodes, weights = _stack([run.quadrature() for run in runs])
    span = float(nodes.max() - nodes.min())
    if sigma is None:
        sigma = max(0.01 * span, 1e-4 * float(np.abs(nodes).max())) or 1.0
    if isinstance(points, int):
        points = np.linspace(nodes.min() - 4 * sigma, nodes.max() + 4 * sigma, points)

    density, density_error = np.empty_like(points), np.empty_like(points)
    cumulative, cumulative_error = np.empty_like(points), np.empty_like(points)
    for part in _chunks(len(points), max(1, 2**22 // nodes.size)):
        offset = points[part] - nodes[:, :, None]
        bump = np.exp(-0.5 * (offset / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
        density[part], density_error[part] = _mean_and_error(bump, weights, n)
        step = (offset >= 0.0).astype(np.float64)
        cumulative[part], cumulative_error[part] = _mean_and_error(step, weights, n)
    return SpectralDensity(
        n=n,
        runs=runs,
        nodes=nodes,
        weights=weights,
        grid=points,
        density=density,
        density_error=density_error,
        cumulative=cumulative,
        cumulative_error=cumulative_error,
        sigma=sigma,
        matvecs=sum(len(run.alphas) for run in runs),
    )


def _stack(quadratures: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Rows of equal length: padded by the last node, with weight 0."""
    m = max(len(nodes) for nodes, _ in quadratures)
    nodes = np.stack([np.pad(x, (0, m - len(x)), mode="edge") for x, _ in quadratures])
    weights = np.stack([np.pad(w, (0, m - len(w))) for _, w in quadratures])
    return nodes, weights


def _chunks(size: int, chunk: int) -> list[slice]:
    return [slice(first, first + chunk) for first in range(0, size, chunk)]


@dataclass(frozen=True)
class NegativeFraction:
    """The share α of the eigenvalues below a cutoff under zero: Dauphin's index."""

    value: float
    standard_error: float  # over the probes; 0 when counted
    lower: float  # bounds of the quadrature, averaged over the probes
    upper: float
    cutoff: float  # eigenvalues < cutoff count as negative


def negative_fraction(spectrum: SpectralDensity | Array, *, threshold: float) -> NegativeFraction:
    """α = #{i : λᵢ < -threshold · max|λ|} / n, the index of a critical point.

    Source: Dauphin et al., "Identifying and attacking the saddle point problem in
    high-dimensional non-convex optimization", NeurIPS 2014, section 3.

    The threshold has no default on purpose. Hessians of networks have most of
    their eigenvalues at zero but for rounding, half of those on the negative side,
    and with threshold 0 they decide the answer. What a threshold means depends on
    the precision of the products: about 1e-6 is the least that is above the
    rounding of float32, 1e-12 of float64.

    Args:
        spectrum: from `spectral_density`, or all n eigenvalues (n,), which are counted.
        threshold: relative to the largest |λ|, >= 0.

    Returns:
        The share. From a density, `standard_error` covers the random choice of
        the probes; `lower` and `upper` bound what finitely many Lanczos steps leave
        open for these same probes (up to rounding, `Tridiagonal.share_below`), and
        are wide when the spectrum is dense around the cutoff.

    Raises:
        ValueError: for a threshold that is negative or not finite, or eigenvalues
            that are not a finite vector.
    """
    if not (math.isfinite(threshold) and threshold >= 0.0):
        raise ValueError(
            f"threshold must be finite and not negative. Received: threshold={threshold}"
        )
    if not isinstance(spectrum, SpectralDensity):
        values = np.asarray(spectrum, dtype=np.float64)
        if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
            raise ValueError(f"eigenvalues must be a finite (n,). Received: shape={values.shape}")
        cutoff = -threshold * float(np.abs(values).max())
        share = float(np.mean(values < cutoff))
        return NegativeFraction(share, 0.0, share, share, cutoff)
    cutoff = -threshold * spectrum.spectral_radius
    estimate = spectrum.integrate(lambda t: (t < cutoff).astype(np.float64))
    bounds = np.mean([run.share_below(cutoff) for run in spectrum.runs], axis=0)
    return NegativeFraction(
        estimate.value, estimate.standard_error, float(bounds[0]), float(bounds[1]), cutoff
    )
