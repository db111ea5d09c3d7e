"""How much the spectra of a model's layers differ: distances between their densities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.spatial.distance import squareform
from scipy.special import ndtr, rel_entr

from stock_rnn.curvature.algorithms.density import spectral_density
from stock_rnn.curvature.operators.blocks import (
    Indices,
    RestrictedOperator,
    has_blocks,
    layer_blocks,
)
from stock_rnn.curvature.operators.protocol import Array, SymmetricOperator, is_verified

Axis = Literal["linear", "log"]
Map = Callable[[Array], Array]

#: Bins of the common axis.
BINS = 512

#: A spectrum of so few eigenvalues is computed whole.
MOST_WHOLE = 256

#: On the logarithmic axis, what counts as zero beside the largest |λ| of all blocks.
ZERO_SHARE = 1e-6


@dataclass(frozen=True)
class BlockHeterogeneity:
    """Jensen-Shannon distances between the spectral densities of blocks.

    A distance is the square root of the divergence to base 2 (in bits): 0 for equal
    densities, 1 for densities that share no bin.
    """

    names: tuple[str, ...]  # (b,)
    distances: Array  # (b, b): symmetric, zeros on the diagonal
    noise: Array  # (b,): distance between two halves of a block's own probes; 0 if it is whole
    edges: Array  # (BINS + 1,): of the common axis, in units of the eigenvalues
    shares: Array  # (b, BINS): share of each block's eigenvalues in each bin, smoothed
    matvecs: int  # products with the whole matrix
    verified: bool  # as in `Eigenpairs`

    @property
    def mean(self) -> float:
        """The mean over all pairs of two blocks: Zhang et al.'s JS⁰ where it is at the start."""
        return float(squareform(self.distances, checks=False).mean())


def block_heterogeneity(
    op: SymmetricOperator,
    blocks: Mapping[str, Any] | None = None,
    *,
    relative: bool = False,
    axis: Axis = "linear",
    width: float = 0.01,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
) -> BlockHeterogeneity:
    """The distance between each two blocks' densities of eigenvalues.

        JS(p, q)² = ½ KL(p ‖ m) + ½ KL(q ‖ m),   m = ½ (p + q),   logarithms to base 2

    of the densities smoothed by a Gaussian and put into common bins. Zhang, Chen, Ding, Li,
    Sun, Luo, "Why Transformers Need Adam: A Hessian Perspective", NeurIPS 2024, arXiv
    2402.16788, found its mean over blocks to go with the gap between SGD and Adam. The choices
    of axis and width are made here, and distances compare only under the same ones.

    A block of at most 256 rows, or of no more rows than its probes have steps, is
    computed whole. Of others the density is that of `spectral_density`, and ``noise`` says how
    large a distance its random probes make by themselves.

    Args:
        op: H; symmetric, (n, n).
        blocks: name -> indices or mask, at least two; None: the layers of a `HessianOperator`.
        relative: divide each block's eigenvalues by its largest |λ| first, so that
            shapes are compared, and not scales.
        axis: "linear", or "log": eigenvalues are compared by asinh(λ/τ) with τ = 1e-6 of the
            largest |λ| of all, which is their order of magnitude with its sign. On
            the linear axis blocks that are all small beside the largest look alike.
        width: standard deviation of the Gaussian, as a share of the axis's length.
        probes, steps, seed: of the densities.

    Raises:
        ValueError: fewer than two blocks, or an impossible axis or width.
        TypeError: no blocks, and an operator that knows no layers.

    Example:

    >>> block_heterogeneity(hessian).mean  # doctest: +SKIP
    0.41
    """
    if axis not in ("linear", "log"):
        raise ValueError(f"axis must be 'linear' or 'log'. Received: {axis=}")
    if not 0.0 < width < 1.0:
        raise ValueError(f"width must lie between 0 and 1. Received: {width=}")
    chosen = _layers(op) if blocks is None else dict(blocks)
    if len(chosen) < 2:
        raise ValueError(f"Two blocks or more are compared. Received: {list(chosen)}")
    spectra = {
        name: _spectrum(RestrictedOperator(op, indices), probes, steps, seed)
        for name, indices in chosen.items()
    }
    matvecs = sum(products for *_, products in spectra.values())
    samples = [(nodes, weights) for nodes, weights, _ in spectra.values()]
    if relative:
        samples = [(nodes / (np.abs(nodes).max() or 1.0), weights) for nodes, weights in samples]
    to_axis, from_axis = _maps(axis, [nodes for nodes, _ in samples])
    samples = [(to_axis(nodes), weights) for nodes, weights in samples]
    places, sigma = _bins([nodes for nodes, _ in samples], width)
    shares = np.array([_shares(*sample, places, sigma) for sample in samples])
    halves = [[_shares(*half, places, sigma) for half in _halves(*sample)] for sample in samples]
    return BlockHeterogeneity(
        names=tuple(chosen),
        distances=np.array([[_distance(p, q) for q in shares] for p in shares]),
        noise=np.array([_distance(*pair) if len(pair) == 2 else 0.0 for pair in halves]),
        edges=from_axis(places),
        shares=shares,
        matvecs=matvecs,
        verified=is_verified(op),
    )


