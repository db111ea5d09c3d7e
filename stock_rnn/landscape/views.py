"""The loss along lines and on planes through a run's weights."""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Sequence

import numpy as np
import tqdm
from numpy.typing import NDArray

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.analysis.landscape import (
    LossSlice,
    loss_along,
    losses_at,
    telling_distance,
)
from stock_rnn.curvature.analysis.planes import PathPlane, loss_on_plane, path_plane
from stock_rnn.curvature.operators.blocks import flat_weights
from stock_rnn.errors import UserError
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.landscape.pictures import TrainingPath, View
from stock_rnn.landscape.place import Array, Place, Request
from stock_rnn.training.runs.kept_weights import kept_epochs, read_weights

_log = logging.getLogger("stock_rnn.landscape.views")

_SLICE_POINTS = 61

# How much wider than the path its plane is drawn, on each side.
_MARGIN = 0.3


@dataclasses.dataclass(frozen=True)
class KeptPath:
    """The weights that a training kept, and the model's own at the end."""

    epochs: NDArray[np.int64]  # (k,)
    weights: Array  # (k, n); (k + 1, n) where the model's own are of no epoch that was kept
    plane: PathPlane


def kept_path(forecaster: Forecaster, request: Request) -> KeptPath | None:
    """The path of a run's training, if it is to be drawn.

    Returns:
        None if the request has planes and not this one, or has none and the run has no path.

    Raises:
        UserError: it was asked for and there is none; or the kept weights are damaged.
    """
    asked = request.planes is not None and "path" in request.planes
    if not asked and (request.planes is not None or not kept_epochs(forecaster.run.weights)):
        return None
    try:
        return _path_to(forecaster)
    except _NoPathError as error:
        if asked:
            raise UserError(f"{error}; leave out --planes path") from error
        _log.info("%s: the path is not drawn", error)
        return None


class _NoPathError(Exception):
    """Weights were kept, and they make no path to be drawn."""


def _path_to(forecaster: Forecaster) -> KeptPath:
    if forecaster.which != "last":
        raise _NoPathError("the path leads to the last epoch's model, and not to --model best")
    end = flat_weights(forecaster.model.trainable_variables)
    epochs, weights = read_weights(forecaster.run, len(end))
    path = weights.astype(np.float64)
    if len(path) < 3:
        raise _NoPathError(
            f"run {forecaster.run.folder} kept the weights of {len(path)} epochs, and a path "
            "needs 3"
        )
    # Early stopping may have ended it between two epochs that were kept.
    if (path[-1] != end).any():
        path = np.concatenate([path, end[None]])
    try:
        return KeptPath(epochs, path, path_plane(path))
    except ValueError as error:
        raise _NoPathError(f"run {forecaster.run.folder}: {str(error).rstrip('.')}") from error


def slices_of(place: Place, directions: Array, extremes: ExtremeEigenpairs) -> dict[str, LossSlice]:
    """The loss along random directions and both outermost eigenvectors.

    Args:
        place: through which the lines lead.
        directions: (k, n), as `random_directions` gives them.
        extremes: of the Hessian at the place.

    Returns:
        The direction's name -> the loss along it.
    """
    found = {}
    unit = np.linspace(-1.0, 1.0, _SLICE_POINTS)
    for number, direction in enumerate(directions, 1):
        reach = place.request.distance * float(np.linalg.norm(direction))
        found[f"random {number}"] = loss_along(place.loss, direction, reach * unit)
    for name, vector, reach in _ends(place, extremes):
        found[name] = loss_along(place.loss, vector, reach * unit)
    return found


def _ends(place: Place, extremes: ExtremeEigenpairs) -> list[tuple[str, Array, float]]:
    """Name, eigenvector and how far to look along it, of both ends of the Hessian."""
    loss = place.loss.loss()
    pairs = zip(("v_min", "v_max"), extremes.vectors.T, extremes.eigenvalues, strict=True)
    return [(name, vector, telling_distance(loss, value)) for name, vector, value in pairs]


def random_view(place: Place, directions: Array) -> View:
    """The plane through two random directions, (2, n)."""
    reach = place.request.distance
    labels = [f"random direction {number}, in lengths of the filters" for number in (1, 2)]
    return _view(place, "random", directions, [(-reach, reach)] * 2, labels)


def eigen_view(place: Place, extremes: ExtremeEigenpairs) -> View:
    """The plane through the eigenvectors of λ_min and λ_max."""
    ends = _ends(place, extremes)
    labels = [
        f"distance along {name}, of λ = {value:.3g}"
        for (name, _, _), value in zip(ends, extremes.eigenvalues, strict=True)
    ]
    windows = [(-reach, reach) for _, _, reach in ends]
    return _view(place, "eigen", np.stack([vector for _, vector, _ in ends]), windows, labels)


def path_view(place: Place, path: KeptPath) -> tuple[View, str]:
    """The plane of the training's path, and a line on how much of the path is on it."""
    found = path.plane
    windows = []
    for along in found.coordinates.T:
        margin = _MARGIN * float(np.ptp(along))
        windows.append((float(along.min()) - margin, float(along.max()) + margin))
    labels = [
        f"principal direction {number}, {share:.0%} of the path's variance"
        for number, share in enumerate(found.shares, 1)
    ]
    view = _view(place, "path", found.directions, windows, labels)
    losses = losses_at(place.loss, path.weights - place.weights)
    shown = slice(0, len(path.epochs))
    drawn = TrainingPath(path.epochs, found.coordinates[shown], losses[shown])
    on_plane = losses_at(place.loss, found.coordinates @ found.directions)
    apart = float(np.max(np.abs(on_plane - losses) / losses))
    line = (
        f"path of {len(path.epochs)} epochs: {found.shares.sum():.1%} of its variance is on the "
        f"plane; there its losses differ from the true ones by up to {apart:.0%}"
    )
    return dataclasses.replace(view, path=drawn), line


def _view(
    place: Place,
    name: str,
    directions: Array,
    windows: Sequence[tuple[float, float]],
    labels: Sequence[str],
) -> View:
    grid = place.request.grid
    x, y = (np.linspace(*window, grid) for window in windows)
    began = time.monotonic()
    with tqdm.tqdm(total=grid**2, desc=name, unit="point", disable=not sys.stderr.isatty()) as bar:
        first, second = directions
        plane = loss_on_plane(place.loss, first, second, x, y, watch=bar.update)
    _log.info("plane %s: %s points in %.1f s", name, f"{grid**2:,}", time.monotonic() - began)
    if not np.isfinite(plane.losses).any():
        raise UserError(f"the loss is not finite on the plane {name}: lower --distance")
    return View(plane, place.loss.loss(), xlabel=labels[0], ylabel=labels[1])
