"""The picture of sharpening: the largest eigenvalues by step, against the stability line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from stock_rnn.curvature import palette
from stock_rnn.curvature.algorithms.eigenpairs import Eigenpairs
from stock_rnn.curvature.algorithms.estimate import Estimate
from stock_rnn.curvature.operators.protocol import Array
from stock_rnn.curvature.tracking.steps import StepMeasurement

# The first eigenvalue stands out, and so do the next two from the rest.
_COLORS = (palette.VERMILION, palette.ORANGE, palette.SKY_BLUE)

# A range of so many times its lower end asks for a logarithmic scale.
_WIDE = 30


def steps_figure(measurements: Sequence[StepMeasurement], *, title: str = "") -> Figure:
    """Sharpening and the edge of stability, as a `SharpnessCallback` saw them.

    From above: the loss; the k largest eigenvalues as the optimizer sees them, with its
    stability line and, if measured, batch sharpness and the mean of the batches' λ_max; the raw
    eigenvalues of the Hessian, where the optimizer's differ; how much of the gradient and of
    the update lies in the tracked eigenvectors and in the negative ones, and the overlap of the
    tracked subspace with that of the last measurement. Bars of eigenvalues are residual plus
    rounding, those of mini-batches two standard errors.

    Args:
        measurements: at least one.
        title: text above.

    Raises:
        ValueError: there is none.
    """
    rows = list(measurements)
    if not rows:
        raise ValueError("There is no measurement to draw. Received: measurements=[]")
    raw_differs = any(m.seen is not None and not _same(m.seen, m.raw) for m in rows)
    heights = (1.2, 3.0, *((2.0,) if raw_differs else ()), 1.8)
    figure = palette.new_figure(9, 1.4 * sum(heights))
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    steps = np.array([m.step for m in rows])
    panels[0].plot(steps, [m.loss for m in rows], color=palette.GREY, lw=1.4)
    panels[0].set(ylabel="loss,\ndropout off", yscale="log")
    # Where D is 1 the raw ones are what the optimizer sees, the starting point's included.
    seen = (lambda m: m.seen) if raw_differs else (lambda m: m.raw)
    _draw_eigenvalues(panels[1], rows, seen)
    _draw_batches(panels[1], rows)
    line = [m.line for m in rows]
    panels[1].plot(steps, line, color=palette.BLACK, ls="--", lw=1.2, label="stability line")
    panels[1].set_ylabel("eigenvalues as the\noptimizer sees them")
    if raw_differs:
        _draw_eigenvalues(panels[2], rows, lambda m: m.raw)
        panels[2].set_ylabel("eigenvalues of\nthe Hessian")
    _draw_shares(panels[-1], rows)
    panels[-1].set(xlabel="steps of training done", ylabel="share", ylim=(-0.05, 1.05))
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for axes in panels[1:-1]:
        _scale(axes, np.concatenate([_heights(line) for line in axes.get_lines()]))
    for axes in panels:
        axes.grid(alpha=0.3)
    for axes in panels[1:]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    palette.add_title(figure, title)
    return figure


def _draw_eigenvalues(
    axes: Axes,
    rows: Sequence[StepMeasurement],
    pairs_of: Callable[[StepMeasurement], Eigenpairs | None],
) -> None:
    found = [(m.step, pairs) for m in rows if (pairs := pairs_of(m)) is not None]
    steps = np.array([step for step, _ in found])
    track = len(rows[0].raw.eigenvalues)
    for k in range(track):
        axes.errorbar(
            steps,
            np.array([pairs.eigenvalues[k] for _, pairs in found]),
            np.array([pairs.residuals[k] + pairs.rounding for _, pairs in found]),
            color=_COLORS[k] if k < len(_COLORS) else palette.GREY,
            lw=1.6 if k == 0 else 1.0,
            capsize=2,
            elinewidth=0.8,
            zorder=2.0 + 1.0 / (k + 1),  # The first one over the others.
            marker="." if len(found) < 3 else None,
            label=f"$\\lambda_{{{k + 1}}}$" if k < len(_COLORS) or k == track - 1 else None,
        )


def _draw_batches(axes: Axes, rows: Sequence[StepMeasurement]) -> None:
    found = [(m.step, m.batches) for m in rows if m.batches is not None]
    if not found:
        return
    steps = np.array([step for step, _ in found])
    for color, marker, name, estimates in (
        (palette.BLUE, "s", "batch sharpness", [b.sharpness for _, b in found]),
        (
            palette.PURPLE,
            "v",
            "mean $\\lambda_1$ of batches",
            [b.mean_lambda_max for _, b in found],
        ),
    ):
        values, errors = _columns(estimates)
        style: dict[str, Any] = {"ls": ":", "lw": 1.2, "ms": 4, "capsize": 2, "elinewidth": 0.8}
        axes.errorbar(steps, values, 2 * errors, color=color, marker=marker, label=name, **style)


def _columns(estimates: Sequence[Estimate]) -> tuple[Array, Array]:
    """Values and standard errors; no bar where one batch cannot tell."""
    errors = np.nan_to_num(np.array([e.standard_error for e in estimates]))
    return np.array([e.value for e in estimates]), errors


def _draw_shares(axes: Axes, rows: Sequence[StepMeasurement]) -> None:
    steps = np.array([m.step for m in rows])
    track = len(rows[0].raw.eigenvalues)
    curves = (
        (f"gradient in top {track}", palette.VERMILION, "-", [m.gradient.top for m in rows]),
        (f"update in top {track}", palette.BLUE, "-", [m.update.top for m in rows]),
        ("gradient in negative", palette.VERMILION, ":", [m.gradient.negative for m in rows]),
        ("update in negative", palette.BLUE, ":", [m.update.negative for m in rows]),
        (
            "overlap with the last",
            palette.GREEN,
            "--",
            [np.mean(np.cos(m.drift) ** 2) for m in rows],
        ),
    )
    for name, color, style, values in curves:
        if np.isfinite(values).any():
            marker = "." if np.isfinite(values).sum() < 3 else None
            axes.plot(steps, values, color=color, ls=style, lw=1.2, marker=marker, label=name)


def _scale(axes: Axes, values: Array) -> None:
    """A logarithmic scale if the values are positive and differ by much."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0.0 and finite.max() > _WIDE * finite.min():
        axes.set_yscale("log")


def _same(a: Eigenpairs, b: Eigenpairs) -> bool:
    return a is b or np.array_equal(a.eigenvalues, b.eigenvalues)


def _heights(line: Line2D) -> Array:
    return np.asarray(line.get_ydata(), np.float64)
