"""Pictures of the loss between weights and on planes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn.curvature.analysis.planes import LossPlane, LossSegment
from stock_rnn.curvature.palette import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILION,
    add_title,
    new_figure,
)

Array = NDArray[np.float64]

# From this ratio of the largest to the smallest loss on, colours are logarithmic.
_WIDE = 3.0

_LEVELS = 30


@dataclass(frozen=True)
class TrainingPath:
    """The path of a training on a plane."""

    epochs: NDArray[np.int64]  # (k,)
    coordinates: Array  # (k, 2): projected onto the plane
    losses: Array  # (k,): of the weights themselves, which are beside the plane


@dataclass(frozen=True)
class View:
    """A plane with what is written and drawn on it."""

    plane: LossPlane
    loss: float  # of the run, at (0, 0)
    xlabel: str
    ylabel: str
    path: TrainingPath | None = None


def segments_figure(segments: Mapping[str, LossSegment], *, title: str) -> Figure:
    """The loss on straight lines between weights; the average is marked, the barrier told.

    Args:
        segments: what the line leads to -> the loss along it; at most five.
        title: text above.
    """
    figure = new_figure(9, 4.8)
    axes = figure.subplots()
    colors = (VERMILION, BLUE, GREEN, ORANGE, PURPLE)
    for color, (name, segment) in zip(colors, segments.items(), strict=False):
        label = f"{name}: barrier {segment.barrier:.3g}"
        axes.plot(segment.shares, segment.losses, color=color, lw=1.6, label=label)
        axes.plot([0.5], [segment.average], "o", color=color, ms=6)
    axes.plot([], [], "o", color="black", ms=6, label="the average of both weights")
    losses = np.concatenate([segment.losses for segment in segments.values()])
    if _is_wide(losses):
        axes.set_yscale("log")
    axes.set(xlabel="share of the way from the run's weights to the others", ylabel="training loss")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    add_title(figure, title)
    return figure


def plane_figure(view: View, *, title: str) -> Figure:
    """Contours of the loss on a plane; a star is the run, dots are epochs of its training.

    Colours and contours are logarithmic where the losses differ much; what is not finite is white.
    """
    figure = new_figure(7.5, 6)
    axes = figure.subplots()
    plane = view.plane
    losses = np.ma.masked_invalid(plane.losses)
    low, high = float(losses.min()), float(losses.max())
    wide = _is_wide(plane.losses)
    levels = (np.geomspace if wide else np.linspace)(low, high, _LEVELS)
    if low < high:
        norm = LogNorm(low, high) if wide else Normalize(low, high)
        filled = axes.contourf(plane.x, plane.y, losses, levels, cmap="viridis", norm=norm)
        axes.contour(plane.x, plane.y, losses, levels[::3], colors="white", linewidths=0.4)
        bar = figure.colorbar(filled, ax=axes, ticks=levels[:: _LEVELS // 6], format="%.2g")
        bar.minorticks_off()
        bar.set_label("training loss")
    if view.path is not None:
        _draw_path(axes, view.path)
    axes.plot([0.0], [0.0], "*", color=VERMILION, mec="white", ms=16, zorder=4, label="the run")
    axes.set(
        xlabel=view.xlabel,
        ylabel=view.ylabel,
        xlim=(plane.x[0], plane.x[-1]),
        ylim=(plane.y[0], plane.y[-1]),
    )
    axes.legend(loc="best", fontsize="small")
    add_title(figure, title)
    return figure


def _draw_path(axes: Axes, path: TrainingPath) -> None:
    x, y = path.coordinates.T
    axes.plot(x, y, ".-", color="white", lw=1.0, ms=5, zorder=3, label="epochs of the training")
    axes.annotate(
        f"epoch {path.epochs[0]}", (x[0], y[0]), (6, 6), textcoords="offset points", color="white"
    )


def _is_wide(losses: Array) -> bool:
    found = losses[np.isfinite(losses)]
    return bool(found.min() > 0 and found.max() > _WIDE * found.min())
