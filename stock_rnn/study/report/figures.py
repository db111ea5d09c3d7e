"""The figures of the study: of the procedure that the verdicts are on, with a dot for each seed.

Losses are those with dropout on, because they decide. Curvature is that of the loss with dropout
off, which can be measured for every network, unless the axis says "own objective".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn.study.judge.claims import REPORT_TABLES
from stock_rnn.study.judge.statistics import summarize
from stock_rnn.study.judge.variants import PRIMARY
from stock_rnn.study.plan import NETWORKS, OPTIMIZERS
from stock_rnn.study.records import ESCAPE_FACTOR, SHOWN_DAYS, Record, Study
from stock_rnn.study.report import tables
from stock_rnn.study.report.style import (
    ACTUAL,
    LETTERS,
    OPTIMIZER_STYLES,
    PERSISTENCE,
    PREDICTED,
    REFERENCE,
    WIDTH,
    new_figure,
    use_log_axis,
)

Array = NDArray[np.float64]

#: A figure and the records that it shows.
Drawn = tuple[Figure, list[Record]]

# How the columns of the losses that decide end.
_DECIDES = "_dropout" if PRIMARY.dropout else ""

_SMALLEST = tables.network_name(NETWORKS[0])

# What a loss is called.
_LOSS = {"train": "training loss, dropout on", "test": "test loss, dropout on"}


def all_figures(study: Study) -> dict[str, Drawn]:
    """Name -> figure and the records it shows; figures without records are left out."""
    figures: dict[str, Drawn | None] = {"losses": losses(study), "rates": rates(study)}
    for protocol in ("appendix", "text"):
        figures[f"epochs_{protocol}"] = epochs(study, protocol)
    figures["eigenvalues"] = eigenvalues(study)
    figures["edge_of_stability"] = edge_of_stability(study)
    figures["escapes"] = escapes(study)
    figures["sizes"] = sizes(study)
    # Figure 5.1 shows the runs of table 5.1, and so on.
    figures |= {f"figure_{table}": predictions(study, table) for table in REPORT_TABLES}
    return {name: drawn for name, drawn in figures.items() if drawn}


def losses(study: Study) -> Drawn | None:
    """Both losses of every network and optimizer beside the report's numbers and persistence."""
    runs = {
        (network, name): list(study.runs(PRIMARY.protocol, network, name).values())
        for network in NETWORKS
        for name in OPTIMIZERS
    }
    everything = [record for records in runs.values() for record in records]
    if not any(np.isfinite(r.last(f"train_loss{_DECIDES}")) for r in everything):
        return None
    figure, panels = new_figure(WIDTH, 6.4, 2)
    for axes, which in zip(panels, ("train", "test"), strict=True):
        for (network, name), records in runs.items():
            place = NETWORKS.index(network) + 0.19 * (OPTIMIZERS.index(name) - 1.5)
            _dots(axes, name, place, [r.last(f"{which}_loss{_DECIDES}") for r in records])
        _report_marks(axes, which)
        _persistence(axes, everything, which)
        axes.set_xticks(range(len(NETWORKS)), [tables.network_name(n) for n in NETWORKS])
        axes.set_xlim(-0.5, len(NETWORKS) - 0.5)
        axes.set(yscale="log", ylabel=_LOSS[which])
        use_log_axis(axes.yaxis)
    for name in OPTIMIZERS:
        if any(records for (_, other), records in runs.items() if other == name):
            color, _, marker = OPTIMIZER_STYLES[name]
            panels[0].plot([], [], color=color, marker=marker, ls="", label=name)
    _legend(panels[0], ncols=3)
    panels[1].set_xlabel("layers x units")
    _title(figure, f"{_symbol(everything)}: losses by network and optimizer")
    return figure, everything


