"""What the study trains: protocols, the grid, the sweeps. Data, not code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from stock_rnn.config import OPTIMIZERS, Config

#: Protocol -> the settings it changes. `appendix` is the code's split, the newest 10 %
#: test; `text` is section 5.1's "10 % data would be randomly picked for training".
PROTOCOLS: dict[str, dict[str, Any]] = {
    "appendix": {"split": "chronological"},
    "text": {"split": "random"},
}

#: Layers and units of the tables; 5.1 and 5.2 are the same network.
NETWORKS = ((1, 32), (1, 128), (5, 128))

#: Units of the size sweep, for the claim on more than 512.
SIZES = (32, 64, 128, 256, 512, 1024)

#: Learning rates of SGD: is it the method or its step? The report's is 0.001.
LEARNING_RATES = (0.0001, 0.001, 0.01, 0.1, 1.0)

SEEDS = 10

#: Steps of a run that starts beside a saddle: full batches, a step an epoch.
ESCAPE_STEPS = 1000

#: What the source of the prices is called; the prices themselves are told by their hash.
_DATA = (
    *("symbol", "source", "csv", "date_column", "close_column", "decimal"),
    *("period", "start", "end"),
)

# Counted up when the same task would leave another record.
_FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One training and what is measured of it.

    Attributes:
        config: the settings of the training.
        start: "drawn", the initial weights of the seed; "saddle", beside a strict
            saddle that is constructed in `stock_rnn.study.run.saddle_start`.
        deep: epochs after which the costly measurements are made (negative index, shares in
            the negative subspace, preconditioned spectrum); 0 is before the first.
        probes: random probes of the negative index.
    """

    config: Config
    start: str = "drawn"
    deep: tuple[int, ...] = ()
    probes: int = 4

    def key(self, prices_sha256: str, versions: dict[str, str]) -> str:
        """What the record is kept under: a hash of all that its numbers depend on.

        Where the prices came from does not count, what they are does; nor does what
        the task is trained for, so that the sweeps share runs with the grid.
        """
        settings = {k: v for k, v in self.to_dict()["config"].items() if k not in _DATA}
        content = {
            "format": _FORMAT,
            "task": {**self.to_dict(), "config": settings},
            "prices": prices_sha256,
            "versions": versions,
        }
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def cost(self) -> float:
        """Roughly the seconds it takes, to tell the time left and to begin with the longest."""
        c = self.config
        share = 1.0 if c.split == "chronological" else 0.15
        # Of an epoch of training, about that of ten products with the Hessian.
        epoch = c.num_layers * (0.015 + 0.045 * (c.lstm_size / 128) ** 1.7) * share
        if self.start == "saddle":
            return 13.0
        products = 15 * c.max_epoch / c.hessian_every if c.hessian_every else 0.0
        deep = (25 * self.probes + 60) * len(self.deep)
        return 1.0 + 1.5 * c.num_layers + epoch * (c.max_epoch + 0.5 * products + 0.5 * deep) / 2

    def to_dict(self) -> dict[str, Any]:
        """Everything by name, as the record keeps it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Task:
        """The inverse of `to_dict`.

        Raises:
            UserError, TypeError, KeyError: the values are not a task's.
        """
        config = Config.from_dict(values["config"])
        return cls(**{**values, "config": config, "deep": tuple(values["deep"])})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scope:
    """How much of the study is run.

    Attributes:
        seeds: 0..seeds-1.
        protocols: names of PROTOCOLS.
        sweeps: whether sizes, learning rates and starts beside a saddle are run too.
        quick: a small grid that shows that everything works, and decides nothing:
            table 5.4's network without curvature, one protocol, two starts a saddle.
    """

    seeds: int = SEEDS
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    sweeps: bool = True
    quick: bool = False


QUICK = Scope(seeds=2, protocols=("appendix",), quick=True)


def plan(data: dict[str, Any], scope: Scope) -> list[Task]:
    """All tasks of a study, each once, the longest first.

    Args:
        data: the settings of `Config` that say which prices.
        scope: how much.
    """
    tasks = []
    for seed in range(scope.seeds):
        for protocol in scope.protocols:
            base = {**data, **PROTOCOLS[protocol], "seed": seed}
            tasks += _grid(base, NETWORKS, _optimizers(scope), scope.quick)
        base = {**data, **PROTOCOLS["appendix"], "seed": seed}
        if scope.quick:
            tasks += _beside_saddle(base, ("sgd", "rmsprop"))
        elif scope.sweeps:
            tasks += _grid(base, [(1, size) for size in SIZES], ("rmsprop",))
            tasks += _rates(base)
            tasks += _beside_saddle(base, OPTIMIZERS)
    return sorted(dict.fromkeys(tasks), key=lambda task: -task.cost())


def _optimizers(scope: Scope) -> Sequence[str]:
    return ("sgd", "rmsprop") if scope.quick else OPTIMIZERS


def _grid(
    base: dict[str, Any],
    networks: Iterable[tuple[int, int]],
    optimizers: Iterable[str],
    quick: bool = False,
) -> list[Task]:
    return [
        measured({**base, "num_layers": layers, "lstm_size": size, "optimizer": optimizer}, quick)
        for layers, size in networks
        for optimizer in optimizers
    ]


def measured(settings: dict[str, Any], quick: bool = False) -> Task:
    """The task of a configuration, with the curvature that its size can afford.

    The ends every epoch for 32 units, every fifth for more, every tenth for five layers,
    none above 128 units. One rule for all parts of the study, so that they share runs.
    """
    config = Config(**settings)
    layers, size = config.num_layers, config.lstm_size
    if size > 128 or (quick and layers > 1):
        return Task(config=dataclasses.replace(config, hessian_every=0))
    if size == 32 and layers == 1:
        return Task(config=dataclasses.replace(config, hessian_every=1), deep=(0, *_tens(config)))
    if layers == 1:
        config, last = dataclasses.replace(config, hessian_every=5), config.max_epoch
        return Task(config=config, deep=(0, last // 2, last))
    config = dataclasses.replace(config, hessian_every=10)
    return Task(config=config, deep=(config.max_epoch,), probes=2)


def _tens(config: Config) -> tuple[int, ...]:
    return tuple(range(10, config.max_epoch + 1, 10))


def _rates(base: dict[str, Any]) -> list[Task]:
    return [
        measured({**base, "optimizer": "sgd", "init_learning_rate": rate})
        for rate in LEARNING_RATES
    ]


def _beside_saddle(base: dict[str, Any], optimizers: Iterable[str]) -> list[Task]:
    """The theory's setting: the whole gradient, no dropout, a constant learning rate."""
    return [
        Task(
            config=Config(
                **base,
                optimizer=optimizer,
                keep_prob=1.0,
                batch_size=2**31 - 1,
                learning_rate_decay=1.0,
                max_epoch=ESCAPE_STEPS,
                hessian_every=100,
            ),
            start="saddle",
            deep=(0,),
            probes=1,
        )
        for optimizer in optimizers
    ]
