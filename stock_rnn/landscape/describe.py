"""The landscape around a trained run: numbers, pictures and a page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature import figures
from stock_rnn.curvature.algorithms.extreme import extreme_eigenpairs
from stock_rnn.curvature.analysis.landscape import LossSlice
from stock_rnn.curvature.analysis.planes import LossSegment
from stock_rnn.errors import UserError
from stock_rnn.files import write_arrays
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.landscape import PLANES, pictures
from stock_rnn.landscape.page import refuse_without_plotly, write_page
from stock_rnn.landscape.pictures import View
from stock_rnn.landscape.place import Place, Request, random_directions
from stock_rnn.landscape.segments import refuse_other_shape, segments_of
from stock_rnn.landscape.views import (
    KeptPath,
    eigen_view,
    kept_path,
    path_view,
    random_view,
    slices_of,
)
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
        UserError: a network has an embedding of stocks, or is too large, the other is not of its
            shape or its units are not known, no weights were kept for the path, plotly is
            missing, the run's files are damaged, or its folder cannot be written.
    """
    path = _checked_path(forecaster, request, other)
    folder = forecaster.folder_in(forecaster.run.folder) / "landscape"
    with _writing_to(folder):
        # Now, and not when all is computed.
        folder.mkdir(parents=True, exist_ok=True)
    place = Place.of(forecaster, request)
    segments = segments_of(place, other)
    directions = random_directions(place.loss, place.weights, request.seed)
    extremes = extreme_eigenpairs(place.loss, tol=1e-3)
    slices = slices_of(place, directions, extremes)
    lines = [
        f"{len(place.weights):,} weights, {place.loss.examples:,} training examples, "
        f"loss {place.loss.loss():.4g}",
        *(line for more, _ in segments.values() for line in more),
    ]
    views: dict[str, View] = {}
    for name in PLANES if request.planes is None else request.planes:
        if name == "random":
            views[name] = random_view(place, directions)
        elif name == "eigen":
            views[name] = eigen_view(place, extremes)
        elif path is not None:
            views[name], line = path_view(place, path)
            lines.append(line)
    lines_of = {name: found for name, (_, found) in segments.items()}
    return lines, _write(folder, lines_of, slices, views, forecaster.title, html=request.html)


def _checked_path(
    forecaster: Forecaster, request: Request, other: Forecaster | None
) -> KeptPath | None:
    """The path that is to be drawn, once nothing speaks against drawing."""
    for each in (forecaster, other):
        if each is not None and each.config.embedded:
            raise UserError(
                f"{each.run.folder} has an embedding of stocks, which landscape does not know"
            )
    if request.html:
        refuse_without_plotly()
    if (count := forecaster.model.count_params()) > MOST_WEIGHTS:
        raise UserError(
            f"landscape is for networks of up to {MOST_WEIGHTS:,} weights, and this one has "
            f"{count:,}"
        )
    if other is not None:
        refuse_other_shape(forecaster, other)
    return kept_path(forecaster, request)


def _write(
    folder: Path,
    segments: Mapping[str, Mapping[str, LossSegment]],
    slices: Mapping[str, LossSlice],
    views: Mapping[str, View],
    title: str,
    *,
    html: bool,
) -> list[Path]:
    """Draw the pictures; write them, their numbers and the page."""
    drawn = {name: pictures.segments_figure(of, title=title) for name, of in segments.items()}
    drawn["slices"] = figures.slices_figure(slices, title=f"Loss along lines: {title}")
    drawn |= {f"plane_{name}": pictures.plane_figure(of, title=title) for name, of in views.items()}
    files = [folder / "landscape.npz"]
    with _writing_to(folder):
        write_arrays(files[0], _numbers(segments, slices, views))
        for name, figure in drawn.items():
            files += write_svg_and_png(folder / name, figure)
        if html:
            files.append(folder / "surface.html")
            write_page(files[-1], views, title=title)
    return files


def _numbers(
    segments: Mapping[str, Mapping[str, LossSegment]],
    slices: Mapping[str, LossSlice],
    views: Mapping[str, View],
) -> dict[str, NDArray[Any]]:
    """What the pictures show, by "picture_what"; lines of one picture are rows."""
    found: dict[str, NDArray[Any]] = {}
    for name, of in segments.items():
        found[f"{name}_losses"] = np.stack([each.losses for each in of.values()])
    for what in ("distances", "losses"):
        found[f"slices_{what}"] = np.stack([getattr(each, what) for each in slices.values()])
    for name, view in views.items():
        found |= {f"{name}_{what}": getattr(view.plane, what) for what in ("x", "y", "losses")}
        if (path := view.path) is not None:
            found |= {
                f"{name}_epochs": path.epochs,
                f"{name}_coordinates": path.coordinates,
                f"{name}_true_losses": path.losses,
            }
    return found


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while files are written into one line.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