def _report_marks(axes: Axes, which: str) -> None:
    """A star for each number of the report's tables, at its optimizer."""
    for at, (network, name, *numbers) in enumerate(REPORT_TABLES.values()):
        place = NETWORKS.index(network) + 0.19 * (OPTIMIZERS.index(name) - 1.5)
        loss = numbers[which == "test"]
        style: dict[str, Any] = {"marker": "*", "ms": 12, "mec": REFERENCE, "ls": "", "zorder": 4}
        label = None if at else "the report"
        axes.plot(place, loss, color=OPTIMIZER_STYLES[name][0], label=label, **style)


def predictions(study: Study, table: str) -> Drawn | None:
    """Figure 5.x in the report's layout: the newest 100 days, actual red, predicted blue.

    The line is the run of the lowest seed; the band is the range over all seeds. Dropout is on:
    of each run one draw of masks.
    """
    network, optimizer, _, _ = REPORT_TABLES[table]
    found = study.runs(PRIMARY.protocol, network, optimizer).values()
    runs = [r for r in found if r.diverged is None]
    if not runs:
        return None
    newest = slice(-SHOWN_DAYS, None)
    dates = np.array(runs[0].predictions["dates"][newest], dtype="datetime64[D]")
    actual = 100 * np.array(runs[0].predictions["actual"][newest])
    column = f"predicted{_DECIDES}"
    predicted = 100 * np.array([r.predictions[column][newest] for r in runs])
    figure, (axes,) = new_figure(WIDTH, 3.6)
    axes.axhline(0.0, color=PERSISTENCE, lw=1.2, ls=":", label="persistence")
    axes.plot(dates, actual, color=ACTUAL, lw=1.2, label="actual")
    axes.plot(dates, predicted[0], color=PREDICTED, lw=1.2, ls="--", label="predicted, one seed")
    if len(runs) > 1:
        band = predicted.min(axis=0), predicted.max(axis=0)
        label = f"range of {len(runs)} seeds"
        axes.fill_between(dates, *band, color=PREDICTED, alpha=0.25, lw=0, label=label)
    locator = AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_ylabel("change in a day, %")
    _legend(axes, ncols=2)
    title = f"Figure {table}: {optimizer}, {tables.network_name(network)}, {_symbol(runs)}"
    _title(figure, title)
    return figure, runs


def epochs(study: Study, protocol: str) -> Drawn | None:
    """Both losses by epoch at 1 x 32: median and range of the seeds."""
    runs = _by_optimizer(study, protocol, NETWORKS[0], f"train_loss{_DECIDES}")
    if not runs:
        return None
    everything = _flat(runs)
    figure, panels = new_figure(WIDTH, 5.6, 2)
    for axes, which in zip(panels, ("train", "test"), strict=True):
        for name, records in runs.items():
            _band(axes, name, records, f"{which}_loss{_DECIDES}")
        _persistence(axes, everything, which)
        axes.set(yscale="log", ylabel=_LOSS[which])
        use_log_axis(axes.yaxis)
    _legend(panels[0])
    panels[1].set_xlabel("epochs of training done")
    _title(figure, f"{_symbol(everything)}, {_SMALLEST}, protocol {protocol}: losses by epoch")
    return figure, everything


def eigenvalues(study: Study) -> Drawn | None:
    """Gradient norm, λ_max and λ_min by epoch at 1 x 32: median and range of seeds."""
    runs = _by_optimizer(study, PRIMARY.protocol, NETWORKS[0], "objective_gradient_norm")
    if not runs:
        return None
    figure, panels = new_figure(WIDTH, 7.6, 3)
    gradient, top, bottom = panels
    everything = _flat(runs)
    for name, records in runs.items():
        _band(gradient, name, records, "objective_gradient_norm", relative=True)
        _band(top, name, records, "lambda_max")
        _band(bottom, name, records, "lambda_min")
    gradient.set(yscale="log", ylabel="gradient norm of the first\nown objective")
    use_log_axis(gradient.yaxis)
    top.set(ylabel="λ_max of the Hessian\ndropout off", ylim=(0, None))
    # Linear around zero, so that both signs show.
    bottom.set_yscale("symlog", linthresh=1e-4)
    use_log_axis(bottom.yaxis)
    bottom.axhline(0.0, color=REFERENCE, lw=0.8)
    bottom.set(ylabel="λ_min of the Hessian\ndropout off", xlabel="epochs of training done")
    _legend(gradient, ncols=2)
    _title(figure, f"{_symbol(everything)}, {_SMALLEST}: curvature by epoch")
    return figure, everything


