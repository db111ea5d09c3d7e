"""Pictures of predictions, and of the gradient's flow through time."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn.curvature import palette
from stock_rnn.files import atomic_write

# The report's red and blue, in hues that colour-blind readers can tell apart.
ACTUAL, PREDICTED, PERSISTENCE = palette.VERMILION, palette.BLUE, palette.GREY

# The same figure gives the same file.
_REPEATABLE: Any = {"svg.hashsalt": "stock_rnn", "svg.fonttype": "path"}

#: How many of the newest predicted prices are shown, as in the report.
SHOWN_DAYS = 100


def prediction_figure(
    dates: NDArray[np.datetime64],
    actual: NDArray[np.floating],
    predicted: NDArray[np.floating],
    *,
    persistence: NDArray[np.floating],
    title: str,
    ylabel: str,
    kinds: NDArray[np.str_] | None = None,
) -> Figure:
    """The report's figure 5.1: actual in red, predicted in blue, persistence in grey.

    The newest `SHOWN_DAYS` values of each kind are shown, a panel a kind.

    Args:
        dates: (m,) datetime64, ascending.
        actual, predicted, persistence: (m,), in the units that `ylabel` names.
        title, ylabel: texts.
        kinds: (m,) what each price is, "open" or "close"; None: all are one kind.
    """
    kinds = np.full(len(dates), "close") if kinds is None else kinds
    found = [kind for kind in ("open", "close") if (kinds == kind).any()]
    lines = (
        ("persistence", persistence, {"color": PERSISTENCE, "lw": 1.3, "ls": ":"}),
        ("actual", actual, {"color": ACTUAL, "lw": 1.4}),
        ("predicted", predicted, {"color": PREDICTED, "lw": 1.4, "ls": "--"}),
    )
    figure = palette.new_figure(9, 1.5 + 3 * len(found))
    panels = figure.subplots(len(found), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, kind in zip(panels, found, strict=True):
        newest = np.flatnonzero(kinds == kind)[-SHOWN_DAYS:]
        for label, values, style in lines:
            axes.plot(dates[newest], values[newest], label=label, **style)
        axes.set_ylabel(ylabel)
        if len(found) > 1:
            axes.set_title(f"{kind} of the day", loc="left", fontsize=10)
        axes.grid(alpha=0.3)
    locator = AutoDateLocator()
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    first, last = (str(day.astype("datetime64[D]")) for day in dates[newest[[0, -1]]])
    panels[-1].set_xlabel(f"date, {first} to {last}")
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    palette.add_title(figure, title)
    return figure


class Flow(Protocol):
    """What is drawn of a `stock_rnn.network.gradient_flow.GradientFlow`."""

    @property
    def states(self) -> Mapping[str, NDArray[np.float64]]:
        """Recurrent layer -> (T,), ‖∂L/∂h_t‖."""

    @property
    def memories(self) -> Mapping[str, NDArray[np.float64]]:
        """The same of the LSTM's c_t."""

    @property
    def prediction(self) -> str:
        """What `predicted` is the product of."""

    @property
    def predicted(self) -> NDArray[np.float64]:
        """(T,): of the last recurrent layer, from its weights."""


def gradient_flow_figure(flows: Mapping[str, Flow], *, title: str = "") -> Figure:
    """‖∂L/∂h_t‖ over t by layer, and the prediction, a panel a network, on one log scale.

    Lines go on where the gradient is zero to the last digit: at the lower edge of the panels.

    Args:
        flows: what a panel shows -> the flow; of networks of the same layers.
        title: above all panels; "": none.
    """
    figure = palette.new_figure(1.2 + 4.2 * len(flows), 3.6)
    panels = figure.subplots(1, len(flows), sharey=True, squeeze=False)[0]
    drawn = [
        values
        for flow in flows.values()
        for values in (*flow.states.values(), *flow.memories.values(), flow.predicted)
    ]
    positive = np.concatenate([values[values > 0] for values in drawn])
    low, high = (positive.min(), positive.max()) if positive.size else (1e-1, 1.0)
    for axes, (name, flow) in zip(panels, flows.items(), strict=True):
        _draw_flow(axes, flow, low)
        axes.set_title(name, fontsize=9, loc="left", wrap=True)
        axes.set_xlabel("time step t")
        axes.grid(alpha=0.3)
    panels[0].set_yscale("log")
    # At least a factor of 100, lest a level line fill the panel with rounding.
    middle = np.sqrt(low) * np.sqrt(high)
    panels[0].set_ylim(min(low, middle / 10) / 2, max(high, middle * 10) * 2)
    panels[0].set_ylabel("norm of the gradient by the state")
    panels[0].legend(fontsize=8)
    if title:
        palette.add_title(figure, title)
    return figure


def _draw_flow(axes: Axes, flow: Flow, floor: float) -> None:
    """The lines of one panel; values below `floor` are drawn at it."""
    steps = np.arange(1, len(flow.predicted) + 1)
    marker = "o" if len(steps) < 10 else ""
    colors = (palette.BLUE, palette.ORANGE, palette.GREEN, palette.PURPLE, palette.SKY_BLUE)
    for number, (name, states) in enumerate(flow.states.items()):
        color = colors[number % len(colors)]
        label = name.replace("_", " ")
        axes.plot(
            steps,
            np.maximum(states, floor),
            color=color,
            lw=1.6,
            marker=marker,
            label=f"h, {label}",
        )
        if name in flow.memories:
            values = np.maximum(flow.memories[name], floor)
            axes.plot(steps, values, color=color, lw=1.2, ls="--", label=f"c, {label}")
    label = f"{'c' if flow.memories else 'h'} by the {flow.prediction}"
    axes.plot(
        steps,
        np.maximum(flow.predicted, floor),
        color=palette.BLACK,
        lw=2.4,
        ls=":",
        label=label,
        alpha=0.8,
    )


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def write_svg_and_png(stem: Path, figure: Figure) -> list[Path]:
    """Write a figure as SVG and as PNG, each whole or not at all.

    Args:
        stem: the files' path without their suffix; it may have dots.
        figure: the same one gives the same files.

    Returns:
        The files.

    Raises:
        OSError: one cannot be written.
    """
    files = []
    with mpl.rc_context(_REPEATABLE):
        for suffix, metadata in ((".svg", {"Date": None}), (".png", {"Software": None})):
            # Not with_suffix, which would cut names such as figure_5.1 at their dot.
            files.append(stem.with_name(stem.name + suffix))
            with atomic_write(files[-1]) as part:
                figure.savefig(part, metadata=metadata)
    return files
