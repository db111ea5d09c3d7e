"""The two procedures that claims are judged on, and the runs of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from stock_rnn.study.judge.claims import claims_of
from stock_rnn.study.judge.measures import sample
from stock_rnn.study.judge.variants import Variant
from stock_rnn.study.judge.verdicts import Verdict, judge_samples
from stock_rnn.study.records import Record, Study
from stock_rnn.study.tuned.choice import subject_of
from stock_rnn.study.tuned.plan import (
    FIRST_FRESH_SEED,
    ONE_SHOT_RATE,
    VERSION,
    Subject,
    subjects,
    without_rate,
)


@dataclasses.dataclass(frozen=True)
class Procedure(Variant):
    """How the rate is found: a variant of the appendix's procedure, with a validation set.

    Attributes:
        name: "tuned" or "one-shot".
    """

    name: str = ""

    def __str__(self) -> str:
        rates = {"tuned": "each its best rate on validation"}
        words = rates.get(self.name, f"every rate {ONE_SHOT_RATE:g}")
        return f"{self.name}: {words}, dropout {'on' if self.dropout else 'off'}"


TUNED = Procedure("appendix", dropout=False, name="tuned")
ONE_SHOT = Procedure("appendix", dropout=False, name="one-shot")

#: In the order in which they are shown.
PROCEDURES = (TUNED, ONE_SHOT)


class Reruns(Study):
    """The runs with fresh seeds of one procedure.

    Args:
        records: of a study; others are left out.
        rates: subject -> its rate in this procedure. Subjects without one have no runs.
    """

    def __init__(self, records: Iterable[Record], rates: Mapping[Subject, float]) -> None:
        self.rates = dict(rates)
        super().__init__(
            [
                record
                for record in records
                if record.config.seed >= FIRST_FRESH_SEED
                and record.config.init_learning_rate == self.rates.get(subject_of(record))
            ]
        )

    def of(self, subject: Subject) -> dict[int, Record]:
        """Seed -> record, by ascending seed."""
        found = {r.config.seed: r for r in self.records if subject_of(r) == subject}
        return dict(sorted(found.items()))

    def runs(
        self, protocol: str, network: tuple[int, int], optimizer: str, **settings: Any
    ) -> dict[int, Record]:
        """As `Study.runs`, at the procedure's rate; there are runs of one protocol only."""
        return self.of(Subject(network, optimizer)) if not settings else {}


def reruns_of(
    procedure: Procedure, records: Iterable[Record], chosen: Mapping[Subject, float]
) -> Reruns:
    """The runs of a procedure.

    Args:
        procedure: which.
        records: of a study.
        chosen: subject -> the rate that the search chose. Subjects without a rate are the same
            in both procedures.
    """
    rates = dict.fromkeys(subjects(), ONE_SHOT_RATE)
    if procedure.name == "tuned":
        # Those whose search is not complete have no rate yet.
        rates = {**dict.fromkeys(without_rate(), ONE_SHOT_RATE), **chosen}
    return Reruns(records, rates)


def judge_procedure(procedure: Procedure, study: Reruns) -> list[Verdict]:
    """The verdicts on the registry's claims, in its order, by Holm's method at 5 %."""
    claims = claims_of(VERSION)
    samples = [sample(claim.rule, study, procedure) for claim in claims]
    named = {record.key: record.registry for record in study.records}
    return judge_samples(claims, samples, named, procedure)