def edge_of_stability(study: Study) -> Drawn | None:
    """The preconditioned top eigenvalue at the end as a share of the stability line."""
    runs = {
        network: found
        for network in NETWORKS
        if (found := _by_optimizer(study, PRIMARY.protocol, network, "preconditioned_max"))
    }
    everything = [record for found in runs.values() for record in _flat(found)]
    if not everything:
        return None
    figure, (axes,) = new_figure(WIDTH, 3.6)
    names = [name for name in OPTIMIZERS if any(name in found for found in runs.values())]
    for place, (_, found) in enumerate(runs.items()):
        for name, records in found.items():
            shares = [r.last("preconditioned_max") / r.last("stability_line") for r in records]
            at = place + 0.19 * (OPTIMIZERS.index(name) - 1.5)
            _dots(axes, name, at, shares)
    for name in names:
        color, _, marker = OPTIMIZER_STYLES[name]
        axes.plot([], [], color=color, marker=marker, ls="", label=name)
    axes.axhline(1.0, color=REFERENCE, lw=0.8, label="stability line")
    axes.set_xticks(range(len(runs)), [tables.network_name(network) for network in runs])
    axes.set_xlim(-0.5, len(runs) - 0.5)
    axes.set(yscale="log", ylabel="preconditioned λ_max\nof the stability line")
    use_log_axis(axes.yaxis)
    _legend(axes, ncols=3)
    _title(figure, f"{_symbol(everything)}: how near to instability training ends")
    return figure, everything


def escapes(study: Study) -> Drawn | None:
    """From a constructed saddle: the distance by step, and when it was predicted to be e-fold."""
    table = tables.escapes(study)
    if not len(table):
        return None
    runs = [r for r in study.records if r.task.start == "saddle"]
    figure, panels = new_figure(WIDTH, 7.4, 2)
    _distances(panels[0], runs)
    _escape_steps(panels[1], table)
    _title(figure, f"{_symbol(runs)}, {_SMALLEST}: from a constructed saddle, full batches")
    return figure, runs


def _distances(axes: Axes, runs: list[Record]) -> None:
    """A line a run: its distance from the saddle in units of the first, by step."""
    for name in OPTIMIZERS:
        color, line, _ = OPTIMIZER_STYLES[name]
        of = [r for r in runs if r.config.optimizer == name]
        for at, record in enumerate(of):
            distance = np.abs(record.epochs["displacement"])
            # So few points that the picture stays small.
            thin = np.unique(np.linspace(0, len(distance) - 1, 60).round().astype(int))
            steps, grown = record.epochs["step"][thin], distance[thin] / distance[0]
            label = None if at else _seeds(name, len(of))
            axes.plot(steps, grown, color=color, ls=line, lw=1.0, alpha=0.8, label=label)
    axes.axhline(ESCAPE_FACTOR, color=REFERENCE, lw=0.8)
    axes.annotate(
        "escaped: e times as far",
        (0.99, ESCAPE_FACTOR),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=LETTERS,
    )
    axes.set(xlabel="steps", ylabel="distance from the saddle\nof the first")
    axes.set_ylim(0.0, 1.25 * ESCAPE_FACTOR)
    _legend(axes)


