"""The landscape around a trained run: numbers, pictures and a page."""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn.curvature import figures
from stock_rnn.curvature.algorithms.extreme import ExtremeEigenpairs, extreme_eigenpairs
from stock_rnn.curvature.analysis.landscape import (
    LossSlice,
    loss_along,
    losses_at,
    telling_distance,
)
from stock_rnn.curvature.analysis.planes import (
    LossSegment,
    filter_normalized,
    loss_between,
    loss_on_plane,
    path_plane,
)
from stock_rnn.curvature.operators.blocks import filter_blocks, flat_weights
from stock_rnn.curvature.operators.hessian import HessianOperator
from stock_rnn.errors import UserError
from stock_rnn.files import write_arrays
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.forecasting.spectra import training_loss
from stock_rnn.landscape import pictures
from stock_rnn.landscape.page import refuse_without_plotly, write_page
from stock_rnn.landscape.permutations import Units
from stock_rnn.landscape.pictures import View
from stock_rnn.plots import write_svg_and_png
from stock_rnn.training.runs.kept_weights import kept_epochs, read_weights

_log = logging.getLogger("stock_rnn.landscape.describe")

Array = NDArray[np.float64]

#: The most weights of a network whose landscape is drawn: a surface of more takes hours.
MOST_WEIGHTS = 2_000_000

_SLICE_POINTS = 61

