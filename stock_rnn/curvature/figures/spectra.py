"""Pictures of spectra. Scales show negative values; error bars are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from stock_rnn.curvature.algorithms.band_lanczos import NEGLIGIBLE_SHARE
from stock_rnn.curvature.algorithms.density import SpectralDensity
from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.algorithms.estimate import Estimate
from stock_rnn.curvature.analysis.critical_point import KINDS
from stock_rnn.curvature.analysis.landscape import LossSlice
from stock_rnn.curvature.operators.protocol import Array
from stock_rnn.curvature.palette import (
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    SKY_BLUE,
    VERMILION,
    add_title,
    new_figure,
)
from stock_rnn.curvature.tracking.measurement import BOUND_FAILURE, Measurement

# Kind of critical point -> colour and marker: either alone tells them apart.
_STYLES = {
    "undecided": (LIGHT_GREY, "o"),
    "descending": (SKY_BLUE, "v"),
    "strict saddle": (VERMILION, "X"),
    "flat": (ORANGE, "s"),
    "near local minimum": (GREEN, "D"),
}

# The bound outside of each end, by its place.
_BOUNDS = ("lower_bound", "upper_bound")

# A largest value of so many times the median asks for a logarithmic scale.
_WIDE = 10


def epochs_figure(measurements: Sequence[Measurement], *, title: str = "") -> Figure:
    """The loss, and below it the largest and the smallest eigenvalue, by epoch.

    Epoch k is the point after k epochs of training, 0 the initial weights. Bars are residual
    plus rounding: how far from the number drawn an eigenvalue is at most. Thin lines lead on to
    the bounds that no eigenvalue lies beyond, but for a probability of 1e-6, where a measurement
    has them (not after a warm start). Marks are the kind of point, by colour and by shape.
    Each end has a scale of its own: it is linear, or logarithmic for both signs if the largest
    number drawn is far above the middle one.

    Args:
        measurements: as `HessianCallback` records them, at least one.
        title: text above.
    """
    figure = new_figure(9, 7.5)
    loss, high, low = figure.subplots(3, 1, sharex=True, height_ratios=(2, 3, 3))
    epochs = np.array([m.epoch for m in measurements])
    loss.plot(epochs, [m.loss for m in measurements], color=GREY, lw=1.4)
    loss.set(ylabel="training loss,\ndropout off", yscale="log")
    values = np.array([m.extremes.eigenvalues for m in measurements])
    errors = np.array([m.extremes.residuals + m.extremes.rounding for m in measurements])
    kinds = np.array([m.critical_point for m in measurements])
    for axes, end, name in ((low, 0, "min"), (high, 1, "max")):
        axes.errorbar(
            epochs, values[:, end], errors[:, end], color=GREY, lw=1.2, capsize=2, zorder=2
        )
        bounds = np.array([getattr(m, _BOUNDS[end]) for m in measurements])
        _draw_bounds(axes, epochs, values[:, end], bounds)
        _mark_kinds(axes, epochs, values[:, end], kinds)
        _scale_to(axes, np.concatenate([values[:, end], bounds]))
        axes.set_ylabel(rf"$\lambda_\mathrm{{{name}}}$ of the Hessian")
    low.axhline(0.0, color="black", lw=0.8)
    low.set_xlabel("epochs of training done")
    low.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for axes in (loss, high, low):
        axes.grid(alpha=0.3)
    handles, labels = low.get_legend_handles_labels()
    if handles:
        loss.legend(
            handles,
            labels,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=len(labels),
            frameon=False,
            fontsize="small",
        )
    add_title(figure, title)
    return figure


def _draw_bounds(axes: Axes, epochs: Array, values: Array, bounds: Array) -> None:
    """A line from each value to the bound outside of it, where there is one; a label."""
    if (known := np.isfinite(bounds)).any():
        at = epochs[known]
        axes.vlines(at, values[known], bounds[known], color=BLUE, lw=1.0, ls=":", zorder=1)
        label = f"no eigenvalue beyond (p = {BOUND_FAILURE:g})"
        axes.plot(at, bounds[known], "_", color=BLUE, ms=9, mew=1.4, label=label, zorder=1)


def _mark_kinds(axes: Axes, epochs: Array, values: Array, kinds: Array) -> None:
    """A mark at each value, by the code of the kind of point; a label a kind."""
    for kind, (color, marker) in _STYLES.items():
        chosen = kinds == KINDS.index(kind)
        if chosen.any():
            axes.plot(
                epochs[chosen], values[chosen], marker, color=color, ms=6, zorder=3, label=kind
            )


def _scale_to(axes: Axes, values: Array) -> None:
    """A logarithmic scale, through zero where needed, if the values differ by much."""
    sizes = np.abs(values[np.isfinite(values)])
    if len(sizes) and sizes.max() > _WIDE * np.median(sizes):
        axes.set_yscale("symlog", linthresh=float(np.median(sizes)) / _WIDE or 1.0)


def negative_end_figure(measurements: Sequence[Measurement], *, title: str = "") -> Figure:
    """The smallest eigenvalue by epoch, taken apart into its two terms, and the loss above it.

    λ_min = vᵀRv + vᵀGv for its eigenvector v: the bar from 0 is the residual term's part, and
    the bar that leads from there to λ_min is that of the Gauss-Newton matrix. The dashed line
    is R's own smallest eigenvalue. Error bars are residual plus rounding, dotted lines lead to the
    bounds that no eigenvalue of H lies beyond, as in `epochs_figure`.

    Args:
        measurements: as a `HessianCallback` with ``split=True`` records them.
        title: text above.

    Raises:
        ValueError: the residual term was measured at none of them.
    """
    terms = [(m, m.residual_term) for m in measurements if m.residual_term is not None]
    if not terms:
        raise ValueError("No measurement has a residual term: record with split=True.")
    figure = new_figure(9, 6)
    loss, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    epochs = np.array([m.epoch for m, _ in terms])
    loss.plot(epochs, [m.loss for m, _ in terms], color=GREY, lw=1.4)
    loss.set(ylabel="training loss,\ndropout off", yscale="log")
    low = np.array([m.extremes.lambda_min for m, _ in terms])
    error = np.array([m.extremes.residual_min + m.extremes.rounding for m, _ in terms])
    part = np.array([term.along_v_min for _, term in terms])
    own = np.array([term.extremes.lambda_min for _, term in terms])
    own_error = np.array([t.extremes.residual_min + t.extremes.rounding for _, t in terms])
    # Two bars of an epoch side by side: one over the other would hide a change of sign.
    bounds = np.array([m.lower_bound for m, _ in terms])
    _scale_to(axes, np.concatenate([low, part, own, bounds]))
    _draw_bounds(axes, epochs, low, bounds)
    axes.bar(epochs - 0.2, part, 0.4, color=VERMILION, label="vᵀRv, residual term's part")
    axes.bar(epochs + 0.2, low - part, 0.4, part, color=SKY_BLUE, label="vᵀGv, Gauss-Newton's")
    axes.errorbar(epochs, low, error, color="black", lw=1.2, capsize=2, label="λ_min of H")
    axes.errorbar(
        epochs, own, own_error, color=GREY, ls="--", lw=1.2, capsize=2, label="λ_min of R"
    )
    axes.axhline(0.0, color="black", lw=0.8)
    axes.set(xlabel="epochs of training done", ylabel="smallest eigenvalue")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for panel in (loss, axes):
        panel.grid(alpha=0.3)
    loss.legend(
        *axes.get_legend_handles_labels(),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=3,
        frameon=False,
        fontsize="small",
    )
    add_title(figure, title)
    return figure


def density_figure(
    density: SpectralDensity, *, extremes: ExtremeEigenpairs | None = None, title: str = ""
) -> Figure:
    """The density of eigenvalues, and how many lie beyond ±x, with two standard errors.

    Args:
        density: as `spectral_density` gives it.
        extremes: drawn as vertical lines, and, of a search from a random start, the bounds that
            no eigenvalue lies beyond but for a probability of 1e-6.
        title: text above.
    """
    figure = new_figure(11, 4.5)
    left, right = figure.subplots(1, 2)
    _draw_density(left, density)
    _draw_tails(right, density)
    if extremes is not None:
        for name, value, style in (
            ("λ_min", extremes.lambda_min, "--"),
            ("λ_max", extremes.lambda_max, ":"),
        ):
            left.axvline(value, color="black", ls=style, lw=1.0, label=f"{name} = {value:.3g}")
        _draw_outer(left, extremes)
    add_title(figure, title)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    return figure


def _draw_outer(axes: Axes, extremes: ExtremeEigenpairs) -> None:
    """Both bounds outside of the ends as vertical lines, if the search has any."""
    if extremes.lanczos is None or not extremes.sound:
        return
    low, high = extremes.lower_bound(BOUND_FAILURE), extremes.upper_bound(BOUND_FAILURE)
    label = f"none beyond {low:.3g}, {high:.3g} (p = {BOUND_FAILURE:g})"
    axes.axvline(low, color=BLUE, ls="-.", lw=1.0, label=label)
    axes.axvline(high, color=BLUE, ls="-.", lw=1.0)


def _draw_density(axes: Axes, density: SpectralDensity) -> None:
    # A density that is rounding only would stretch the logarithmic scale for nothing.
    floor = density.density.max() * 1e-8
    low, high = (
        np.maximum(density.density + sign * 2 * density.density_error, floor) for sign in (-1, 1)
    )
    axes.fill_between(density.grid, low, high, color=GREY, alpha=0.4, label="± 2 standard errors")
    axes.plot(density.grid, np.maximum(density.density, floor), color=GREY, lw=1.2)
    axes.set(
        yscale="log",
        ylim=(floor, None),
        xlabel="eigenvalue of the Hessian",
        ylabel=f"density (smoothed, σ = {density.sigma:.2g})",
    )


def _draw_tails(axes: Axes, density: SpectralDensity) -> None:
    """The share of eigenvalues beyond ±x, not smoothed, for x over six decades."""
    x = density.spectral_radius * np.geomspace(1e-6, 1.0, 200)
    for sign, color, name in ((-1, BLUE, "below -x"), (1, VERMILION, "above x")):
        tail = [_share_beyond(density, sign, cut) for cut in x]
        share = np.array([estimate.value for estimate in tail])
        error = np.array([estimate.standard_error for estimate in tail])
        axes.fill_between(x, share - 2 * error, share + 2 * error, color=color, alpha=0.3, lw=0)
        axes.plot(x, share, color=color, lw=1.4, label=f"eigenvalues {name}")
    axes.set(xscale="log", yscale="log", xlabel="x", ylabel="share of all eigenvalues")
    axes.set_ylim(0.3 / density.n, 1.5)


def _share_beyond(density: SpectralDensity, sign: int, cut: float) -> Estimate:
    return density.integrate(lambda t: (sign * t > cut).astype(np.float64))


def eigenvalues_figure(eigenvalues: Array, *, zero: float = 0.0, title: str = "") -> Figure:
    """All eigenvalues in order, on a scale that shows both signs.

    Args:
        eigenvalues: (n,), ascending, as `exact_spectrum` gives them.
        zero: those within ±zero are drawn as not told from it.
        title: text above.
    """
    figure = new_figure(9, 4.5)
    axes = figure.subplots()
    # Before the points: the margins are then those of this scale.
    _symmetric_log(axes, eigenvalues)
    axes.margins(y=0.08)
    rank = np.arange(1, len(eigenvalues) + 1)
    kinds = (
        ("negative", eigenvalues < -zero, BLUE),
        (f"within ±{zero:.1g} of zero", np.abs(eigenvalues) <= zero, GREY),
        ("positive", eigenvalues > zero, VERMILION),
    )
    for name, chosen, color in kinds:
        label = f"{name}: {int(chosen.sum()):,}"
        axes.plot(rank[chosen], eigenvalues[chosen], ".", ms=4, color=color, label=label)
    axes.axhline(0.0, color="black", lw=0.8)
    axes.set(xlabel="rank", ylabel="eigenvalue of the Hessian")
    add_title(figure, title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    return figure


def matrix_figure(matrix: Array, blocks: Mapping[str, slice], *, title: str = "") -> Figure:
    """The Hessian as a picture, its blocks labelled by variable.

    Every variable gets a share of the picture by the root of its size, so that a
    bias is seen beside a kernel; a cell shows the entry of the largest modulus in
    its tile. Blue is negative, red positive, on a scale that is logarithmic from a
    millionth of the largest entry on.

    Args:
        matrix: (n, n), symmetric.
        blocks: variable's path -> its slice, as `HessianOperator.blocks`.
        title: text above.
    """
    figure = new_figure(10, 8)
    axes = figure.subplots()
    tiles = _tiles(list(blocks.values()))
    borders = np.cumsum([0, *map(len, tiles)])
    largest = float(np.abs(matrix).max()) or 1.0
    picture = axes.imshow(
        _reduced(matrix, np.concatenate(tiles)),
        cmap="RdBu_r",
        norm=SymLogNorm(1e-6 * largest, vmin=-largest, vmax=largest),
        extent=(0, borders[-1], borders[-1], 0),
        interpolation="nearest",
    )
    for border in borders[1:-1]:
        axes.axhline(border, color="black", lw=0.5)
        axes.axvline(border, color="black", lw=0.5)
    middles = (borders[:-1] + borders[1:]) / 2
    axes.set_yticks(middles, [f"{name} ({b.stop - b.start:,})" for name, b in blocks.items()])
    axes.set_xticks(middles, list(blocks), rotation=30, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0, labelsize="small")
    add_title(figure, title)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8)
    bar.set_label("second derivative of the loss")
    return figure


def _tiles(blocks: Sequence[slice], cells: int = 900, least: int = 30) -> list[NDArray[np.int64]]:
    """Where each tile of each block begins; blocks get cells by the root of their size."""
    sizes = np.array([b.stop - b.start for b in blocks])
    shares = np.sqrt(sizes) / np.sqrt(sizes).sum()
    counts = np.maximum(least, np.round(cells * shares)).astype(int)
    return [
        np.linspace(b.start, b.stop, count + 1)[:-1].astype(np.int64)
        for b, count in zip(blocks, counts, strict=True)
    ]


def _reduced(matrix: Array, starts: NDArray[np.int64]) -> Array:
    """Of each tile the entry of the largest modulus; a start that is repeated repeats its row."""
    largest, smallest = matrix, matrix
    for axis in (0, 1):
        largest = np.maximum.reduceat(largest, starts, axis=axis)
        smallest = np.minimum.reduceat(smallest, starts, axis=axis)
    return np.where(largest >= -smallest, largest, smallest)


def slices_figure(slices: Mapping[str, LossSlice], *, title: str = "") -> Figure:
    """The loss along directions, with the quadratic model of where they start.

    Args:
        slices: the direction's name -> the loss along it.
        title: text above.
    """
    columns = min(len(slices), 2)
    rows = -(-len(slices) // columns)
    figure = new_figure(9, 4.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(slices) :]:
        axes.set_axis_off()
    for axes, (name, slice_) in zip(panels, slices.items(), strict=False):
        axes.plot(slice_.distances, slice_.losses, color=VERMILION, lw=1.6, label="loss")
        axes.plot(
            slice_.distances,
            slice_.quadratic,
            color=BLUE,
            ls="--",
            lw=1.4,
            label="quadratic model",
        )
        axes.plot([0.0], [slice_.loss], "o", color="black", ms=4)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"distance along {name}")
        axes.set_title(f"{name}: vᵀHv = {slice_.curvature:.3g}", fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    for axes in panels[::columns]:
        axes.set_ylabel("loss")
    add_title(figure, title)
    return figure


def _symmetric_log(axes: Axes, values: Array) -> None:
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if len(finite) else 1.0
    axes.set_yscale("symlog", linthresh=NEGLIGIBLE_SHARE * (largest or 1.0))
