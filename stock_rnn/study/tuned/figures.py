"""The figures of the part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stock_rnn.curvature.palette import add_title
from stock_rnn.study.plan import NETWORKS
from stock_rnn.study.records import Record
from stock_rnn.study.report.style import PERSISTENCE, REFERENCE, new_figure
from stock_rnn.study.report.tables import network_name
from stock_rnn.study.tuned.measures import (
    epochs_to,
    median,
    performance_ratios,
    profile,
    seconds,
    seconds_to,
)
from stock_rnn.study.tuned.plan import ONE_SHOT_RATE, Subject, grid
from stock_rnn.study.tuned.procedures import ONE_SHOT, TUNED, Procedure
from stock_rnn.study.tuned.results import Results, networks, of_smallest
from stock_rnn.study.tuned.style import STYLES

# Losses above this share of persistence's are drawn at the upper edge: an untrained network has
# about a hundred.
_HIGHEST = 300.0

# The factors that the profiles' panels end at; those of failed runs would leave no space.
_WIDEST = {"test loss after the last epoch": 5.0, "epochs to the target": 100.0}


def all_figures(results: Results) -> dict[str, Figure]:
    """Name -> figure; those without records are left out."""
    drawn = {
        "rate_curves": rate_curves(results),
        "profiles": profiles(results),
        "time_to_target": time_to_target(results),
        "by_epoch_and_second": by_epoch_and_second(results),
    }
    return {name: figure for name, figure in drawn.items() if figure}


def rate_curves(results: Results) -> Figure | None:
    """Validation loss against the rate, a panel a network: geometric mean and range of seeds."""
    shown = [network for network in networks() if _searched(results, network)]
    if not shown:
        return None
    rows = -(-len(shown) // 2)
    figure, panels = new_figure(11, 1.0 + 4.3 * rows, rows, min(len(shown), 2))
    for axes in panels[len(shown) :]:
        axes.remove()
    for axes, network in zip(panels, shown, strict=False):
        _rates_of(axes, results, network)
    _legend_below(figure, panels[0])
    add_title(
        figure,
        f"{_symbol(results)}: loss on the last tenth of the training examples by learning rate; "
        "ringed: the chosen rate",
    )
    return figure


def _rates_of(axes: Axes, results: Results, network: tuple[int, int]) -> None:
    subjects = _searched(results, network)
    level = 0.0
    for subject in subjects:
        runs = {rate: results.search.runs(subject, rate) for rate in grid()[subject].rates}
        runs = {rate: found for rate, found in runs.items() if found}
        level = next(iter(runs.values()))[0].persistence["validation"]
        values = [np.array([r.last("validation_loss") for r in each]) for each in runs.values()]
        top = _HIGHEST * level
        x = np.array(list(runs))
        mean = np.array([np.exp(np.mean(np.log(each))) for each in values])
        low, high = (np.array([end(each) for each in values]) for end in (np.min, np.max))
        color, line, marker = STYLES[subject.optimizer]
        axes.plot(x, np.minimum(mean, top), color=color, ls=line, marker=marker, ms=4, lw=1.4,
                  label=subject.optimizer)  # fmt: skip
        ends = np.minimum(low, top), np.minimum(high, top)
        axes.fill_between(x, *ends, color=color, alpha=0.15, lw=0)
        if choice := results.choices.get(subject):
            axes.plot(choice.rate, choice.loss, marker="o", ms=11, mfc="none", color=color)
    axes.axhline(level, color=PERSISTENCE, lw=1.4, ls=":", label="persistence")
    axes.axvline(ONE_SHOT_RATE, color=REFERENCE, lw=0.8, label="the report's rate")
    seeds = grid()[subjects[0]].seeds
    plural = "s" if len(seeds) > 1 else ""
    axes.set(
        xscale="log",
        yscale="log",
        # The same for every panel, whatever is finished.
        xlim=(6e-6, 17.0),
        ylim=(0.6 * level, 1.15 * _HIGHEST * level),
        xlabel="initial learning rate",
        ylabel="validation loss (MSE)",
        title=f"{network_name(network)}, {len(seeds)} seed{plural} a rate",
    )
    axes.annotate(
        f"at the upper edge: {_HIGHEST:.0f} times persistence and more, or diverged",
        (0.015, 0.02),
        xycoords="axes fraction",
        ha="left",
        va="bottom",
        fontsize="small",
        color=PERSISTENCE,
    )


def profiles(results: Results) -> Figure | None:
    """Performance profiles of the optimizers at 1 x 32, seeds as problems; a row a procedure."""
    if not _rerun(results, TUNED):
        return None
    figure, panels = new_figure(11, 8.4, 2, 2)
    for row, procedure in enumerate((TUNED, ONE_SHOT)):
        _profiles_of(panels[2 * row : 2 * row + 2], results, procedure)
    _legend_below(figure, panels[0])
    add_title(
        figure,
        f"{_symbol(results)}, {network_name(NETWORKS[0])}: share of seeds on which an optimizer "
        "is within a factor of the best one",
    )
    return figure


def _profiles_of(panels: list[Axes], results: Results, procedure: Procedure) -> None:
    target = results.targets[NETWORKS[0]]
    runs = _rerun(results, procedure)
    seeds = sorted(set.intersection(*map(set, runs.values()))) if runs else []
    if not seeds:
        return
    costs = {
        "test loss after the last epoch": lambda run: run.last("test_loss"),
        "epochs to the target": lambda run: epochs_to(run, target),
    }
    for axes, (what, cost) in zip(panels, costs.items(), strict=True):
        ratios = performance_ratios(
            np.array([[cost(of[seed]) for of in runs.values()] for seed in seeds])
        )
        finite = ratios[np.isfinite(ratios)]
        right = min(_WIDEST[what], max(2.0, 1.3 * float(finite.max(initial=1.0))))
        for name, column in zip(runs, ratios.T, strict=True):
            tau, share = profile(column)
            color, line, _ = STYLES[name]
            axes.step(
                [*tau, max(right, tau[-1])],
                [*share, share[-1]],
                where="post", color=color, ls=line, lw=1.6, label=name,
            )  # fmt: skip
        axes.set(
            xscale="log",
            xlim=(1.0, right),
            ylim=(-0.03, 1.03),
            xlabel=f"{what} / the lowest of all optimizers",
            ylabel="share of seeds",
            title=f"{procedure.name}: {what.split(' after')[0]}",
        )
        _plain_ticks(axes, right)


def time_to_target(results: Results) -> Figure | None:
    """Epochs and seconds to the target at 1 x 32: a dot a seed, tuned full, one-shot hollow."""
    target = results.targets[NETWORKS[0]]
    tuned = _rerun(results, TUNED)
    if not tuned or math.isnan(target):
        return None
    figure, panels = new_figure(11, 1.6 + 0.5 * len(tuned), 1, 2)
    measures = {"epochs": epochs_to, "processor's seconds": seconds_to}
    for axes, (unit, cost) in zip(panels, measures.items(), strict=True):
        found = {
            procedure: {
                name: np.array([cost(run, target) for run in of.values()])
                for name, of in _rerun(results, procedure).items()
            }
            for procedure in (TUNED, ONE_SHOT)
        }
        every = np.concatenate([v for of in found.values() for v in of.values()])
        right = 1.6 * float(every[np.isfinite(every)].max(initial=1.0))
        for place, name in enumerate(tuned):
            for procedure, of in found.items():
                if name in of:
                    _dots(axes, place, name, of[name], right, procedure)
        axes.set(xscale="log", xlabel=f"{unit} to the target", ylim=(len(tuned) - 0.5, -0.6))
        axes.set_xlim(None, 2.2 * right)
        _plain_ticks(axes, right / 1.6)
        axes.axvline(right / 1.2, color=PERSISTENCE, lw=0.8)
        axes.annotate("not reached", (right / 1.1, -0.4), fontsize="x-small", color=PERSISTENCE)
        axes.set_yticks(range(len(tuned)), list(tuned) if unit == "epochs" else [])
    for label, fill in (("tuned", "full"), ("one-shot", "none")):
        panels[1].plot([], [], ls="", marker="o", color=REFERENCE, fillstyle=fill, label=label)
    panels[1].legend(loc="lower left", fontsize="small")
    add_title(
        figure,
        f"{_symbol(results)}, {network_name(NETWORKS[0])}: time until the validation loss is "
        f"{target:.2e} (persistence {_persistence(results):.2e}); bars: medians; "
        "at the right: how many seeds do not reach it",
    )
    return figure


def _dots(
    axes: Axes, place: int, name: str, values: np.ndarray, right: float, procedure: Procedure
) -> None:
    """One optimizer's seeds, their median, and how many do not reach the target."""
    color, _, marker = STYLES[name]
    tuned = procedure is TUNED
    y = place + (-0.17 if tuned else 0.17)
    reached = values[np.isfinite(values)]
    spread = y + np.linspace(-0.09, 0.09, len(values))[: len(reached)]
    style: dict[str, Any] = {"color": color, "ls": "", "marker": marker, "ms": 5}
    axes.plot(reached, spread, mfc=color if tuned else "none", alpha=0.8, **style)
    if math.isfinite(middle := median(values)):
        axes.plot([middle, middle], [y - 0.16, y + 0.16], color=color, lw=2.0)
    if lost := len(values) - len(reached):
        text = f"{lost} of {len(values)}"
        axes.annotate(text, (right, y), va="center", fontsize="x-small", color=REFERENCE)


