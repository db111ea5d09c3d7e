"""The landscape around a trained run: numbers, pictures and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn.curvature import figures
from stock_rnn.curvature.algorithms.extreme import extreme_eigenpairs
from stock_rnn.errors import UserError
from stock_rnn.files import write_arrays
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.landscape import PLANES, pictures
from stock_rnn.landscape.page import refuse_without_plotly, write_page
from stock_rnn.landscape.pictures import View
from stock_rnn.landscape.place import Place, Request, random_directions
from stock_rnn.landscape.segments import refuse_other_shape, segments_of
from stock_rnn.landscape.views import eigen_view, kept_path, path_view, random_view, slices_of
from stock_rnn.plots import write_svg_and_png

#: The most weights of a network whose landscape is drawn: a surface of more takes hours.
MOST_WEIGHTS = 2_000_000


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
    path = kept_path(forecaster, request)
    if other is not None:
        refuse_other_shape(forecaster, other)
    place = Place.of(forecaster, request)
    title = forecaster.title
    lines = [
        f"{len(place.weights):,} weights, {place.loss.examples:,} training examples, "
        f"loss {place.loss.loss():.4g}"
    ]
    drawn: dict[str, Figure] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for name, (more, segments) in segments_of(place, other).items():
        lines += more
        drawn[name] = pictures.segments_figure(segments, title=title)
        arrays[f"{name}_losses"] = np.stack([each.losses for each in segments.values()])
    directions = random_directions(place.loss, place.weights, request.seed)
    extremes = extreme_eigenpairs(place.loss, tol=1e-3)
    slices = slices_of(place, directions, extremes)
    drawn["slices"] = figures.slices_figure(slices, title=f"Loss along lines: {title}")
    for of in ("distances", "losses"):
        arrays[f"slices_{of}"] = np.stack([getattr(each, of) for each in slices.values()])
    views = {}
    for name in PLANES if request.planes is None else request.planes:
        if name == "random":
            views[name] = random_view(place, directions)
        elif name == "eigen":
            views[name] = eigen_view(place, extremes)
        elif path is not None:
            views[name], line = path_view(place, path)
            lines.append(line)
    for name, view in views.items():
        drawn[f"plane_{name}"] = pictures.plane_figure(view, title=title)
        arrays |= {f"{name}_{of}": getattr(view.plane, of) for of in ("x", "y", "losses")}
        if (along := view.path) is not None:
            arrays |= {
                "path_epochs": along.epochs,
                "path_coordinates": along.coordinates,
                "path_true_losses": along.losses,
            }
    return lines, _write(forecaster, drawn, arrays, views if request.html else {})


def _write(
    forecaster: Forecaster,
    drawn: dict[str, Figure],
    arrays: dict[str, NDArray[Any]],
    surfaces: dict[str, View],
) -> list[Path]:
    folder = forecaster.folder_in(forecaster.run.folder) / "landscape"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / "landscape.npz"]
        write_arrays(files[0], arrays)
        for name, figure in drawn.items():
            files += write_svg_and_png(folder / name, figure)
        if surfaces:
            files.append(folder / "surface.html")
            write_page(files[-1], surfaces, title=forecaster.title)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    return files
