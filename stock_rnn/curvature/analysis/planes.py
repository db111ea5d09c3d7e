"""The loss on lines between weights and on planes through them: pictures of non-convexity.

Every function takes a `LossOperator`; θ is the point at which it is. A loss at many points is
asked for at once (`losses_at`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.analysis.landscape import losses_at
from stock_rnn.curvature.operators.protocol import LossOperator, dimension

Array = NDArray[np.float64]

# Points of a plane that are asked for at once: progress is told between.
_POINTS = 64

# Points whose second extent is this share of the first, or less, count as a line.
_LINE = 1e-6


@dataclass(frozen=True)
class LossSegment:
    """The loss on the straight line from θ to other weights."""

    shares: Array  # (k,): t, from 0 at θ to 1 at the other weights; 1/2 is among them
    losses: Array  # (k,): L(θ + t·step)

    @property
    def average(self) -> float:
        """The loss of the average of both weights."""
        return float(self.losses[len(self.losses) // 2])

    @property
    def barrier(self) -> float:
        """max over t of L(θ + t·step) - [(1 - t) L(θ) + t L(θ + step)]; 0 on a convex loss.

        Source: Entezari, Sedghi, Saukh, Neyshabur, "The Role of Permutation Invariance in Linear
        Mode Connectivity of Neural Networks", ICLR 2022.
        """
        chord = (1 - self.shares) * self.losses[0] + self.shares * self.losses[-1]
        return float(np.max(self.losses - chord))


def loss_between(op: LossOperator, step: Array, *, points: int = 51) -> LossSegment:
    """L(θ + t·step) for t from 0 to 1.

    Source: Goodfellow, Vinyals, Saxe, "Qualitatively characterizing neural network optimization
    problems", ICLR 2015.

    Args:
        op: the Hessian with its loss.
        step: (n,), from θ to the other weights.
        points: odd, at least 3: the middle is the average.

    Raises:
        ValueError: a step of another shape, or another number of points.
    """
    _check_shape(op, step)
    if points < 3 or points % 2 == 0:
        raise ValueError(f"points must be odd and at least 3. Received: points={points}")
    shares = np.linspace(0.0, 1.0, points)
    return LossSegment(shares, losses_at(op, shares[:, None] * step))


@dataclass(frozen=True)
class LossPlane:
    """The loss on a plane through θ."""

    x: Array  # (k,): along the first direction, in units of it
    y: Array  # (m,): along the second direction
    losses: Array  # (m, k): L(θ + x·first + y·second)


def loss_on_plane(
    op: LossOperator,
    first: Array,
    second: Array,
    x: Array,
    y: Array,
    *,
    watch: Callable[[int], object] = lambda done: None,
) -> LossPlane:
    """L(θ + x·first + y·second) on a grid; the directions keep their lengths.

    Source: Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape of Neural Nets",
    NeurIPS 2018.

    Args:
        op: the Hessian with its loss.
        first, second: (n,).
        x, y: (k,) and (m,).
        watch: told how many points were done since it was told last.

    Raises:
        ValueError: directions of another shape.
    """
    _check_shape(op, first)
    _check_shape(op, second)
    coordinates = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    directions = np.stack([first, second])
    parts = []
    for start in range(0, len(coordinates), _POINTS):
        part = coordinates[start : start + _POINTS]
        parts.append(losses_at(op, part @ directions))
        watch(len(part))
    losses = np.concatenate(parts).reshape(len(y), len(x))
    return LossPlane(np.asarray(x, np.float64), np.asarray(y, np.float64), losses)


def filter_normalized(
    weights: Array, direction: Array, filters: Sequence[NDArray[np.integer]]
) -> Array:
    """d_f ← d_f / ‖d_f‖ · ‖θ_f‖ for each filter f; zero at all weights that are in none.

    A step of a given length then means the same for each filter. Biases are in no filter and stay
    as they are, as in the code that was published with the paper (``--xignore biasbn``).

    Source: Li et al. 2018 (as `loss_on_plane`).

    Args:
        weights: θ, (n,).
        direction: d, (n,), such as a standard normal one.
        filters: the indices of each, as `filter_blocks` gives them.
    """
    scaled = np.zeros_like(weights, np.float64)
    for of in filters:
        norm = float(np.linalg.norm(direction[of]))
        if norm > 0.0:
            scaled[of] = direction[of] / norm * np.linalg.norm(weights[of])
    return scaled


@dataclass(frozen=True)
class PathPlane:
    """The plane through the end of a path that shows most of it."""

    directions: Array  # (2, n), orthonormal
    coordinates: Array  # (k, 2): of the path's points projected onto the plane; (0, 0) at its end
    shares: Array  # (2,): of the path's variance along each, descending


def path_plane(path: Array) -> PathPlane:
    """The first two principal directions of a path's points, and the path in these coordinates.

    Their signs are such that the first point's coordinates are not positive.

    The principal directions are those of the points' differences to the last one, their mean taken
    off; the plane goes through the last point.

    Source: Li et al. 2018 (as `loss_on_plane`).

    Args:
        path: (k, n), k >= 3: weights, in order.

    Raises:
        ValueError: fewer points, or points that lie on one line or in one place.
    """
    points = np.asarray(path, np.float64)
    if points.ndim != 2 or len(points) < 3:
        raise ValueError(f"A path needs at least 3 points. Received: shape={points.shape}")
    from_mean = points - points.mean(0)
    # By the small matrix (k, k) of the points' products: n may be millions.
    products = from_mean @ from_mean.T
    squares, combinations = np.linalg.eigh(products)
    largest, second = squares[-1], squares[-2]
    if second <= _LINE**2 * largest or largest <= 0.0:
        raise ValueError("The path's points lie on one line: they have no plane.")
    directions = (combinations[:, :-3:-1].T @ from_mean) / np.sqrt([[largest], [second]])
    # An eigenvector has no sign of its own: the path begins at the lower left of its end.
    directions *= np.where(directions @ (points[0] - points[-1]) > 0.0, -1.0, 1.0)[:, None]
    shares = np.array([largest, second]) / np.trace(products)
    return PathPlane(directions, (points - points[-1]) @ directions.T, shares)


def _check_shape(op: LossOperator, vector: Array) -> None:
    if np.shape(vector) != (dimension(op),):
        raise ValueError(
            f"Directions must be ({dimension(op)},). Received: shape={np.shape(vector)}"
        )
