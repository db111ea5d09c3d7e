"""Forest plots: a line a stretch, the mean over stretches at the foot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from stock_rnn.curvature import palette
from stock_rnn.study.judge.claims import Claim
from stock_rnn.study.judge.verdicts import format_region
from stock_rnn.study.report.style import new_figure
from stock_rnn.study.stretches.judge import Effect, Judged

# Symbol of the prices, by order of appearance: colour and marker. The study's own come last.
_STYLES = ((palette.BLUE, "o"), (palette.ORANGE, "s"))
_OWN = (palette.GREEN, "D")
_REGION = palette.SKY_BLUE

# Share of the panel's width left free beside the outermost value.
_MARGIN = 0.06


def forest(judged: Judged) -> Figure:
    """The forest plot of one claim.

    A mark is the mean of a stretch's seeds, its line Student's 95 % interval; an arrow goes on
    beyond the panel. At the foot stands the mean over stretches: the thick line is its 95 %
    interval, the thin one decided. The region of the claim is shaded.
    """
    verdict, effects = judged.verdict, judged.effects
    claim = verdict.claim
    figure, (axes,) = new_figure(6.4, 2.6 + 0.2 * len(effects))
    low, high = _limits(judged)
    axes.set_xlim(low, high)
    if claim.scale == "log":
        _log_axis(axes, low, high)
    _draw_region(axes, claim, low, high)
    for y, effect in enumerate(effects):
        colour, marker = _style(effect, effects)
        _draw_line(axes, y, effect.value, effect.interval, colour, 1.2)
        axes.plot(effect.value, y, marker, color=colour, ms=4.5, mec="white", mew=0.4)
    foot = len(effects) + 0.8
    axes.axhline(len(effects) - 0.1, color=palette.GREY, lw=0.8)
    _draw_line(axes, foot, verdict.value, verdict.deciding, palette.BLACK, 1.2)
    _draw_line(axes, foot, verdict.value, verdict.interval, palette.BLACK, 3.4)
    axes.plot(verdict.value, foot, "D", color=palette.BLACK, ms=7, mec="white", mew=0.6)
    axes.set_yticks(
        [*range(len(effects)), foot],
        [*(effect.stretch.name for effect in effects), f"mean of {len(effects)} stretches"],
        fontsize=8,
    )
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set_ylim(foot + 0.8, -0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(_broken(claim.statistic), fontsize=9)
    axes.legend(
        handles=[
            Patch(color=_REGION, alpha=0.3, label=_holds(judged)),
            Line2D([], [], color=palette.BLACK, lw=3.4, label="95 %"),
            Line2D([], [], color=palette.BLACK, lw=1.2, label="as decided"),
        ],
        ncols=3,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        fontsize=8,
        frameon=False,
        borderaxespad=0.2,
    )
    palette.add_title(figure, f"{claim.id}: {verdict.verdict}, about stretches", size=10)
    return figure


def _holds(judged: Judged) -> str:
    """The claim's region, and on how many stretches the claim holds by itself."""
    held = sum(of.holds for of in judged.effects)
    return f"the claim: {format_region(judged.verdict.claim)} ({held} of {len(judged.effects)})"


def _broken(text: str, width: int = 60) -> str:
    """A text in two lines, broken after a comma or a space, if it is long."""
    if len(text) <= width:
        return text
    cut = text.rfind(" ", 0, width)
    return f"{text[:cut]}\n{text[cut + 1 :]}"


def _style(effect: Effect, effects: Sequence[Effect]) -> tuple[str, str]:
    if effect.stretch.own:
        return _OWN
    symbols = list(dict.fromkeys(of.stretch.data["symbol"] for of in effects))
    return _STYLES[symbols.index(effect.stretch.data["symbol"]) % len(_STYLES)]


def _limits(judged: Judged) -> tuple[float, float]:
    """The panel's ends: all values, the mean's intervals, and the region's ends are inside."""
    verdict = judged.verdict
    shown = [of.value for of in judged.effects]
    shown += [verdict.value, *verdict.interval, *verdict.deciding, *verdict.claim.region]
    log = verdict.claim.scale == "log"
    known = [at for at in shown if math.isfinite(at) and (at > 0 or not log)]
    ends = np.array([min(known, default=1.0), max(known, default=1.0)])
    ends = np.log(ends) if log else ends
    margin = max(_MARGIN * (ends[1] - ends[0]), 0.05)
    low, high = ends[0] - margin, ends[1] + margin
    return (math.exp(low), math.exp(high)) if log else (float(low), float(high))


def _log_axis(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis with plain numbers, as many as have room."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = math.log10(high / low)
    subs = [1.0] if decades > 3 else [1.0, 2.0, 5.0] if decades > 0.8 else [*range(1, 10), 1.5]
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_region(axes: Axes, claim: Claim, low: float, high: float) -> None:
    left, right = claim.region
    axes.axvspan(max(left, low), min(right, high), color=_REGION, alpha=0.3, lw=0)
    for end in (left, right):
        if low < end < high:
            axes.axvline(end, color=_REGION, lw=1.0)
    if claim.scale == "log" and low < 1.0 < high:
        axes.axvline(1.0, color=palette.BLACK, lw=1.0, ls=":")


def _draw_line(
    axes: Axes, y: float, value: float, interval: tuple[float, float], colour: str, width: float
) -> None:
    """An interval as a line, with an arrow where it leaves the panel."""
    if not math.isfinite(value) or math.isnan(interval[0]):
        return
    low, high = axes.get_xlim()
    axes.plot([max(interval[0], low), min(interval[1], high)], [y, y], color=colour, lw=width)
    for beyond, edge, arrow in ((interval[0] < low, low, "<"), (interval[1] > high, high, ">")):
        if beyond:
            axes.plot(edge, y, arrow, color=colour, ms=4, clip_on=False)
