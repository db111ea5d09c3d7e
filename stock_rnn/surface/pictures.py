"""A still and an animation of optimizers on a surface."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.animation
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write
from stock_rnn.surface.surfaces import CriticalPointAt, Surface, names_of

Array = NDArray[np.float64]

#: Optimizer -> its colour; the first five are the lecture's.
COLOURS = {
    "gd": "cyan",
    "momentum": "magenta",
    "adagrad": "white",
    "rmsprop": "limegreen",
    "adam": "blue",
    "sgd": "darkcyan",
    "nesterov": "purple",
    "rmsprop-tf1": "darkgreen",
    "newton": "red",
    "saddle-free-newton": "orange",
}

#: Optimizer -> the marker on its line and at its end: colours alone are not told by all readers.
MARKERS = {
    "gd": "o",
    "momentum": "s",
    "adagrad": "D",
    "rmsprop": "^",
    "adam": "v",
    "sgd": "8",
    "nesterov": "p",
    "rmsprop-tf1": "<",
    "newton": "h",
    "saddle-free-newton": ">",
}

#: Name of a critical point (`names_of`) -> its marker, size and edge.
CRITICAL_MARKERS = {
    "lowest minimum": ("*", 19, "red"),
    "minimum": ("*", 15, "black"),
    "strict saddle": ("X", 12, "black"),
    "flat": ("s", 10, "black"),
}
_OTHER_MARKER = ("o", 10, "black")

# Widths of the lines: that of the path drawn last, and by how much others are wider at most.
_THINNEST, _WIDER = 1.8, 4

#: Format of an animation -> the writer of Matplotlib that makes it.
WRITERS = {"gif": "pillow", "mp4": "ffmpeg", "webm": "ffmpeg"}

_FRAMES, _FRAMES_PER_SECOND, _DPI = 50, 12, 70
_LEGEND_SIZE = 13  # points; at the animation's resolution about as many pixels
_POINTS = 200  # of the contours, in each coordinate


def draw(
    surface: Surface,
    paths: Mapping[str, Array],
    critical: Sequence[CriticalPointAt],
    upto: int | None = None,
) -> Figure:
    """Contours, critical points, and the paths up to a step.

    Args:
        surface: what is drawn, in its window.
        paths: optimizer -> (steps + 1, 2).
        critical: marked by their kinds.
        upto: the last step; None: all.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    _draw_surface(axes, surface, critical)
    ordered = _longest_first(paths)
    for place, (name, points) in enumerate(ordered):
        _draw_path(axes, name, points[: None if upto is None else upto + 1], place, len(ordered))
    _add_legend(axes, paths, critical)
    return figure


def _draw_path(axes: Axes, name: str, points: Array, place: int, count: int) -> None:
    """Three lines: the path, markers on it, and its end.

    Of `count` paths the one drawn first is the widest, and those after it are dashed: where they
    follow each other, all are seen.
    """
    colour, marker = COLOURS[name], MARKERS[name]
    width = _THINNEST + min(count - 1 - place, _WIDER)
    edge: list[AbstractPathEffect] = [withStroke(linewidth=width + 1.2, foreground="black")]
    dashes: Any = (0, (4, 1 + place)) if place else "-"
    axes.plot(*points.T, color=colour, lw=width, ls=dashes, path_effects=edge, zorder=3)
    # At even distances of the picture, at other places than those of the other paths.
    every = (0.1 * place / count, 0.1)
    style: dict[str, Any] = {"marker": marker, "ls": "none", "color": colour}
    axes.plot(*points.T, **style, ms=6, mec="black", mew=0.7, markevery=every, zorder=3.5)
    # Hollow: several may end at one point.
    ring: list[AbstractPathEffect] = [withStroke(linewidth=3.4, foreground="black")]
    axes.plot(*points[-1:].T, **style, ms=16, mfc="none", mew=2.0, path_effects=ring, zorder=4)


def _longest_first(paths: Mapping[str, Array]) -> list[tuple[str, Array]]:
    """Paths by their lengths: a short one is drawn over the long ones, and is seen."""
    lengths = {
        name: float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
        for name, points in paths.items()
    }
    return sorted(paths.items(), key=lambda item: -lengths[item[0]])


def _draw_surface(axes: Axes, surface: Surface, critical: Sequence[CriticalPointAt]) -> None:
    left, right, bottom, top = surface.window
    x, y = np.meshgrid(np.linspace(left, right, _POINTS), np.linspace(bottom, top, _POINTS))
    heights = surface.values(x, y)
    finite = heights[np.isfinite(heights)]
    lowest = finite.min(initial=np.inf)
    # Logarithmic above the lowest: valleys show beside steep walls.
    unit = (0.02 * float(np.median(finite - lowest)) if finite.size else 0.0) or 1.0
    shown = np.log10(np.ma.masked_invalid(heights) - lowest + unit)
    axes.imshow(
        shown,
        extent=surface.window,
        origin="lower",
        aspect="auto",
        cmap="gray",
        alpha=0.75,
        interpolation="bilinear",
    )
    if np.ptp(finite) > 0:
        axes.contour(x, y, shown, levels=20, colors="black", linewidths=0.3)
    # Above the paths, which end there.
    for each, name in zip(critical, names_of(critical), strict=True):
        axes.plot(*each.point, **_critical_style(name), zorder=5)
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y")
    axes.set_title(
        f"{textwrap.fill(surface.formula.text, 90)}\nlearning rate {surface.learning_rate:g}",
        fontsize=11,
    )