def _escape_steps(axes: Axes, table: pd.DataFrame) -> None:
    """The steps until e times as far: predicted and observed, seeds side by side."""
    names = [name for name in OPTIMIZERS if (table["optimizer"] == name).any()]
    for place, name in enumerate(names):
        of = table[table["optimizer"] == name]
        left = np.isfinite(of["observed_steps"])
        spread = place + np.linspace(-0.09, 0.09, len(of))
        color, _, marker = OPTIMIZER_STYLES[name]
        marks: dict[str, Any] = {"color": color, "ls": "", "ms": 5}
        axes.plot(spread - 0.25, of["predicted_steps"], marker="_", **marks)
        axes.plot(spread, of["preconditioned_steps"], marker="x", **marks)
        axes.plot(spread[left] + 0.25, of["observed_steps"][left], marker=marker, **marks)
        hollow = {**marks, "mfc": "none"}
        axes.plot(spread[~left] + 0.25, of["run_steps"][~left], marker=marker, **hollow)
    axes.axhline(float(table["run_steps"].max()), color=PERSISTENCE, lw=1.0, ls=":")
    meanings = (
        ("_", "full", "predicted for gradient descent"),
        ("x", "full", "predicted from the preconditioned Hessian"),
        ("o", "full", "observed"),
        ("o", "none", "not escaped when the run ended"),
    )
    for marker, fill, label in meanings:
        axes.plot([], [], ls="", marker=marker, color=REFERENCE, fillstyle=fill, label=label)
    axes.set_xticks(range(len(names)), names)
    axes.set(yscale="log", ylabel="steps until e times as far")
    # Space for the legend above the marks.
    axes.set_ylim(1, 1e6 * float(table["predicted_steps"].max()))
    use_log_axis(axes.yaxis)
    _legend(axes)


def sizes(study: Study) -> Drawn | None:
    """Training and test loss of RMSProp by the number of units."""
    return _sweep(study, tables.sizes(study), "lstm_size", "units (one layer, rmsprop)", 2)


def rates(study: Study) -> Drawn | None:
    """Training and test loss of SGD by its learning rate, with RMSProp's for comparison."""
    table, setting = tables.rates(study), "init_learning_rate"
    drawn = _sweep(study, table, setting, "SGD's learning rate (1 x 32)", 10)
    reference = list(study.runs(PRIMARY.protocol, NETWORKS[0], "rmsprop").values())
    if drawn and reference:
        figure, shown = drawn
        for axes, which in zip(figure.axes, ("train", "test"), strict=True):
            level = summarize(np.log([r.last(f"{which}_loss{_DECIDES}") for r in reference])).value
            color, line, _ = OPTIMIZER_STYLES["rmsprop"]
            label = "rmsprop, learning rate 0.001"
            axes.axhline(float(np.exp(level)), color=color, lw=1.4, ls=line, label=label)
        _legend(figure.axes[0])
        return figure, [*shown, *reference]
    return drawn


def _sweep(study: Study, table: pd.DataFrame, setting: str, label: str, base: int) -> Drawn | None:
    """Both losses by a setting. Settings at which a run diverged have a note, and no mean."""
    if not len(table) or not np.isfinite(table["mean"]).any():
        return None
    keys = {record.key: record for record in study.records}
    figure, panels = new_figure(WIDTH, 6.0, 2)
    name = str(table["optimizer"].iloc[0])
    for axes, which in zip(panels, ("train", "test"), strict=True):
        of = table[(table["set"] == which) & (table["dropout"] == "on")]
        for _, row in of.iterrows():
            found = [keys[key] for key in row["runs"].split()]
            losses = [r.last(f"{which}_loss{_DECIDES}") for r in found]
            _dots(axes, name, float(row[setting]), losses, width=base**0.1)
            if row["diverged"]:
                _note(axes, float(row[setting]), f"{row['diverged']} of {row['seeds']}\ndiverged")
        level = float(of["persistence"].iloc[0])
        axes.axhline(level, color=PERSISTENCE, lw=1.2, ls=":", label="persistence")
        axes.set_xscale("log", base=base)
        # Show settings without a mean too.
        axes.set_xlim(of[setting].min() / base**0.5, of[setting].max() * base**0.5)
        axes.set(yscale="log", ylabel=_LOSS[which])
        axes.set_xticks(of[setting], [f"{value:g}" for value in of[setting]])
        axes.tick_params(axis="x", which="minor", bottom=False)
        use_log_axis(axes.yaxis, powers=False)
    panels[1].set_xlabel(label)
    _legend(panels[0])
    shown = _of(study, table)
    _title(figure, f"{_symbol(shown)}: losses by {label.partition(' (')[0]}")
    return figure, shown


