"""Train what is missing on every stretch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stock_rnn.data import dataset_of
from stock_rnn.files import write_json
from stock_rnn.prices import Prices
from stock_rnn.settings import flag
from stock_rnn.study.folder import Folder
from stock_rnn.study.plan import Task
from stock_rnn.study.records import versions
from stock_rnn.study.run.sweep import sweep_all
from stock_rnn.study.run.workers import Submit
from stock_rnn.study.stretches.plan import SEEDS, Stretch, alternatives, stretches
from stock_rnn.training import runs

#: The part's folder in that of the study, and the prefix of its files.
NAME = "stretches"


def run(
    data: Mapping[str, Any], prices: Prices, folder: Folder, submit: Submit, seeds: int = SEEDS
) -> None:
    """Train on the bundled stretches and on the study's own prices, and write which runs there are.

    The first seed of all stretches comes first, so that a study that is stopped has all of them.
    A run of the report's part with the same training is used and not made again.

    Args:
        data: the settings of `Config` that load `prices`.
        prices: of the study.
        folder: of the study; it exists and is locked.
        submit: starts a task, see `stock_rnn.study.run.workers`.
        seeds: of the study; at most `SEEDS` of them are run.

    Raises:
        UserError: too few prices; or as `sweep_all`.
    """
    every = stretches(data, prices)
    planned = [_planned(at, folder.runs, min(seeds, SEEDS)) for at in every]
    for at, tasks in zip(every, planned, strict=True):
        # Reports too few prices before anything is run.
        dataset_of(tasks[0].config, at.prices)
    here = versions()
    (folder.path / NAME).mkdir(parents=True, exist_ok=True)
    write_json(
        folder.path / NAME / "study.json",
        {
            "command": _command(data, folder, min(seeds, SEEDS)),
            "stretches": [
                {
                    "name": at.name,
                    "own": at.own,
                    "data": runs.describe_data(at.prices),
                    "runs": [task.key(at.prices.sha256, here) for task in tasks],
                }
                for at, tasks in zip(every, planned, strict=True)
            ],
        },
    )
    wanted = [(task, at.prices) for at, tasks in zip(every, planned, strict=True) for task in tasks]
    sweep_all(sorted(wanted, key=lambda one: one[0].config.seed), folder.runs, submit)


def _planned(stretch: Stretch, folder: Path, seeds: int) -> list[Task]:
    """The tasks on a stretch; in place of one without a record, another of the same training."""
    here = versions()

    def made(task: Task) -> bool:
        return (folder / f"{task.key(stretch.prices.sha256, here)}.json").exists()

    return [
        next(filter(made, (task, *others)), task)
        for task, others in alternatives(stretch, seeds).items()
    ]


def _command(data: Mapping[str, Any], folder: Folder, seeds: int) -> str:
    """The command that runs this part."""
    words = ["python reproduce.py --parts", NAME]
    words += [f"{flag(name)} {shlex.quote(str(value))}" for name, value in data.items()]
    words += [f"--seeds {seeds}"] if seeds < SEEDS else []
    return " ".join([*words, f"--results {shlex.quote(str(folder.path))}"])