def _layers(op: SymmetricOperator) -> dict[str, Indices]:
    if not has_blocks(op):
        raise TypeError(
            "Layers are those of a HessianOperator: pass blocks=..., names and their indices. "
            f"Received: {type(op).__name__}"
        )
    return layer_blocks(op)


def _spectrum(
    block: RestrictedOperator, probes: int, steps: int, seed: int
) -> tuple[Array, Array, int]:
    """Nodes and weights (runs, m) of a block's density, and how many products they took."""
    n = block.shape[0]
    if n <= max(MOST_WHOLE, probes * steps):
        # A few columns at a time: the whole matrix's vectors may be long.
        columns = [block @ np.eye(n, min(16, n - k), -k) for k in range(0, n, 16)]
        matrix = np.hstack(columns)
        values = np.asarray(np.linalg.eigvalsh((matrix + matrix.T) / 2)[None], np.float64)
        return values, np.full((1, n), 1.0 / n), n
    found = spectral_density(block, probes=probes, steps=steps, grid=2, seed=seed)
    return found.nodes, found.weights, found.matvecs


def _halves(nodes: Array, weights: Array) -> list[tuple[Array, Array]]:
    """Every other probe, and the rest; one part where there is one run."""
    if len(nodes) < 2:
        return [(nodes, weights)]
    return [(nodes[k::2], weights[k::2]) for k in (0, 1)]


def _maps(axis: Axis, nodes: list[Array]) -> tuple[Map, Map]:
    """Eigenvalues to places on the axis, and the inverse."""
    if axis == "linear":
        return np.asarray, np.asarray
    zero = ZERO_SHARE * max(float(np.abs(n).max()) for n in nodes) or 1.0
    return lambda values: np.arcsinh(values / zero), lambda places: zero * np.sinh(places)


def _bins(nodes: list[Array], width: float) -> tuple[Array, float]:
    """Edges of the bins (BINS + 1,) and the Gaussian's deviation, on the axis."""
    low, high = min(float(n.min()) for n in nodes), max(float(n.max()) for n in nodes)
    if low == high:
        low, high = low - 0.5, high + 0.5
    sigma = width * (high - low)
    # Room for the Gaussian's tails.
    return np.linspace(low - 5.0 * sigma, high + 5.0 * sigma, BINS + 1), sigma


def _shares(nodes: Array, weights: Array, edges: Array, sigma: float) -> Array:
    """The share of each bin (BINS,), of a mixture of Gaussians around the nodes."""
    total = np.zeros(len(edges))
    heavy = weights > 0.0
    for node, weight in zip(nodes[heavy], weights[heavy], strict=True):
        total += weight * ndtr((edges - node) / sigma)
    shares = np.clip(np.diff(total), 0.0, None)
    return np.asarray(shares / shares.sum())


def _distance(p: Array, q: Array) -> float:
    # SciPy's `jensenshannon` has no bound at 0, and gives nan for rows that are all but equal.
    middle = (p + q) / 2.0
    nats = float((rel_entr(p, middle) + rel_entr(q, middle)).sum()) / 2.0
    return math.sqrt(max(nats, 0.0) / math.log(2.0))
