"""Which rate the search chooses, and the target of the time to a target: from validation losses.

Nothing here reads a test loss.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from stock_rnn.study.records import Record
from stock_rnn.study.tuned.plan import TARGET_FACTOR, TARGET_SHARE, Grid, Subject, grid


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the search found for a subject.

    Attributes:
        rate: the chosen one.
        loss: its validation loss, the geometric mean over the search's seeds; infinite if a run
            diverged at every rate.
        near: the rates, ascending, whose loss is at most `TARGET_FACTOR` times that: how much
            the rate matters.
        edge: "lowest" or "highest" if the chosen rate is an end of the grid, else "".
        runs: keys of the records behind it.
    """

    rate: float
    loss: float
    near: tuple[float, ...]
    edge: str
    runs: tuple[str, ...]


class Search:
    """The search's records.

    Args:
        found: records of a study; those that are not of the search are left out.
    """

    def __init__(self, found: Iterable[Record]) -> None:
        self._runs: dict[tuple[Subject, float], dict[int, Record]] = {}
        seeds = {subject: of.seeds for subject, of in grid().items()}
        for record in found:
            subject = subject_of(record)
            if record.config.seed in seeds.get(subject, ()):
                rate = record.config.init_learning_rate
                self._runs.setdefault((subject, rate), {})[record.config.seed] = record

    def runs(self, subject: Subject, rate: float) -> list[Record]:
        """The records of a subject at a rate, by ascending seed."""
        return [record for _, record in sorted(self._runs.get((subject, rate), {}).items())]

    def loss(self, subject: Subject, rate: float, epoch: int | None = None) -> float:
        """The geometric mean over seeds of the validation loss; infinite where a run diverged.

        Args:
            subject, rate: which.
            epoch: after which; None: the last.

        Returns:
            NaN if a run of the search is missing.
        """
        runs = self.runs(subject, rate)
        if len(runs) < len(grid()[subject].seeds):
            return math.nan
        return geometric_mean(_validation_loss(record, epoch) for record in runs)

    def choose(self, subject: Subject) -> Choice | None:
        """The rate with the lowest loss, the lower of equal ones; None if a run is missing."""
        of = grid()[subject]
        losses = [self.loss(subject, rate) for rate in of.rates]
        if np.isnan(losses).any():
            return None
        best = int(np.argmin(losses))
        keys = tuple(r.key for rate in of.rates for r in self.runs(subject, rate))
        near = tuple(
            rate
            for rate, loss in zip(of.rates, losses, strict=True)
            if loss <= TARGET_FACTOR * losses[best]
        )
        return Choice(of.rates[best], losses[best], near, _edge(best, of), keys)

    def choices(self) -> dict[Subject, Choice]:
        """Subject -> choice, of all subjects whose search is complete."""
        found = {subject: self.choose(subject) for subject in grid()}
        return {subject: choice for subject, choice in found.items() if choice}

    def target(self, network: tuple[int, int]) -> float:
        """The validation loss that counts as reached; NaN if a run of the network is missing.

        `TARGET_FACTOR` times the lowest loss after `TARGET_SHARE` of the epochs, over all
        optimizers and rates. As in AlgoPerf it comes from the tuned runs themselves, of a part
        of the budget, and the runs that are timed are others (Dahl et al., "Benchmarking Neural
        Network Training Algorithms", 2023).
        """
        losses = [
            self.loss(subject, rate, epoch=_target_epoch(self.runs(subject, rate)))
            for subject, of in grid().items()
            if subject.network == network
            for rate in of.rates
        ]
        return TARGET_FACTOR * min(losses) if losses and not np.isnan(losses).any() else math.nan


def subject_of(record: Record) -> Subject:
    """The network and the optimizer of a run."""
    return Subject(record.network, record.config.optimizer)


def geometric_mean(losses: Iterable[float]) -> float:
    """Of positive losses; infinite if one is."""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(list(losses)))))


def _edge(best: int, of: Grid) -> str:
    return {0: "lowest", len(of.rates) - 1: "highest"}.get(best, "")


def _target_epoch(runs: list[Record]) -> int:
    return round(TARGET_SHARE * runs[0].config.max_epoch) if runs else 0


def _validation_loss(record: Record, epoch: int | None) -> float:
    if epoch is None or record.diverged is not None:
        return record.last("validation_loss")
    return float(record.epochs["validation_loss"][epoch])
