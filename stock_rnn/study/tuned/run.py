"""Run the search, choose, run again with fresh seeds."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from typing import Any

from stock_rnn.prices import Prices
from stock_rnn.settings import flag, switch
from stock_rnn.study import records
from stock_rnn.study.folder import Folder, write_study
from stock_rnn.study.run.sweep import sweep
from stock_rnn.study.run.workers import Submit
from stock_rnn.study.tuned import plan
from stock_rnn.study.tuned.choice import Search
from stock_rnn.training import runs

_log = logging.getLogger("stock_rnn.study")


def run(
    data: Mapping[str, Any],
    prices: Prices,
    folder: Folder,
    submit: Submit,
    seeds: int = plan.SEEDS,
) -> None:
    """Train what is missing: first the search over rates, then the reruns.

    Args:
        data: the settings of `Config` that say which prices to use.
        prices: those prices.
        folder: of the study; records go among its own, the list of this part's to
            `folder.path / "tuned" / "study.json"`.
        submit: starts a task.
        seeds: fresh seeds of the reruns; `plan.SEEDS` at most are used.

    Raises:
        UserError: as `sweep`.
    """
    place = part_folder(folder)
    place.path.mkdir(parents=True, exist_ok=True)
    seeds = min(seeds, plan.SEEDS)
    command, here = _command(data, seeds), records.versions()
    searched = plan.search(data)
    keys = [task.key(prices.sha256, here) for task in searched]
    # A part that stands keeps its list until the new one is known.
    if not place.study.exists():
        write_study(place, command, runs.describe_data(prices), keys)
    _log.info("%s: the search over rates", plan.NAME)
    chosen = Search(sweep(searched, prices, place.runs, submit)).choices()
    rerun = plan.reruns(data, {of: choice.rate for of, choice in chosen.items()}, seeds)
    keys += [task.key(prices.sha256, here) for task in rerun]
    write_study(place, command, runs.describe_data(prices), keys)
    _log.info("%s: the best rates and the report's, with fresh seeds", plan.NAME)
    sweep(rerun, prices, place.runs, submit)


def part_folder(folder: Folder) -> Folder:
    """The folder of this part, below that of the study, with the study's records."""
    place = Folder(folder.path / plan.NAME)
    place.runs = folder.runs
    return place


def _command(data: Mapping[str, Any], seeds: int) -> str:
    words = [f"python reproduce.py --parts {plan.NAME} --seeds {seeds}"]
    for name, value in data.items():
        if isinstance(value, bool):
            words.append(switch(name, value))
        elif value is not None:
            words.append(f"{flag(name)} {shlex.quote(str(value))}")
    return " ".join(words)
