"""Which stretches of prices there are, and what is trained on each. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from stock_rnn.config import Config
from stock_rnn.data import one_stock
from stock_rnn.prices import Prices
from stock_rnn.prices.bundled import BUNDLED_SYMBOLS, FIRST_DAY, LAST_DAY
from stock_rnn.study.plan import PROTOCOLS, Scope, Task, plan

#: The registry of the claims that are asked over stretches.
REGISTRY = "stretches-1"

#: Calendar years in a stretch, as many as in the report's.
YEARS = 5

#: The years whose January 1 a bundled stretch starts on: as many as fit.
FIRST_YEARS = range(FIRST_DAY.year, LAST_DAY.year - YEARS + 2)

#: Seeds of each training on each stretch, at most.
SEEDS = 3

#: Units and optimizer of the trainings that the claims compare, each of one layer.
TRAININGS = ((32, "sgd"), (32, "rmsprop"), (128, "rmsprop"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    """Prices that are one unit of the claims over stretches.

    Attributes:
        name: for tables and figures.
        prices: of its days.
        data: the settings of `Config` that load these prices.
        own: whether they are the prices that the study was given.
    """

    name: str
    prices: Prices
    data: Mapping[str, Any]
    own: bool


def stretches(
    data: Mapping[str, Any], prices: Prices, first_years: Iterable[int] | None = None
) -> list[Stretch]:
    """The bundled stretches by first year, and the study's own prices at the end.

    A bundled stretch that has exactly the study's own prices is left out: it would count twice.

    Args:
        data: the settings of `Config` that load `prices`.
        prices: of the study.
        first_years: the bundled stretches are those of `YEARS` years from January 1 of these;
            by default `FIRST_YEARS`.
    """
    own = Stretch(name=_name(prices, whole_years=False), prices=prices, data=data, own=True)
    years = FIRST_YEARS if first_years is None else first_years
    found = [_bundled(symbol, year) for year in years for symbol in BUNDLED_SYMBOLS]
    return [*(at for at in found if at.prices.sha256 != prices.sha256), own]


def _bundled(symbol: str, year: int) -> Stretch:
    data: dict[str, Any] = {
        "symbol": symbol,
        "source": "bundled",
        "start": f"{year}-01-01",
        "end": f"{year + YEARS - 1}-12-31",
    }
    prices = one_stock(Config(**data))
    return Stretch(name=_name(prices, whole_years=True), prices=prices, data=data, own=False)


def _name(prices: Prices, *, whole_years: bool) -> str:
    """The symbol with the first and the last year, or month."""
    length = len("2015") if whole_years else len("2015-04")
    first, last = (str(day.astype("datetime64[D]"))[:length] for day in prices.dates[[0, -1]])
    return f"{prices.symbol} {first} to {last}"


def tasks(stretch: Stretch, seeds: int) -> list[Task]:
    """The trainings on a stretch: by seed, the curvature not measured."""
    return [_task(stretch.data, seed, *which) for seed in range(seeds) for which in TRAININGS]


def alternatives(stretch: Stretch, seeds: int) -> dict[Task, list[Task]]:
    """Task of `tasks` -> those of the report's part with the same training.

    These also measure the curvature, which does not change the training, so their records do
    as well. Only on the study's own prices there are any.
    """
    wanted: dict[Task, list[Task]] = {task: [] for task in tasks(stretch, seeds)}
    if stretch.own:
        data = dict(stretch.data)
        scopes = (Scope(seeds=seeds), Scope(seeds=seeds, described_seeds=0))
        for task in dict.fromkeys(task for scope in scopes for task in plan(data, scope)):
            if (same := _unmeasured(task)) in wanted and same != task:
                wanted[same].append(task)
    return wanted


def _task(data: Mapping[str, Any], seed: int, size: int, optimizer: str) -> Task:
    settings = {**data, **PROTOCOLS["appendix"], "seed": seed, "optimizer": optimizer}
    return Task(config=Config(**settings, lstm_size=size, hessian_every=0))


def _unmeasured(task: Task) -> Task:
    """The same training without the measurements of the curvature."""
    default = Task(config=task.config)
    return dataclasses.replace(
        task,
        config=dataclasses.replace(task.config, hessian_every=0),
        detailed_epochs=default.detailed_epochs,
        probes=default.probes,
    )
