"""What the protocol `tuned` trains: the search over rates, and the reruns with fresh seeds.

The registry `tuned-1` has the networks, optimizers, rates and seeds of the search. So the
protocol is as old as the claims, and has the same hash.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from stock_rnn.config import Config
from stock_rnn.study import registry
from stock_rnn.study.plan import NETWORKS, PROTOCOLS, Task

#: Name of the part and of its registry.
NAME, VERSION = "tuned", "tuned-1"

#: Seeds of the reruns, without an argument.
SEEDS = 10

_PROTOCOL: dict[str, Any] = registry.load(VERSION)["protocol"]

#: The rate of the report.
ONE_SHOT_RATE = float(_PROTOCOL["one_shot_rate"])

#: The first seed of the reruns; those of the search are below it.
FIRST_FRESH_SEED = int(_PROTOCOL["first_fresh_seed"])

#: The time to a target: its factor, and the share of the epochs after which it is set.
TARGET_FACTOR = float(_PROTOCOL["target"]["factor"])
TARGET_SHARE = float(_PROTOCOL["target"]["share_of_epochs"])


@dataclasses.dataclass(frozen=True, order=True)
class Subject:
    """A network with an optimizer.

    Attributes:
        network: (layers, units).
        optimizer: its name.
    """

    network: tuple[int, int]
    optimizer: str


@dataclasses.dataclass(frozen=True)
class Grid:
    """What is searched for a subject.

    Attributes:
        rates: initial learning rates, ascending.
        seeds: of the search.
    """

    rates: tuple[float, ...]
    seeds: tuple[int, ...]


def grid() -> dict[Subject, Grid]:
    """Every subject that has a rate, in the registry's order."""
    return {
        Subject(tuple(each["network"]), name): Grid(
            tuple(each["rates"]), tuple(each["search_seeds"])
        )
        for each in _PROTOCOL["networks"]
        for name in each["optimizers"]
    }


def without_rate() -> list[Subject]:
    """The subjects whose optimizers have no learning rate; they are run once, and not tuned."""
    return [
        Subject(tuple(each["network"]), name)
        for each in _PROTOCOL["without_a_rate"]
        for name in each["optimizers"]
    ]


def subjects() -> list[Subject]:
    """All, in the registry's order; those without a rate at the end."""
    return [*grid(), *without_rate()]


def fresh_seeds(subject: Subject, seeds: int) -> range:
    """The seeds of a subject's reruns: all where a claim or a profile needs them, else a few.

    Args:
        subject: a network with an optimizer.
        seeds: how many all are.
    """
    needed = subject in _claimed() or subject.network == NETWORKS[0]
    count = seeds if needed else min(seeds, int(_PROTOCOL["described_seeds"]))
    return range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + count)


def _claimed() -> set[Subject]:
    return {
        Subject(tuple(kind["network"]), kind["optimizer"])
        for claim in registry.load(VERSION)["claims"]
        for kind in claim["runs"]
    }


def search(data: Mapping[str, Any]) -> list[Task]:
    """The trainings of the search, the longest first.

    Args:
        data: the settings of `Config` that say which prices to use.
    """
    tasks = [
        task_of(data, subject, rate, seed)
        for subject, of in grid().items()
        for rate in of.rates
        for seed in of.seeds
    ]
    return _longest_first(tasks)


def reruns(data: Mapping[str, Any], chosen: Mapping[Subject, float], seeds: int) -> list[Task]:
    """The trainings with fresh seeds, at the chosen rate and at the report's; the longest first.

    Args:
        data: as of `search`.
        chosen: subject -> the rate that the search chose.
        seeds: how many.
    """
    return _longest_first(
        task_of(data, subject, rate, seed)
        for subject in subjects()
        for rate in (chosen.get(subject, ONE_SHOT_RATE), ONE_SHOT_RATE)
        for seed in fresh_seeds(subject, seeds)
    )


def task_of(data: Mapping[str, Any], subject: Subject, rate: float, seed: int) -> Task:
    """One training: the report's settings but for these, and a tenth that validates."""
    layers, units = subject.network
    return Task(
        config=Config(
            **data,
            **PROTOCOLS["appendix"],
            validation_ratio=_PROTOCOL["validation_ratio"],
            num_layers=layers,
            lstm_size=units,
            optimizer=subject.optimizer,
            init_learning_rate=rate,
            hessian_every=0,
            seed=seed,
        )
    )


def _longest_first(tasks: Iterable[Task]) -> list[Task]:
    return sorted(dict.fromkeys(tasks), key=lambda task: -task.cost())
