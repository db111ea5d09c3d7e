"""Surfaces of two coordinates: values, Hessians, critical points."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.optimize
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from stock_rnn.curvature import classify_critical_point, extreme_eigenpairs
from stock_rnn.surface.formula import Formula

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Surface:
    """A function of two coordinates, and where to look at it.

    Attributes:
        name: of the files.
        formula: f.
        start: where the optimizers begin.
        learning_rate, steps: of all of them.
        window: left, right, bottom, top of the picture.
    """

    name: str
    formula: Formula
    start: tuple[float, float]
    learning_rate: float
    steps: int
    window: tuple[float, float, float, float]

    def values(self, x: Array, y: Array) -> Array:
        """f at points, of their shape."""
        return np.asarray(self.formula(x, y).numpy(), np.float64)

    @functools.cached_property
    def scale(self) -> float:
        """The largest finite |f| on a grid in the window; 1 if there is none above 0."""
        left, right, bottom, top = self.window
        x, y = np.meshgrid(np.linspace(left, right, 21), np.linspace(bottom, top, 21))
        heights = np.abs(self.values(x, y))
        return float(heights[np.isfinite(heights)].max(initial=0.0)) or 1.0

    def at(self, point: ArrayLike) -> SurfaceOperator:
        """The Hessian and the gradient at a point (2,)."""
        return SurfaceOperator(self, np.array(point, np.float64))

    @functools.cached_property
    def graph(self) -> Any:
        """Point (2,) float64 -> value (), gradient (2,), Hessian (2, 2), as one graph."""

        def derivatives(point: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as outer:
                outer.watch(point)
                with tf.GradientTape() as inner:
                    inner.watch(point)
                    value = self.formula(point[0], point[1])
                gradient = inner.gradient(value, point, unconnected_gradients="zero")
            hessian = outer.jacobian(
                gradient, point, unconnected_gradients="zero", experimental_use_pfor=False
            )
            return value, gradient, hessian

        return tf.function(derivatives, input_signature=[tf.TensorSpec((2,), tf.float64)])


@dataclasses.dataclass
class SurfaceOperator:
    """The Hessian of a surface at a point, as the package's algorithms take it."""

    surface: Surface
    point: Array
    shape: tuple[int, int] = (2, 2)

    def __matmul__(self, vectors: Array) -> Array:
        """H v, of shape (2,) or (2, k)."""
        return self._derivatives[2] @ vectors

    def loss(self) -> float:
        """f."""
        return float(self._derivatives[0])

    def gradient(self) -> Array:
        """∇f, (2,)."""
        return self._derivatives[1]

    def loss_at(self, displacement: Array) -> float:
        """f at the point + displacement."""
        return float(self.surface.values(*(self.point + displacement)))

    def is_finite(self) -> bool:
        """Whether the value and the gradient are."""
        return bool(all(np.isfinite(part).all() for part in self._derivatives[:2]))

    @property
    def _derivatives(self) -> list[Array]:
        return [part.numpy() for part in self.surface.graph(tf.constant(self.point))]


#: The kind of a point where the gradient is zero and all curvatures are certainly positive.
MINIMUM = "minimum"


@dataclasses.dataclass(frozen=True)
class CriticalPointAt:
    """A critical point: where, how high, and of what kind.

    The kind is `MINIMUM`, or one of `classify_critical_point`.
    """

    point: Array
    value: float
    kind: str


def names_of(critical: Sequence[CriticalPointAt]) -> list[str]:
    """The kinds of critical points; the lowest of minima of several heights is named so."""
    heights = [each.value for each in critical if each.kind == MINIMUM]
    if not heights or np.isclose(min(heights), max(heights), rtol=1e-9, atol=1e-12):
        return [each.kind for each in critical]
    near = functools.partial(np.isclose, min(heights), rtol=1e-9, atol=1e-12)
    return [
        f"lowest {MINIMUM}" if each.kind == MINIMUM and near(each.value) else each.kind
        for each in critical
    ]


#: How small a gradient is none, and a curvature.
EPS, GAMMA = 1e-6, 1e-4

# Points of the grid on which the gradient is looked at, in each coordinate.
_GRID = 81
_MOST = 25  # places from which a zero of it is searched