def by_epoch_and_second(results: Results) -> Figure | None:
    """Validation loss against epochs and seconds at 1 x 32: median and quartiles of the seeds."""
    if not _rerun(results, TUNED):
        return None
    figure, panels = new_figure(11, 8.4, 2, 2)
    level, target = _persistence(results), results.targets[NETWORKS[0]]
    for row, procedure in enumerate((TUNED, ONE_SHOT)):
        of = panels[2 * row : 2 * row + 2]
        for name, found in _rerun(results, procedure).items():
            _curves(of, name, [run for run in found.values() if run.diverged is None])
        for axes, unit in zip(of, ("epochs", "processor's seconds of training"), strict=True):
            axes.axhline(level, color=PERSISTENCE, lw=1.4, ls=":", label="persistence")
            if not math.isnan(target):
                axes.axhline(target, color=REFERENCE, lw=0.8, label="target")
            axes.set(
                yscale="log",
                ylim=(0.6 * level, _HIGHEST * level),
                xlabel=unit,
                ylabel="validation loss (MSE)",
                title=str(procedure).rsplit(",", 1)[0],
            )
        of[1].set_xscale("log")
    _legend_below(figure, panels[0])
    add_title(
        figure,
        f"{_symbol(results)}, {network_name(NETWORKS[0])}: median of the seeds, bands: the middle "
        "half of them",
    )
    return figure


