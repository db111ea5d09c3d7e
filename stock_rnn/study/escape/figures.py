"""The figures of this part: escape steps against theory, and Staib et al.'s problem."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stock_rnn.curvature import palette
from stock_rnn.study.escape import plan, problem, theory
from stock_rnn.study.escape.measures import Found
from stock_rnn.study.escape.record import EscapeRecord
from stock_rnn.study.escape.tables import groups, staib_theory
from stock_rnn.study.report.style import OPTIMIZER_STYLES, new_figure

#: Optimizer -> name and colour; those of the whole study where it has one.
STYLES: dict[str, tuple[str, str]] = {
    "sgd": ("SGD", OPTIMIZER_STYLES["sgd"][0]),
    "rmsprop": ("RMSProp", OPTIMIZER_STYLES["rmsprop"][0]),
    "rmsprop-tf1": ("RMSProp of TensorFlow 1", OPTIMIZER_STYLES["rmsprop-tf1"][0]),
    "momentum": ("momentum", palette.ORANGE),
    "adam": ("Adam", OPTIMIZER_STYLES["adam"][0]),
    "adagrad": ("AdaGrad", palette.SKY_BLUE),
    "perturbed": ("SGD with noise", palette.BLACK),
    "saddle-free-newton": ("saddle-free Newton", palette.GREY),
}
assert tuple(STYLES) == plan.OPTIMIZERS

# Scales at which the lines are drawn.
_LINE = np.geomspace(plan.SCALES[0], plan.SCALES[-1], 25)

_BATCHES = {plan.MINI: f"mini-batches of {plan.BATCH}", plan.FULL: "full batches"}


def escape_figure(found: Found) -> Figure:
    """Steps to the escape against 1/(ε|λ_min|): a panel for each kind of batches and of rate.

    Lines are theory, dots are runs, open triangles runs that did not escape, at their last step;
    crosses runs whose loss had fallen before, another way. Where the tuned rate is the report's,
    its runs are in both rows. Kinds of batches without a run have no panels.
    """
    batches_run = [name for name in _BATCHES if any(r.run.batches == name for r in found.records)]
    figure, panels = new_figure(5 * len(batches_run), 8.6, 2, len(batches_run))
    kinds = [(batches, tuned) for tuned in (False, True) for batches in batches_run]
    for axes, (batches, tuned) in zip(panels, kinds, strict=True):
        _escape_panel(axes, found, batches, tuned)
        rate = "each optimizer's tuned rate" if tuned else f"the report's rate, {plan.REPORT_RATE}"
        axes.set_title(f"{_BATCHES[batches]}, {rate}", fontsize=10)
    handles = [Line2D([], [], color=c, label=name, lw=1.8) for name, c in STYLES.values()]
    handles += [
        Line2D([], [], color=palette.GREY, marker="o", ls="", ms=4, label="a run"),
        Line2D(
            [], [], color=palette.GREY, marker="^", ls="", mfc="none", label="no escape by then"
        ),
        Line2D([], [], color=palette.GREY, marker="x", ls="", label="left another way before"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _escape_panel(axes: Axes, found: Found, batches: str, tuned: bool) -> None:
    for optimizer, (_, color) in STYLES.items():
        rate = found.tuned.get(optimizer, 1.0) if tuned else plan.REPORT_RATE
        newton = optimizer not in plan.FIRST_ORDER
        if newton and tuned:
            continue
        at = [
            record
            for record in found.records
            if (record.run.optimizer, record.run.batches) == (optimizer, batches)
            and (newton or record.run.rate == rate)
        ]
        if not at:
            continue
        for runs in groups(at):
            _dots(axes, runs, rate, color)
        _line(axes, at, optimizer, rate, color)
    axes.axhline(plan.REPORT_STEPS, color=palette.LIGHT_GREY, lw=1, ls=":")
    label = f"the report's {plan.REPORT_STEPS} steps"
    axes.annotate(
        label, (0.99, plan.REPORT_STEPS), xycoords=("axes fraction", "data"), fontsize=8,
        color=palette.GREY, ha="right", va="bottom",
    )  # fmt: skip
    axes.set(xscale="log", yscale="log", ylim=(0.7, 2e5))
    axes.set(xlabel=r"1 / (rate · $|\lambda_{\min}|$)", ylabel="steps to 100 times the distance")


def _dots(axes: Axes, runs: list[EscapeRecord], rate: float, color: str) -> None:
    """The runs of one scale; side by side, a little apart, where they would lie on each other."""
    for record in runs:
        x = 1.0 / (rate * abs(record.eigenvalue))
        if record.left_another_way:
            axes.plot(x, record.steps, "x", color=color, ms=6)
        elif math.isfinite(record.escaped):
            axes.plot(x, record.escaped, "o", color=color, ms=3.5, mew=0, alpha=0.7)
        else:
            axes.plot(x, record.steps, "^", color=color, ms=6, mfc="none")


def _line(axes: Axes, at: list[EscapeRecord], optimizer: str, rate: float, color: str) -> None:
    """Theory over all scales, with the median couplings of the runs at scale 1."""
    couplings = np.median([np.divide(r.couplings, r.run.scale) for r in at], axis=0)
    own = rate if optimizer in plan.FIRST_ORDER else 1.0
    points = []
    for scale in _LINE:
        c = (float(couplings[0] * scale), float(couplings[1] * scale))
        steps = theory.predicted_steps(optimizer, own, c, at[0].weights, plan.LONG_LIMIT)
        points.append((1.0 / (rate * math.hypot(*c)), max(steps, 1.0)))
    x, y = np.array(points).T
    axes.plot(x, y, color=color, lw=1.5, ls="--" if optimizer == "perturbed" else "-")


def staib_figure(found: Found) -> Figure:
    """Median steps in Staib et al.'s problem: a panel for each direction of the noise."""
    figure, panels = new_figure(10, 3.8, 1, 2)
    for axes, name in zip(panels, problem.DEVIATIONS, strict=True):
        _staib_panel(axes, found, name)
    handles: list[Any] = [
        Line2D([], [], color=palette.GREY, marker="s", ls="", label="the report's rate, 0.001"),
        Line2D([], [], color=palette.GREY, marker="o", ls="", label="its tuned rate"),
        Line2D([], [], color=palette.BLACK, marker="_", ls="", ms=14, label="theory"),
        Line2D(
            [], [], color=palette.GREY, marker="^", ls="", mfc="none", label="no escape by then"
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _staib_panel(axes: Axes, found: Found, name: str) -> None:
    for place, optimizer in enumerate(problem.OPTIMIZERS):
        color = STYLES[optimizer][1]
        for tuned, marker, shift in ((False, "s", -0.15), (True, "o", 0.15)):
            row = found.staib_row(name, optimizer, tuned=tuned)
            if not row:
                continue
            steps = [v for v in row["steps"] if v is not None]
            axes.plot([place + shift] * len(steps), steps, marker, color=color, ms=5, alpha=0.6)
            if len(steps) < len(row["steps"]):
                axes.plot(place + shift, problem.LIMIT, "^", color=color, ms=7, mfc="none")
            axes.plot(place + shift, staib_theory(row), "_", color=palette.BLACK, ms=14, mew=1.5)
    across, along = problem.DEVIATIONS[name]
    words = f"noise {along:g} along the way out, {across:g} across it"
    axes.set_title(words, fontsize=10)
    names = [STYLES[optimizer][0].replace(" of ", "\nof ") for optimizer in problem.OPTIMIZERS]
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(yscale="log", ylabel="steps until |x₂| > 0.25", ylim=(0.6, 2e5))