def _add_legend(
    axes: Axes, paths: Mapping[str, Array], critical: Sequence[CriticalPointAt]
) -> None:
    lines = [
        Line2D([], [], color=COLOURS[name], marker=MARKERS[name], mec="black", ms=9, lw=2.5)
        for name in paths
    ]
    names = sorted(set(names_of(critical)))
    marks = [Line2D([], [], **_critical_style(name)) for name in names]
    axes.figure.legend(
        [*lines, *marks],
        [*paths, *names],
        loc="outside right upper",
        facecolor="lightgrey",
        fontsize=_LEGEND_SIZE,
    )


def _critical_style(name: str) -> dict[str, Any]:
    marker, size, edge = CRITICAL_MARKERS.get(name, _OTHER_MARKER)
    return {"marker": marker, "ms": size, "mec": edge, "mew": 1.3, "color": "gold", "ls": "none"}


def refuse_format(kind: str) -> None:
    """Refuse a format of animations whose writer is not installed.

    Raises:
        UserError: it is not.
    """
    with _found_ffmpeg():
        available = matplotlib.animation.writers.is_available(WRITERS[kind])
    if not available:
        raise UserError(
            f"--format {kind} needs the program {WRITERS[kind]}: install it, or pip install "
            "'stock_rnn[video]', which has it, or take gif"
        )


@contextlib.contextmanager
def _found_ffmpeg() -> Iterator[None]:
    """Let Matplotlib find ffmpeg: the system's, else that of imageio-ffmpeg, if there is one."""
    path = mpl.rcParams["animation.ffmpeg_path"]
    if shutil.which(path) is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        # It raises where the package was installed without its program.
        with contextlib.suppress(RuntimeError):
            path = imageio_ffmpeg.get_ffmpeg_exe()
    with mpl.rc_context({"animation.ffmpeg_path": path}):
        yield


def save_still(file: Path, figure: Figure) -> None:
    """Write a picture, by the suffix of its name.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(file) as part:
        figure.savefig(part, dpi=130, metadata={"Software": None})


def save_animation(
    file: Path, surface: Surface, paths: Mapping[str, Array], critical: Sequence[CriticalPointAt]
) -> None:
    """Write the paths as they grow, in a format of `WRITERS` by the suffix of the name.

    Raises:
        UserError: the program of the format fails.
        OSError: it cannot be written.
    """
    try:
        _write_frames(file, surface, paths, critical)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "it says nothing").strip().splitlines()[-1]
        raise UserError(
            f"{WRITERS[file.suffix[1:]]} could not write {file} ({said}): take --format gif"
        ) from error


def _write_frames(
    file: Path, surface: Surface, paths: Mapping[str, Array], critical: Sequence[CriticalPointAt]
) -> None:
    figure = draw(surface, paths, critical, upto=0)
    axes = figure.axes[0]
    # `draw` makes three lines an optimizer, the last one its end; before them stand the marks.
    lines = axes.lines[len(critical) :]
    grown = [points for _, points in _longest_first(paths)]
    steps = max(map(len, grown)) - 1
    with (
        _found_ffmpeg(),
        atomic_write(file) as part,
        _writer(file.suffix).saving(figure, str(part), dpi=_DPI) as writer,
    ):
        for upto in np.unique(np.linspace(0, steps, _FRAMES).round().astype(int)):
            each = zip(grown, lines[::3], lines[1::3], lines[2::3], strict=True)
            for points, line, markers, end in each:
                shown = points[: upto + 1]
                line.set_data(*shown.T)
                markers.set_data(*shown.T)
                end.set_data(*shown[-1:].T)
            writer.grab_frame()


def _writer(suffix: str) -> matplotlib.animation.AbstractMovieWriter:
    """The writer of a format, by the suffix of a file's name."""
    options: dict[str, Any] = {}
    if (codec := {".webm": "libvpx-vp9", ".mp4": "h264"}.get(suffix)) is not None:
        # Else a film keeps the frames' transparency, which the encoder of WebM refuses.
        options = {"codec": codec, "extra_args": ["-pix_fmt", "yuv420p"]}
    writer: matplotlib.animation.AbstractMovieWriter = matplotlib.animation.writers[
        WRITERS[suffix[1:]]
    ](fps=_FRAMES_PER_SECOND, **options)
    return writer