# How much wider than the path its plane is drawn, on each side.
_MARGIN = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be drawn.

    Attributes:
        planes: among `PLANES`; None: all that there are weights for.
        grid: points of a plane in each coordinate, odd, so that the run is one of them.
        distance: how far along random directions, in lengths of the filters.
        seed: of the directions and the permutation.
        html: whether the page with the surfaces is written.
    """

    planes: Sequence[str] | None = None
    grid: int = 51
    distance: float = 1.0
    seed: int = 0
    html: bool = True


@dataclasses.dataclass(frozen=True)
class _Place:
    """A trained network with its loss: what all parts of the landscape start from."""

    forecaster: Forecaster
    loss: HessianOperator
    weights: Array  # (n,)
    request: Request

    @classmethod
    def of(cls, forecaster: Forecaster, request: Request) -> _Place:
        loss = training_loss(forecaster)
        return cls(forecaster, loss, flat_weights(loss.variables), request)


def describe_landscape(
    forecaster: Forecaster, request: Request, other: Forecaster | None = None
) -> tuple[list[str], list[Path]]:
    """Measure and draw the loss around a run's weights, and between them and others.

    The loss is that of `training_loss`. Files go into the run's folder, `landscape/`; those of
    the best epoch's model into `best/landscape/`.

    Args:
        forecaster: the run and its model.
        request: what is drawn.
        other: another run of the same network; the line to it is drawn before and after its
            units are aligned.

    Returns:
        Lines for the terminal, and the files written.

    Raises:
        UserError: the network is too large, the other is not of its shape or its units are not
            known, no weights were kept for the path, plotly is missing, the run's files are
            damaged, or its folder cannot be written.
    """
    if request.html:
        refuse_without_plotly()
    if (count := forecaster.model.count_params()) > MOST_WEIGHTS:
        raise UserError(
            f"landscape is for networks of up to {MOST_WEIGHTS:,} weights, and this one has "
            f"{count:,}"
        )
    kept = _path_of(forecaster, request)
    names = _planes_of(request, kept)
    if other is not None:
        _refuse_other_shape(forecaster, other)
    place = _Place.of(forecaster, request)
    title = forecaster.title
    lines = [
        f"{len(place.weights):,} weights, {place.loss.examples:,} training examples, "
        f"loss {place.loss.loss():.4g}"
    ]
    drawn: dict[str, Figure] = {}
    for name, (more, segments) in _segments(place, other).items():
        lines += more
        drawn[name] = pictures.segments_figure(segments, title=title)
    directions = random_directions(place.loss, place.weights, request.seed)
    extremes = extreme_eigenpairs(place.loss, tol=1e-3)
    drawn["slices"] = figures.slices_figure(
        _slices(place, directions, extremes), title=f"Loss along lines: {title}"
    )
    views = {}
    for name in names:
        if name == "random":
            views[name] = _random_view(place, directions)
        elif name == "eigen":
            views[name] = _eigen_view(place, extremes)
        elif kept is not None:
            views[name], line = _path_view(place, *kept)
            lines.append(line)
        drawn[f"plane_{name}"] = pictures.plane_figure(views[name], title=title)
    return lines, _write(place, drawn, views)


def random_directions(loss: HessianOperator, weights: Array, seed: int) -> Array:
    """Two random directions, filter-normalized: (2, n).

    Args:
        loss: whose weights they are.
        weights: (n,).
        seed: the same one gives the same directions.
    """
    normal = np.random.default_rng(seed).standard_normal((2, len(weights)))
    filters = filter_blocks(loss)
    return np.stack([filter_normalized(weights, each, filters) for each in normal])


def _path_of(forecaster: Forecaster, request: Request) -> tuple[NDArray[np.int64], Array] | None:
    """Epochs and weights of the training's path, to the model's own weights; None: not drawn.

    Raises:
        UserError: it was asked for, and there is none.
    """
    asked = request.planes is not None and "path" in request.planes
    if not asked and (request.planes is not None or not kept_epochs(forecaster.run.weights)):
        return None
    if forecaster.which != "last":
        if asked:
            raise UserError("the path leads to the last epoch's model: leave out --model best")
        return None
    end = flat_weights(forecaster.model.trainable_variables)
    epochs, weights = read_weights(forecaster.run, len(end))
    if len(epochs) < 3:
        raise UserError(
            f"run {forecaster.run.folder} kept the weights of {len(epochs)} epochs, and a path "
            "needs 3: train it for more, or leave out --planes path"
        )
    # Early stopping may have ended it between two epochs that were kept.
    if (weights[-1] != end).any():
        return epochs, np.concatenate([weights, end[None]])
    return epochs, weights.astype(np.float64)


def _planes_of(request: Request, kept: object) -> list[str]:
    names = ["random", "eigen"] if request.planes is None else list(request.planes)
    return names + ["path"] * (request.planes is None and kept is not None)


def _refuse_other_shape(forecaster: Forecaster, other: Forecaster) -> None:
    """Refuse another run that has other weights.

    Raises:
        UserError: it has.
    """
    if other.run.folder.resolve() == forecaster.run.folder.resolve():
        raise UserError(f"--with must name another run than {forecaster.run.name}")
    ours, theirs = (_shapes(each) for each in (forecaster, other))
    if ours != theirs:
        raise UserError(
            f"--with {other.run.name}: its network is {_words(other)}, and that of "
            f"{forecaster.run.name} is {_words(forecaster)}; the line between them needs weights "
            "of the same shapes"
        )


def _shapes(forecaster: Forecaster) -> list[tuple[str, tuple[int, ...]]]:
    config = forecaster.config
    inputs = ("input", (config.num_steps, config.input_size))
    variables = forecaster.model.trainable_variables
    return [inputs, *((config.cell, tuple(v.shape)) for v in variables)]


def _words(forecaster: Forecaster) -> str:
    c = forecaster.config
    return f"{c.num_layers} x {c.lstm_size} {c.cell} on {c.num_steps} windows of {c.input_size}"


def _segments(
    place: _Place, other: Forecaster | None
) -> dict[str, tuple[list[str], dict[str, LossSegment]]]:
    """Name of the picture -> lines for the terminal, and the loss to other weights."""
    try:
        units = Units(place.forecaster.model)
    except UserError as error:
        if other is not None:
            raise
        # All else of the landscape needs no units.
        _log.info("%s", error)
        return {}
    found = {"permuted": _permuted(place, units)}
    if other is not None:
        found["aligned"] = _aligned(place, units, other)
    return found


def _permuted(place: _Place, units: Units) -> tuple[list[str], dict[str, LossSegment]]:
    rng = np.random.default_rng([place.request.seed, 1])
    layer = len(units.sizes) - 1
    orders = {"all units permuted": units.random_orders(rng)}
    if units.sizes[layer] > 1:
        one, other = rng.choice(units.sizes[layer], 2, replace=False)
        orders["two units of the last layer exchanged"] = units.exchange(layer, one, other)
    segments = {
        name: loss_between(place.loss, units.permuted(place.weights, order) - place.weights)
        for name, order in orders.items()
    }
    return [_sentence(name, segment) for name, segment in segments.items()], segments


def _aligned(
    place: _Place, units: Units, other: Forecaster
) -> tuple[list[str], dict[str, LossSegment]]:
    theirs = flat_weights(other.model.trainable_variables)
    orders = units.aligned(place.weights, theirs)
    ways = {
        f"to {other.run.name}": theirs - place.weights,
        "its units aligned": units.permuted(theirs, orders) - place.weights,
    }
    segments = {name: loss_between(place.loss, step) for name, step in ways.items()}
    before, after = (float(np.linalg.norm(step)) for step in ways.values())
    lines = [_sentence(name, segment) for name, segment in segments.items()]
    return [*lines, f"distance of the weights {before:.4g}, aligned {after:.4g}"], segments


def _sentence(name: str, segment: LossSegment) -> str:
    """The ends, the barrier, and whether the average is worse than both ends."""
    start, end = float(segment.losses[0]), float(segment.losses[-1])
    worse = "worse than both" if segment.average > max(start, end) else "not worse than both"
    return (
        f"{name}: loss {start:.4g} and {end:.4g} (relative difference "
        f"{abs(end - start) / start if start else math.nan:.1g}), of their average "
        f"{segment.average:.4g}, {worse}; barrier {segment.barrier:.3g}"
    )


def _slices(place: _Place, directions: Array, extremes: ExtremeEigenpairs) -> dict[str, LossSlice]:
    found = {}
    unit = np.linspace(-1.0, 1.0, _SLICE_POINTS)
    for number, direction in enumerate(directions, 1):
        reach = place.request.distance * float(np.linalg.norm(direction))
        found[f"random {number}"] = loss_along(place.loss, direction, reach * unit)
    for name, vector, reach in _ends(place, extremes):
        found[name] = loss_along(place.loss, vector, reach * unit)
    return found


def _ends(place: _Place, extremes: ExtremeEigenpairs) -> list[tuple[str, Array, float]]:
    """Name, eigenvector and how far to look along it, of both ends of the Hessian."""
    loss = place.loss.loss()
    pairs = zip(("v_min", "v_max"), extremes.vectors.T, extremes.eigenvalues, strict=True)
    return [(name, vector, telling_distance(loss, value)) for name, vector, value in pairs]


def _random_view(place: _Place, directions: Array) -> View:
    reach = place.request.distance
    labels = [f"random direction {number}, in lengths of the filters" for number in (1, 2)]
    return _view(place, "random", directions, [(-reach, reach)] * 2, labels)


def _eigen_view(place: _Place, extremes: ExtremeEigenpairs) -> View:
    ends = _ends(place, extremes)
    labels = [
        f"distance along {name}, of λ = {value:.3g}"
        for (name, _, _), value in zip(ends, extremes.eigenvalues, strict=True)
    ]
    windows = [(-reach, reach) for _, _, reach in ends]
    return _view(place, "eigen", np.stack([vector for _, vector, _ in ends]), windows, labels)


def _path_view(place: _Place, epochs: NDArray[np.int64], weights: Array) -> tuple[View, str]:
    """The plane of the training's path, and a line on how much of the path is on it.

    Raises:
        UserError: the path is a line.
    """
    try:
        found = path_plane(weights)
    except ValueError as error:
        raise UserError(f"{error} Leave out --planes path") from error
    windows = []
    for along in found.coordinates.T:
        margin = _MARGIN * float(np.ptp(along))
        windows.append((float(along.min()) - margin, float(along.max()) + margin))
    labels = [
        f"principal direction {number}, {share:.0%} of the path's variance"
        for number, share in enumerate(found.shares, 1)
    ]
    view = _view(place, "path", found.directions, windows, labels)
    losses = losses_at(place.loss, weights - place.weights)
    # Where early stopping added the model's own weights, they are of no epoch that was kept.
    shown = slice(0, len(epochs))
    path = pictures.Path(epochs, found.coordinates[shown], losses[shown])
    on_plane = losses_at(place.loss, found.coordinates @ found.directions)
    apart = float(np.max(np.abs(on_plane - losses) / losses))
    line = (
        f"path of {len(epochs)} epochs: {found.shares.sum():.1%} of its variance is on the plane; "
        f"there its losses differ from the true ones by up to {apart:.0%}"
    )
    return dataclasses.replace(view, path=path), line


def _view(
    place: _Place,
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


def _write(place: _Place, drawn: dict[str, Figure], views: dict[str, View]) -> list[Path]:
    forecaster = place.forecaster
    folder = forecaster.folder_in(forecaster.run.folder) / "landscape"
    arrays: dict[str, Any] = {}
    for name, view in views.items():
        arrays |= {f"{name}_{part}": getattr(view.plane, part) for part in ("x", "y", "losses")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / "landscape.npz"]
        write_arrays(files[0], arrays)
        for name, figure in drawn.items():
            files += write_svg_and_png(folder / name, figure)
        if place.request.html:
            files.append(folder / "surface.html")
            write_page(files[-1], views, title=forecaster.title)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    return files