def _note(axes: Axes, place: float, text: str) -> None:
    across = ("data", "axes fraction")
    axes.annotate(text, (place, 0.97), xycoords=across, ha="center", va="top", fontsize=LETTERS)


# Shared parts


def _dots(
    axes: Axes, name: str, place: float, values: Sequence[float], *, width: float | None = None
) -> None:
    """A thin dot a seed and, before them, the mean with its 95 % interval, as claims take it.

    Args:
        axes: a panel.
        name: of the optimizer.
        place: on the horizontal axis.
        values: of the seeds; without a mean if one is not finite.
        width: factor from the mean to the outermost dots on a logarithmic axis; None: the axis
            is linear.
    """
    known = np.array([value for value in values if np.isfinite(value)])
    color, _, marker = OPTIMIZER_STYLES[name]
    spread = np.linspace(-1.0, 1.0, len(known)) if len(known) > 1 else np.zeros(len(known))
    across = place + 0.07 * spread if width is None else place * width**spread
    axes.plot(across, known, color=color, marker=".", ms=3, ls="", alpha=0.45)
    if len(known) and len(known) == len(values):
        found = summarize(np.log(known))
        mean, (low, high) = np.exp(found.value), np.exp(found.interval)
        if np.isfinite([low, high]).all():
            axes.plot([place, place], [low, high], color=color, lw=2.0)
        axes.plot(place, mean, color=color, marker=marker, ms=6, mec="white", mew=0.8)


def _persistence(axes: Axes, runs: list[Record], which: str) -> None:
    level = float(np.mean([r.persistence[which] for r in runs]))
    axes.axhline(level, color=PERSISTENCE, lw=1.2, ls=":", label="persistence")


def _legend(axes: Axes, ncols: int = 1) -> None:
    axes.legend(loc="best", fontsize=LETTERS, ncols=ncols, handlelength=1.6, columnspacing=1.0)


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, fontsize=10)


def _seeds(name: str, count: int) -> str:
    return f"{name}, {count} seed{'' if count == 1 else 's'}"


def _symbol(runs: list[Record]) -> str:
    """The symbol for a title. A dollar sign is escaped: it would start a formula."""
    return str(runs[0].data["symbol"]).replace("$", r"\$")


def _by_optimizer(
    study: Study, protocol: str, network: tuple[int, int], column: str
) -> dict[str, list[Record]]:
    """Optimizer -> its runs that did not diverge and have the column."""
    found = {
        name: [
            r
            for r in study.runs(protocol, network, name).values()
            if r.diverged is None and column in r.epochs
        ]
        for name in OPTIMIZERS
    }
    return {name: records for name, records in found.items() if records}


def _band(
    axes: Axes, name: str, records: list[Record], column: str, *, relative: bool = False
) -> None:
    """A column by epoch: the median of the seeds, and their range."""
    values = np.array([r.epochs[column] for r in records])
    if relative:
        values = values / values[:, :1]
    measured = np.isfinite(values).all(axis=0)
    done, values = records[0].epochs["epoch"][measured], values[:, measured]
    color, line, marker = OPTIMIZER_STYLES[name]
    axes.plot(
        done,
        np.median(values, axis=0),
        ls=line,
        color=color,
        lw=1.6,
        label=_seeds(name, len(records)),
        marker=marker,
        ms=4,
        markevery=max(1, len(done) // 8),
    )
    axes.fill_between(done, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, lw=0)


def _flat(runs: dict[str, list[Record]]) -> list[Record]:
    return [record for records in runs.values() for record in records]


def _of(study: Study, table: pd.DataFrame) -> list[Record]:
    """The records in a table's column `runs`."""
    keys = {key for cell in table["runs"] for key in str(cell).split()}
    return [r for r in study.records if r.key in keys]
