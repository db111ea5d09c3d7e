"""What the records of the part hold, sorted: the search, its choices, and each procedure's runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from stock_rnn.study.records import Record
from stock_rnn.study.tuned.choice import Choice, Search
from stock_rnn.study.tuned.plan import NETWORKS, Subject, subjects
from stock_rnn.study.tuned.procedures import PROCEDURES, Procedure, Reruns, reruns_of


@dataclasses.dataclass(frozen=True)
class Results:
    """What tables and figures are made of.

    Attributes:
        search: its records.
        choices: subject -> what the search chose, where it is complete.
        reruns: procedure -> its runs.
        targets: network -> the validation loss that counts as reached; NaN before its search is
            complete.
        symbol: of the prices.
    """

    search: Search
    choices: Mapping[Subject, Choice]
    reruns: Mapping[Procedure, Reruns]
    targets: Mapping[tuple[int, int], float]
    symbol: str

    @classmethod
    def of(cls, records: Sequence[Record]) -> Results:
        """From the records of a study, at least one; those of other parts are left out."""
        search = Search(records)
        choices = search.choices()
        rates = {subject: choice.rate for subject, choice in choices.items()}
        return cls(
            search=search,
            choices=choices,
            reruns={each: reruns_of(each, records, rates) for each in PROCEDURES},
            targets={of: search.target(of) for of in networks()},
            symbol=str(records[0].data["symbol"]),
        )


def networks() -> list[tuple[int, int]]:
    """(layers, units) of the registry, in its order."""
    return list(dict.fromkeys(subject.network for subject in subjects()))


def of_smallest() -> list[Subject]:
    """The subjects with the report's smallest network, which every optimizer trains."""
    return [subject for subject in subjects() if subject.network == NETWORKS[0]]
