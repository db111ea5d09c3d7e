"""The picture: the candidates' four losses against the report's."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stock_rnn.curvature import palette
from stock_rnn.study.explain.distance import report_losses
from stock_rnn.study.explain.run import Explained
from stock_rnn.study.explain.table import Row
from stock_rnn.study.report.style import new_figure

#: So many of the nearest candidates are drawn, beside the default and the single departures.
_NEAREST = 6

# The losses that the panels show; a candidate beyond is drawn at the edge, as an arrow.
_LIMITS = ((1e-5, 5e-2), (1e-5, 5e-2))

# Training and test loss: colour, marker, place in the row.
_STYLES = (("training", palette.BLUE, "o", -0.17), ("test", palette.VERMILION, "s", 0.17))


def shown(explained: Explained) -> list[Row]:
    """The rows of the picture: the nearest, then the default and the single departures."""
    rest = [row for row in explained.rows[_NEAREST:] if len(row.candidate.departures) < 2]
    return [*explained.rows[:_NEAREST], *rest]


def candidates_figure(explained: Explained, symbol: str) -> Figure:
    """A panel for table 5.1 and one for table 5.2, a line a candidate, on a log scale.

    Args:
        explained: what came out.
        symbol: of the prices, for the title.
    """
    rows = shown(explained)
    figure, panels = new_figure(11, 2.0 + 0.34 * len(rows), 1, 2)
    report = report_losses()
    titles = ("table 5.1, without RMSProp", "table 5.2, with RMSProp")
    for at, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        for one, (name, colour, marker, place) in enumerate(_STYLES):
            which = 2 * at + one
            axes.axvline(report[which], color=colour, lw=1.6, ls=("-", "--")[one], alpha=0.8)
            for y, row in enumerate(rows):
                _draw(axes, row, which, y + place, colour, marker, _LIMITS[at])
            axes.plot([], [], color=colour, marker=marker, ls=("-", "--")[one], label=name)
        axes.set(xscale="log", xlim=_LIMITS[at], title=title, xlabel="loss (mean squared error)")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)))
        axes.axhline(_NEAREST - 0.5, color=palette.GREY, lw=0.8)
    panels[0].set_yticklabels([f"{r.candidate.name}   {r.distance:.2f}" for r in rows])
    panels[1].set_yticklabels([])
    panels[1].legend(loc="upper right", fontsize="small", title="line: the report")
    palette.add_title(
        figure,
        f"What did the report measure? {symbol}, 1 x 32, seeds: {explained.seeds}; "
        f"the {_NEAREST} nearest of {len(explained.rows)} candidates and every single departure, "
        "with distances in decades",
    )
    return figure


def _draw(
    axes: Axes,
    row: Row,
    which: int,
    y: float,
    colour: str,
    marker: str,
    limits: tuple[float, ...],
) -> None:
    """One loss: a mark with the range of the seeds, or an arrow at the edge."""
    loss, (left, right) = row.losses[which], limits
    if not np.isfinite(loss) or not left <= loss <= right:
        beyond = ">" if not loss <= right else "<"
        edge = right / 1.15 if beyond == ">" else left * 1.15
        axes.plot(edge, y, color=colour, marker=beyond, ms=6)
        return
    axes.plot([row.low[which], row.high[which]], [y, y], color=colour, lw=2.0)
    axes.plot(loss, y, color=colour, marker=marker, ms=5)
