"""The tables of the study: the report's numbers and ours, and what explains them."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from stock_rnn.study.judge.claims import REPORT_TABLES
from stock_rnn.study.judge.episodes import episodes, escape
from stock_rnn.study.judge.measures import gradient_exponent, quotient
from stock_rnn.study.judge.statistics import Summary, probability_of_improvement, summarize
from stock_rnn.study.plan import LEARNING_RATES, NETWORKS, OPTIMIZERS, PROTOCOLS, SIZES
from stock_rnn.study.records import Record, Study

Rows = list[dict[str, Any]]


def all_tables(study: Study) -> dict[str, pd.DataFrame]:
    """Name -> table; tables without rows are left out.

    Each has a column `runs`: the keys of the records that the row was computed from.
    """
    tables = {f"table_{name}": report_table(study, name) for name in REPORT_TABLES}
    tables |= {
        "optimizers": optimizers(study),
        "improvement": improvement(study),
        "saddle_share": saddle_share(study),
        "saddle_episodes": saddle_episodes(study),
        "escapes": escapes(study),
        "curvature": curvature(study),
        "sizes": sizes(study),
        "rates": rates(study),
    }
    return {name: table for name, table in tables.items() if len(table)}


def runs_table(found: Iterable[Record]) -> pd.DataFrame:
    """A row for each run: settings, final values, command. The order is that of the settings."""
    rows = pd.DataFrame([_run_row(record) for record in found])
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
)


def _run_row(record: Record) -> dict[str, Any]:
    config = record.config
    return {
        "run": record.key,
        "protocol": record.protocol,
        "start": record.task.start,
        "optimizer": config.optimizer,
        "num_layers": config.num_layers,
        "lstm_size": config.lstm_size,
        "init_learning_rate": config.init_learning_rate,
        "max_epoch": config.max_epoch,
        "seed": config.seed,
        "diverged": "" if record.diverged is None else record.diverged,
        **{f"persistence_{name}": record.persistence[name] for name in ("train", "test")},
        **{name: record.last(name) for name in _FINAL_VALUES},
        "at_saddle": int(record.at_saddle()[-1]),
        "critical_point": record.critical_point(),
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
    for protocol, dropout, ours in itertools.product(PROTOCOLS, (True, False), OPTIMIZERS):
        runs = list(study.runs(protocol, network, ours).values())
        if not runs:
            continue
        for which, report in zip(("train", "test"), theirs, strict=True):
            column = f"{which}_loss_dropout" if dropout else f"{which}_loss"
            rows.append(
                {
                    "protocol": protocol,
                    "dropout": "on" if dropout else "off",
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
    for protocol, network, optimizer in itertools.product(PROTOCOLS, NETWORKS, OPTIMIZERS):
        runs = list(study.runs(protocol, network, optimizer).values())
        if runs:
            skill = summarize(
                np.array([1.0 - quotient(r.last("test_loss"), r.persistence["test"]) for r in runs])
            )
            rows.append(
                {
                    "protocol": protocol,
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


def saddle_share(study: Study) -> pd.DataFrame:
    """How many runs end at a saddle, by three thresholds of a small gradient."""
    rows: Rows = []
    for protocol, network, optimizer in itertools.product(PROTOCOLS, NETWORKS, OPTIMIZERS):
        runs = _measured(study.runs(protocol, network, optimizer).values())
        if not runs:
            continue
        negative = np.array([r.last("certified_negative") == 1.0 for r in runs])
        norm = np.array([r.last("gradient_norm") / r.epochs["gradient_norm"][0] for r in runs])
        rows.append(
            {
                "protocol": protocol,
                "network": network_name(network),
                "optimizer": optimizer,
                "seeds": len(runs),
                "certified_negative": int(negative.sum()),
                **{
                    f"at_saddle_gradient_below_{share:g}": int((negative & (norm <= share)).sum())
                    for share in (0.1, 0.01, 0.001)
                },
                "kinds": _counted(r.critical_point() for r in runs),
                "median_gradient_norm_of_first": float(np.median(norm)),
                "median_lambda_min": float(np.median([r.last("lambda_min") for r in runs])),
                "median_lambda_max": float(np.median([r.last("lambda_max") for r in runs])),
                "runs": _keys(runs),
            }
        )
    return pd.DataFrame(rows)


def saddle_episodes(study: Study) -> pd.DataFrame:
    """A row for each stay at a saddle: its length, and the 1/(ε|λ_min|) steps predicted."""
    return pd.DataFrame(
        [
            {**_settings(record), **dataclasses.asdict(episode), "runs": record.key}
            for record in _in_order(study.records)
            if record.task.start == "drawn"
            for episode in episodes(record)
        ]
    )


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
    """Curvature at the end of runs: plain and preconditioned, negative shares, exponent."""
    columns: dict[str, Callable[[Record], float]] = {
        "lambda_max": lambda r: r.last("lambda_max"),
        "lambda_min": lambda r: r.last("lambda_min"),
        "preconditioned_max_of_line": lambda r: (
            r.last("preconditioned_max") / r.last("stability_line")
        ),
        "gradient_negative_share": lambda r: r.last("gradient_negative_share"),
        "update_negative_share": lambda r: r.last("update_negative_share"),
        "negative_index": lambda r: r.last("negative_index"),
        "gradient_exponent": gradient_exponent,
    }
    rows: Rows = []
    for protocol, network, optimizer in itertools.product(PROTOCOLS, NETWORKS, OPTIMIZERS):
        runs = _measured(study.runs(protocol, network, optimizer).values())
        if not runs:
            continue
        row = {"protocol": protocol, "network": network_name(network), "optimizer": optimizer}
        for name, value in columns.items():
            values = np.array([value(r) for r in runs])
            found = summarize(values)
            row |= {f"{name}_iqm": found.value}
            row |= {f"{name}_{end}": v for end, v in _interval(found).items()}
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
        for which in ("train", "test"):
            rows.append(
                {
                    setting: value,
                    "optimizer": optimizer,
                    "set": which,
                    **_mean([r.last(f"{which}_loss") for r in runs]),
                    "diverged": sum(r.diverged is not None for r in runs),
                    "persistence": runs[0].persistence[which],
                    "runs": _keys(runs),
                }
            )
    # The grid alone has up to two of the values: that is no sweep.
    return pd.DataFrame(rows if len(rows) > 4 else [])


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


def _counted(kinds: Iterable[str]) -> str:
    counts = collections.Counter(kinds)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _keys(runs: Iterable[Record]) -> str:
    return " ".join(dict.fromkeys(run.key for run in runs))
