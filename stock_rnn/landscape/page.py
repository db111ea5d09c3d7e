"""The planes as surfaces that can be turned, on a page that needs no network."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write
from stock_rnn.landscape.pictures import View


def refuse_without_plotly() -> None:
    """Refuse to draw the page where its library is not installed.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("plotly") is None:
        raise UserError(
            "the interactive page needs plotly: pip install 'stock_rnn[landscape]', or give "
            "--no-html"
        )


def write_page(file: Path, views: Mapping[str, View], *, title: str) -> None:
    """Write surfaces as one HTML file, with the library's script in it; buttons choose one.

    Args:
        file: replaced whole, or not at all.
        views: name of the plane -> the plane.
        title: text above.

    Raises:
        OSError: it cannot be written.
    """
    from plotly import graph_objects

    figure = graph_objects.Figure()
    owners: list[str] = []
    for name, view in views.items():
        traces = _traces(view)
        figure.add_traces(traces)
        owners += [name] * len(traces)
    first = next(iter(views))
    for trace, owner in zip(figure.data, owners, strict=True):
        trace.visible = owner == first
    buttons = [
        {
            "label": name,
            "method": "update",
            "args": [{"visible": [owner == name for owner in owners]}, {"scene": _scene(view)}],
        }
        for name, view in views.items()
    ]
    figure.update_layout(
        title={"text": title},
        scene=_scene(views[first]),
        updatemenus=[{"type": "buttons", "buttons": buttons, "x": 0.0, "xanchor": "left"}],
        margin={"l": 0, "r": 0, "t": 60, "b": 0},
    )
    text = figure.to_html(
        include_plotlyjs=True, full_html=True, div_id="landscape", default_height="92vh"
    )
    with atomic_write(file) as part:
        part.write_text(text, encoding="utf-8")


def _scene(view: View) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": view.xlabel}},
        "yaxis": {"title": {"text": view.ylabel}},
        "zaxis": {"title": {"text": "training loss"}, "type": "log", "exponentformat": "e"},
        "aspectmode": "cube",
        # Far enough for all labels to be seen.
        "camera": {"eye": {"x": 1.6, "y": -2.0, "z": 1.0}, "center": {"z": -0.2}},
    }


def _traces(view: View) -> list[Any]:
    """A surface by the logarithm of the loss, the run as a point, and the path if there is one."""
    from plotly import graph_objects

    plane = view.plane
    losses = np.where(np.isfinite(plane.losses), plane.losses, np.nan)
    colors = np.log10(np.maximum(losses, 1e-30))
    found = colors[np.isfinite(colors)]
    ticks = np.linspace(found.min(), found.max(), 7)
    traces = [
        graph_objects.Surface(
            x=plane.x,
            y=plane.y,
            z=losses,
            surfacecolor=colors,
            colorscale="Viridis",
            colorbar={
                "title": {"text": "training loss"},
                "tickvals": list(ticks),
                "ticktext": [f"{10**tick:.2g}" for tick in ticks],
            },
            hovertemplate="loss %{z:.4g}<extra></extra>",
        ),
        graph_objects.Scatter3d(
            x=[0.0],
            y=[0.0],
            z=[view.loss],
            mode="markers",
            marker={"size": 6, "color": "#D55E00"},
            name="the run",
            showlegend=False,
        ),
    ]
    if view.path is not None:
        x, y = view.path.coordinates.T
        traces.append(
            graph_objects.Scatter3d(
                x=x,
                y=y,
                z=view.path.losses,
                mode="lines+markers",
                marker={"size": 3, "color": "black"},
                line={"width": 4, "color": "black"},
                text=[f"epoch {epoch}" for epoch in view.path.epochs],
                name="path",
                showlegend=False,
            )
        )
    return traces
