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
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write
from stock_rnn.surface.surfaces import CriticalPointAt, Surface

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

#: Kind of a critical point -> its marker.
MARKERS = {"near local minimum": "*", "strict saddle": "X", "flat": "s", "undecided": "o"}

#: Format of an animation -> the writer of Matplotlib that makes it.
WRITERS = {"gif": "pillow", "mp4": "ffmpeg", "webm": "ffmpeg"}

_FRAMES, _FRAMES_PER_SECOND, _DPI = 50, 12, 70
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
    for name, points in _longest_first(paths):
        shown = points[: None if upto is None else upto + 1]
        edge = [withStroke(linewidth=3.2, foreground="black")]
        axes.plot(*shown.T, color=COLOURS[name], lw=1.8, path_effects=edge, label=name, zorder=3)
        axes.plot(*shown[-1], "o", color=COLOURS[name], mec="black", ms=9, zorder=4)
    _add_legend(axes, paths, critical)
    return figure


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
    for each in critical:
        axes.plot(
            *each.point,
            MARKERS.get(each.kind, "o"),
            color="gold",
            mec="black",
            ms=15,
            zorder=2,
        )
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y")
    axes.set_title(
        f"{textwrap.fill(surface.formula.text, 90)}\nlearning rate {surface.learning_rate:g}",
        fontsize=9,
    )


def _add_legend(
    axes: Axes, paths: Mapping[str, Array], critical: Sequence[CriticalPointAt]
) -> None:
    lines = [Line2D([], [], color=COLOURS[name], marker="o", mec="black", lw=2.5) for name in paths]
    kinds = sorted({each.kind for each in critical})
    marks = [
        Line2D([], [], color="gold", marker=MARKERS.get(kind, "o"), mec="black", ms=11, ls="none")
        for kind in kinds
    ]
    axes.figure.legend(
        [*lines, *marks], [*paths, *kinds], loc="outside right upper", facecolor="lightgrey"
    )


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
    # `draw` makes two lines an optimizer, the path and its end; before them stand the marks.
    lines = axes.lines[len(critical) :]
    grown = [points for _, points in _longest_first(paths)]
    steps = max(map(len, grown)) - 1
    with (
        _found_ffmpeg(),
        atomic_write(file) as part,
        _writer(file.suffix).saving(figure, str(part), dpi=_DPI) as writer,
    ):
        for upto in np.unique(np.linspace(0, steps, _FRAMES).round().astype(int)):
            for points, line, end in zip(grown, lines[::2], lines[1::2], strict=True):
                shown = points[: upto + 1]
                line.set_data(*shown.T)
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