def critical_points(surface: Surface) -> list[CriticalPointAt]:
    """The critical points in the window, from its left to its right.

    Zeros of the gradient are searched by SciPy from the points of a grid where the gradient is
    smaller than around: one that lies closer to another than the grid's points may be missed.
    Each is classified by the eigenvalues of the Hessian there.
    """
    left, right, bottom, top = surface.window
    found: list[CriticalPointAt] = []
    for start in _promising(surface):
        point = _zero_of_gradient(surface, start)
        if point is None or not (left <= point[0] <= right and bottom <= point[1] <= top):
            continue
        if all(np.linalg.norm(point - each.point) > 1e-3 for each in found):
            found.append(_classified(surface, point))
    return sorted(found, key=lambda each: tuple(each.point.round(6)))


def _promising(surface: Surface) -> Array:
    """(k, 2): the points of a grid where the gradient is smaller than around."""
    left, right, bottom, top = surface.window
    x, y = np.meshgrid(np.linspace(left, right, _GRID), np.linspace(bottom, top, _GRID))
    points = [tf.constant(x), tf.constant(y)]
    with tf.GradientTape() as tape:
        tape.watch(points)
        values = surface.formula(*points)
    slopes = tape.gradient(values, points, unconnected_gradients="zero")
    sizes = np.nan_to_num(np.hypot(*(slope.numpy() for slope in slopes)), nan=np.inf)
    lowest = (sizes == scipy.ndimage.minimum_filter(sizes, 3)) & np.isfinite(sizes)
    # Where the surface is flat, all of them are.
    smallest = np.argsort(sizes[lowest], kind="stable")[:_MOST]
    return np.stack([x[lowest], y[lowest]], axis=1)[smallest]


def _zero_of_gradient(surface: Surface, start: Array) -> Array | None:
    """The zero of the gradient that a search from a point ends at; None where it does not."""

    def gradient(point: Array) -> tuple[Array, Array]:
        _, slope, curvature = surface.graph(tf.constant(point))
        return slope.numpy(), curvature.numpy()

    with np.errstate(all="ignore"):
        if not all(np.isfinite(part).all() for part in gradient(start)):
            return None
        answer = scipy.optimize.root(gradient, start, jac=True, tol=1e-12)
        slope = gradient(answer.x)[0]
    # Not `answer.success`: where the Hessian is zero too it reports failure.
    return answer.x if np.linalg.norm(slope) <= EPS else None


def _classified(surface: Surface, point: Array) -> CriticalPointAt:
    operator = surface.at(point)
    norm = float(np.linalg.norm(operator.gradient()))
    extremes = extreme_eigenpairs(operator, tol=1e-6)
    kind = classify_critical_point(norm, extremes, eps=EPS, gamma=GAMMA).kind
    if extremes.lambda_min - extremes.residual_min - extremes.rounding > GAMMA and norm <= EPS:
        kind = MINIMUM
    return CriticalPointAt(point, operator.loss(), kind)


#: The surfaces that have a name. The first is the lecture's: the global minimum on the left, a
#: local one on the right, a saddle between.
SURFACES = {
    surface.name: surface
    for surface in (
        Surface(
            name="two-minima",
            formula=Formula("(x**2 - 1)**2 + 0.3*x + y**2"),
            start=(1.9, 1.6),
            learning_rate=0.02,
            steps=200,
            window=(-2.1, 2.1, -1.9, 1.9),
        ),
        Surface(
            name="saddle",
            formula=Formula("x**2 - y**2 + 0.25*y**4"),
            start=(1.5, 0.001),
            learning_rate=0.03,
            steps=200,
            window=(-2.0, 2.0, -2.2, 2.2),
        ),
        Surface(
            name="monkey-saddle",
            formula=Formula("x**3 - 3*x*y**2 + 0.2*(x**2 + y**2)**2"),
            start=(0.9, 0.01),
            learning_rate=0.01,
            steps=200,
            window=(-5.0, 3.5, -4.5, 4.5),
        ),
        Surface(
            name="rosenbrock",
            formula=Formula("(1 - x)**2 + 100*(y - x**2)**2"),
            start=(-1.2, 1.0),
            learning_rate=0.001,
            steps=400,
            window=(-2.0, 2.0, -1.0, 3.0),
        ),
        Surface(
            name="beale",
            formula=Formula(
                "(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2"
            ),
            start=(1.0, 1.5),
            learning_rate=0.002,
            steps=600,
            window=(-1.0, 4.5, -1.5, 2.5),
        ),
    )
}


def surface_of(text: str) -> Surface:
    """The surface of a formula of one's own.

    Raises:
        UserError: it is no formula.
    """
    return Surface(
        name="formula",
        formula=Formula(text),
        start=(1.5, 1.0),
        learning_rate=0.02,
        steps=200,
        window=(-2.0, 2.0, -2.0, 2.0),
    )