def _curves(panels: list[Axes], name: str, runs: list[Record]) -> None:
    if not runs:
        return
    color, line, _ = STYLES[name]
    losses = np.array([run.epochs["validation_loss"] for run in runs])
    time = np.median([seconds(run) for run in runs], axis=0)
    for axes, x, first in ((panels[0], runs[0].epochs["epoch"], 0), (panels[1], time, 1)):
        middle = np.median(losses, axis=0)[first:]
        axes.plot(x[first:], middle, color=color, ls=line, lw=1.5, label=name)
        low, high = np.quantile(losses, [0.25, 0.75], axis=0)[:, first:]
        axes.fill_between(x[first:], low, high, color=color, alpha=0.1, lw=0)


# Shared parts


def _symbol(results: Results) -> str:
    """The symbol for a title. A dollar sign is escaped: it would start a formula."""
    return results.symbol.replace("$", r"\$")


def _searched(results: Results, network: tuple[int, int]) -> list[Subject]:
    """The subjects of a network that have records of the search."""
    return [
        subject
        for subject, of in grid().items()
        if subject.network == network
        and any(results.search.runs(subject, rate) for rate in of.rates)
    ]


def _rerun(results: Results, procedure: Procedure) -> dict[str, dict[int, Record]]:
    """Optimizer -> its runs of a procedure at 1 x 32."""
    found = {s.optimizer: results.reruns[procedure].of(s) for s in of_smallest()}
    return {name: runs for name, runs in found.items() if runs}


def _persistence(results: Results) -> float:
    """Persistence's validation loss."""
    runs = _rerun(results, TUNED)
    return next(iter(next(iter(runs.values())).values())).persistence["validation"]


def _legend_below(figure: Figure, panel: Axes) -> None:
    """One legend for all panels, below them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize="small", ncols=6)


def _plain_ticks(axes: Axes, right: float) -> None:
    """Ticks up to the right end as plain numbers, and no others between them."""
    left = axes.get_xlim()[0]
    steps = (1.0, 2.0, 5.0) if right > 10.0 * left else (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0)
    numbers = [step * 10.0**exponent for exponent in range(-4, 4) for step in steps]
    ticks = [t for t in numbers if left <= t <= right]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
