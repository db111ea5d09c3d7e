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
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.algorithms.estimate import Estimate, sphere_probes, sphere_standard_error
from stock_rnn.curvature.algorithms.lanczos import (
    Tridiagonal,
    lanczos_tridiagonal,
    power_of_two,
)
from stock_rnn.curvature.operators.protocol import (
    SymmetricOperator,
    dimension,
    is_verified,
    product_error,
)

Array = NDArray[np.float64]

# Bytes of the largest basis that is kept unasked: orthogonalizing against a larger one takes
# longer than products with an LSTM.
LARGEST_BASIS = 2**28


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
    resolution: float  # what the steps can tell apart: narrower peaks are nodes of the quadrature
    matvecs: int
    asymmetry: float  # as in `ExtremeEigenpairs`, like the next two
    symmetric: bool
    verified: bool

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
    keep_basis: bool | None = None,
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
        sigma: width of the Gaussian, in units of the eigenvalues; None for the resolution,
            at least 1 % of the distance between the outermost Ritz values and 1e-4 of
            the largest |Ritz value|. The resolution is that distance over the steps: a
            smaller sigma shows the nodes of the quadrature as peaks, and is warned of.
        seed: of the probes.
        max_bytes: how large the Lanczos bases may be together: probes run side
            by side (one product with many vectors) as far as this allows, at least
            one: 8·n·steps bytes, or 16·n without a basis.
        keep_basis: whether each run keeps its basis, for reorthogonalization, or its latest
            two vectors only (see `lanczos_tridiagonal`); None: if a basis is at most
            256 MiB.

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
    if keep_basis is None:
        keep_basis = 8 * n * min(steps, n) <= LARGEST_BASIS
    kept = None if keep_basis else 2
    side_by_side = max(1, min(probes, max_bytes // (8 * n * min(kept or steps, n))))
    runs = tuple(
        run
        for first in range(0, probes, side_by_side)
        for run in lanczos_tridiagonal(
            op, starts[:, first : first + side_by_side], steps=steps, kept=kept
        )
    )
    nodes, weights = _stack([run.quadrature() for run in runs])
    span = float(nodes.max() - nodes.min())
    radius = float(np.abs(nodes).max())
    # The nodes of an exhausted Krylov space are eigenvalues.
    resolution = 0.0 if all(run.exhausted for run in runs) else span / min(steps, n)
    if sigma is None:
        sigma = max(0.01 * span, resolution, 1e-4 * radius) or 1.0
    elif sigma < resolution:
        warnings.warn(
            f"sigma={sigma:.3g} is below the resolution {resolution:.3g} of {steps} steps: peaks "
            "of the density are nodes of the quadrature. Take more steps, or a larger sigma.",
            stacklevel=2,
        )
    if isinstance(points, int):
        points = np.linspace(nodes.min() - 4 * sigma, nodes.max() + 4 * sigma, points)

    density, density_error = np.empty_like(points), np.empty_like(points)
    cumulative, cumulative_error = np.empty_like(points), np.empty_like(points)
    # In units of the nodes, so that no square leaves the range of float64.
    unit = power_of_two(nodes) or 1.0
    width = sigma / unit
    for part in _chunks(len(points), max(1, 2**22 // nodes.size)):
        offset = (points[part] - nodes[:, :, None]) / unit
        bump = np.exp(-0.5 * (offset / width) ** 2) / (width * math.sqrt(2 * math.pi))
        density[part], density_error[part] = _mean_and_error(bump, weights, n)
        step = (offset >= 0.0).astype(np.float64)
        cumulative[part], cumulative_error[part] = _mean_and_error(step, weights, n)
    return SpectralDensity(
        n=n,
        runs=runs,
        nodes=nodes,
        weights=weights,
        grid=points,
        density=density / unit,
        density_error=density_error / unit,
        cumulative=cumulative,
        cumulative_error=cumulative_error,
        sigma=sigma,
        resolution=resolution,
        matvecs=sum(len(run.alphas) for run in runs),
        asymmetry=max(run.asymmetry for run in runs),
        symmetric=all(run.is_symmetric(product_error(op, radius)) for run in runs),
        verified=is_verified(op),
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
