"""The tables of the study: the report's numbers and ours, and what explains them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from stock_rnn.study.judge.claims import REPORT_TABLES
from stock_rnn.study.judge.escapes import escape
from stock_rnn.study.judge.measures import gradient_exponent, quotient
from stock_rnn.study.judge.statistics import Summary, probability_of_improvement, summarize
from stock_rnn.study.plan import LEARNING_RATES, NETWORKS, OPTIMIZERS, PROTOCOLS, SIZES
from stock_rnn.study.records import Record, Study

Rows = list[dict[str, Any]]

# Whether dropout is on -> how the columns of its losses end.
_DROPOUT = {"on": "_dropout", "off": ""}


def all_tables(study: Study) -> dict[str, pd.DataFrame]:
    """Name -> table; tables without rows are left out.

    Each has a column `runs`: the keys of the records that the row was computed from.
    """
    tables = {f"table_{name}": report_table(study, name) for name in REPORT_TABLES}
    tables |= {
        "optimizers": optimizers(study),
        "improvement": improvement(study),
        "lines": lines(study),
        "escapes": escapes(study),
        "curvature": curvature(study),
        "sizes": sizes(study),
        "rates": rates(study),
    }
    return {name: table for name, table in tables.items() if len(table)}


def runs_table(found: Iterable[Record]) -> pd.DataFrame:
    """A row for each run: settings, final values, command. The order is that of the settings."""
    rows = pd.DataFrame([_run_row(record) for record in found])
    if rows.empty:
        return rows
    order = ["protocol", "start", "num_layers", "lstm_size", "optimizer", "init_learning_rate"]
    return rows.sort_values([*order, "seed", "run"], ignore_index=True)


_FINAL_VALUES = (
    "train_loss",
    "test_loss",
    "train_loss_dropout",
    "test_loss_dropout",
    "gradient_norm",
    "lambda_min",
    "residual_min",
    "rounding",
    "certified_negative",
    "lambda_max",
    "residual_max",
    "preconditioned_max",
    "stability_line",
    "negative_index",
    "negative_index_error",
    "gradient_negative_share",
    "update_negative_share",
    "objective_loss",
    "objective_gradient_norm",
    "objective_lambda_min",
    "loss_along_v_min",
    "loss_along_gradient",
    "loss_along_random",
)


def _run_row(record: Record) -> dict[str, Any]:
    config = record.config
    return {
        "run": record.key,
        "protocol": record.protocol,
        "start": record.task.start,
        "schedule": record.task.schedule,
        "cell": config.cell,
        "keep_prob": config.keep_prob,
        "optimizer": config.optimizer,
        "num_layers": config.num_layers,
        "lstm_size": config.lstm_size,
        "init_learning_rate": config.init_learning_rate,
        "max_epoch": config.max_epoch,
        "seed": config.seed,
        "diverged": "" if record.diverged is None else record.diverged,
        **{f"persistence_{name}": record.persistence[name] for name in ("train", "test")},
        **{name: record.last(name) for name in _FINAL_VALUES},
        "intersections": record.intersections(dropout=False),
        "intersections_dropout": record.intersections(dropout=True),
        "command": record.command(),
    }


def report_table(study: Study, name: str) -> pd.DataFrame:
    """Table 5.x: losses of its network with every optimizer, mean and 95 % interval.

    The column `report` has the report's numbers, in the rows of the optimizer that it used.
    """
    network, optimizer, *theirs = REPORT_TABLES[name]
    rows: Rows = []
    for protocol, dropout, ours in itertools.product(PROTOCOLS, _DROPOUT, OPTIMIZERS):
        runs = list(study.runs(protocol, network, ours).values())
        if not runs:
            continue
        for which, report in zip(("train", "test"), theirs, strict=True):
            column = f"{which}_loss{_DROPOUT[dropout]}"
            rows.append(
                {
                    "protocol": protocol,
                    "dropout": dropout,
                    "optimizer": ours,
                    "set": which,
                    "report": report if ours == optimizer else np.nan,
                    **_mean([r.last(column) for r in runs]),
                    "persistence": float(np.mean([r.persistence[which] for r in runs])),
                    "runs": _keys(runs),
                }
            )
    return pd.DataFrame(rows)


def optimizers(study: Study) -> pd.DataFrame:
    """Skill against persistence by optimizer and network: interquartile mean, 95 % interval."""
    rows: Rows = []
    kinds = itertools.product(PROTOCOLS, _DROPOUT, NETWORKS, OPTIMIZERS)
    for protocol, dropout, network, optimizer in kinds:
        runs = list(study.runs(protocol, network, optimizer).values())
        if runs:
            column = f"test_loss{_DROPOUT[dropout]}"
            skills = [1.0 - quotient(r.last(column), r.persistence["test"]) for r in runs]
            skill = summarize(np.array(skills))
            rows.append(
                {
                    "protocol": protocol,
                    "dropout": dropout,
                    "network": network_name(network),
                    "optimizer": optimizer,
                    "test_skill_iqm": skill.value,
                    **_interval(skill),
                    "seeds": skill.seeds,
                    "runs": _keys(runs),
                }
            )
    return pd.DataFrame(rows)


def improvement(study: Study) -> pd.DataFrame:
    """P(X < Y): the probability that a run of X has the lower test loss, mean over networks."""
    rows: Rows = []
    for protocol, (x, y) in itertools.product(PROTOCOLS, itertools.combinations(OPTIMIZERS, 2)):
        pairs = [
            (ours, theirs)
            for network in NETWORKS
            if (ours := study.runs(protocol, network, x))
            and (theirs := study.runs(protocol, network, y))
        ]
        # Seeds are resampled together over the networks, so all networks must have them.
        every = [set(runs) for pair in pairs for runs in pair]
        seeds = sorted(set.intersection(*every)) if every else []
        if seeds:
            losses = [
                [np.array([runs[seed].last("test_loss") for seed in seeds]) for runs in side]
                for side in zip(*pairs, strict=True)
            ]
            found = probability_of_improvement(*losses)
            used = [runs[seed] for pair in pairs for runs in pair for seed in seeds]
            rows.append(
                {
                    "protocol": protocol,
                    "x": x,
                    "y": y,
                    "networks": len(pairs),
                    "probability": found.value,
                    **_interval(found),
                    "seeds": found.seeds,
                    "runs": _keys(used),
                }
            )
    return pd.DataFrame(rows)


def lines(study: Study) -> pd.DataFrame:
    """What lines from the end of a run are worth: the loss on them, in units of that at the end.

    Of the training's own objective, 1 x 32: along v_min, the gradient and random directions.
    """
    rows: Rows = []
    for protocol, optimizer in itertools.product(PROTOCOLS, OPTIMIZERS):
        runs = [
            r
            for r in study.runs(protocol, NETWORKS[0], optimizer).values()
            if r.diverged is None and "objective_lambda_min" in r.epochs
        ]
        if not runs:
            continue
        row: dict[str, Any] = {"protocol": protocol, "optimizer": optimizer}
        for name in ("v_min", "gradient", "random"):
            ends = [(r.last(f"loss_along_{name}"), r.last("objective_loss")) for r in runs]
            found = summarize(np.array([quotient(*end) for end in ends]))
            row |= {f"{name}_iqm": found.value}
            row |= {f"{name}_{end}": value for end, value in _interval(found).items()}
        for name in ("objective_lambda_min", "objective_gauss_newton", "objective_lambda_max"):
            row[f"median_{name}"] = float(np.median([r.last(name) for r in runs]))
        norms = np.array([r.epochs["objective_gradient_norm"][[0, -1]] for r in runs])
        row["median_gradient_norm_of_first"] = float(np.median(norms[:, 1] / norms[:, 0]))
        certified = [r.last("objective_certified_negative") == 1.0 for r in runs]
        row["certified_negative"] = sum(certified)
        rows.append({**row, "seeds": len(runs), "runs": _keys(runs)})
    return pd.DataFrame(rows)


def escapes(study: Study) -> pd.DataFrame:
    """A row for each start at a constructed saddle."""
    return pd.DataFrame(
        [
            {**_settings(record), **dataclasses.asdict(escape(record)), "runs": record.key}
            for record in _in_order(study.records)
            if record.task.start == "saddle"
        ]
    )


def curvature(study: Study) -> pd.DataFrame:
    """Curvature at the end of runs: plain and preconditioned, negative shares, exponent.

    The columns ending in "_seeds" say how many seeds have the value: some have only the
    described seeds.
    """
    columns: dict[str, Callable[[Record], float]] = {
        "lambda_max": lambda r: r.last("lambda_max"),
        "lambda_min": lambda r: r.last("lambda_min"),
        "preconditioned_max_of_line": lambda r: (
            r.last("preconditioned_max") / r.last("stability_line")
        ),
        "gradient_negative_share": lambda r: r.last("gradient_negative_share"),
        "update_negative_share": lambda r: r.last("update_negative_share"),
        "negative_index": lambda r: r.last("negative_index"),
        "gradient_exponent": lambda r: gradient_exponent([r], True),
    }
    rows: Rows = []
    for protocol, network, optimizer in itertools.product(PROTOCOLS, NETWORKS, OPTIMIZERS):
        runs = _measured(study.runs(protocol, network, optimizer).values())
        if not runs:
            continue
        row = {"protocol": protocol, "network": network_name(network), "optimizer": optimizer}
        for name, value in columns.items():
            values = np.array([value(r) for r in runs])
            known = values[~np.isnan(values)]
            found = summarize(known)
            row |= {f"{name}_iqm": found.value}
            row |= {f"{name}_{end}": v for end, v in _interval(found).items()}
            row |= {f"{name}_seeds": len(known)}
        rows.append({**row, "seeds": len(runs), "runs": _keys(runs)})
    return pd.DataFrame(rows)


def sizes(study: Study) -> pd.DataFrame:
    """Losses of RMSProp with one layer, by its units: mean and 95 % interval."""
    return _by_setting(study, "lstm_size", SIZES, "rmsprop")


def rates(study: Study) -> pd.DataFrame:
    """Losses of SGD by its learning rate: mean and 95 % interval."""
    return _by_setting(study, "init_learning_rate", LEARNING_RATES, "sgd")


def _by_setting(
    study: Study, setting: str, values: Iterable[float], optimizer: str
) -> pd.DataFrame:
    rows: Rows = []
    for value in values:
        size, rate = (int(value), 0.001) if setting == "lstm_size" else (32, value)
        runs = list(study.runs("appendix", (1, size), optimizer, rate=rate).values())
        if len(runs) == 0:
            continue
        for dropout, which in itertools.product(_DROPOUT, ("train", "test")):
            rows.append(
                {
                    setting: value,
                    "optimizer": optimizer,
                    "dropout": dropout,
                    "set": which,
                    **_mean([r.last(f"{which}_loss{_DROPOUT[dropout]}") for r in runs]),
                    "diverged": sum(r.diverged is not None for r in runs),
                    "persistence": runs[0].persistence[which],
                    "runs": _keys(runs),
                }
            )
    # The grid alone has up to two of the values: that is no sweep.
    return pd.DataFrame(rows if len(rows) > 8 else [])


def _mean(values: list[float]) -> dict[str, Any]:
    found = summarize(np.array(values), statistic=np.mean)
    return {"mean": found.value, **_interval(found), "seeds": found.seeds}


def _interval(found: Summary) -> dict[str, float]:
    return {"low": found.interval[0], "high": found.interval[1]}


def _settings(record: Record) -> dict[str, Any]:
    config = record.config
    return {
        "protocol": record.protocol,
        "network": network_name(record.network),
        "optimizer": config.optimizer,
        "init_learning_rate": config.init_learning_rate,
        "seed": config.seed,
    }


def _measured(runs: Iterable[Record]) -> list[Record]:
    return [r for r in runs if r.diverged is None and "gradient_norm" in r.epochs]


def _in_order(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda r: (*(str(v) for v in _settings(r).values()), r.key))


def network_name(network: tuple[int, int]) -> str:
    """`network`, (layers, units), as text."""
    return f"{network[0]} x {network[1]}"


def _keys(runs: Iterable[Record]) -> str:
    return " ".join(dict.fromkeys(run.key for run in runs))
