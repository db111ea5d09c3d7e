"""What the report says in chapter 5, each with the rule by which it is judged.

The rules were fixed before the study was run. Where the report says "about ten times",
or gives a loss, a factor of two to either side counts as reproduced; where it says
"better", any difference in that direction does. A claim is about one procedure, a
`Variant`; that of the appendix decides, the others stand beside it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stock_rnn.study.records import ESCAPED, Record

#: The report's tables, its own spelling of the captions left out: network, optimizer,
#: training and testing loss.
REPORT_TABLES: dict[str, tuple[tuple[int, int], str, float, float]] = {
    "5.1": ((1, 32), "sgd", 0.0097, 0.0108),
    "5.2": ((1, 32), "rmsprop", 0.00010, 0.00092),
    "5.3": ((1, 128), "rmsprop", 0.00007, 0.00050),
    "5.4": ((5, 128), "rmsprop", 0.00004, 0.00018),
}

_FACTOR = 2.0

#: "Still in good condition": the training loss of the wider network is at most this much higher.
_GOOD_CONDITION = 1.25


@dataclasses.dataclass(frozen=True)
class Variant:
    """How an experiment is read: which split, how it is tested, which RMSProp.

    Attributes:
        protocol: "appendix" or "text", see `plan.PROTOCOLS`.
        dropout: whether losses are those with dropout left on, as the appendix tests.
        rmsprop: "rmsprop", Keras's, or "rmsprop-tf1", TensorFlow 1's.
    """

    protocol: str
    dropout: bool
    rmsprop: str = "rmsprop"

    def __str__(self) -> str:
        words = [self.protocol, f"dropout {'on' if self.dropout else 'off'}"]
        return ", ".join(words + ([] if self.rmsprop == "rmsprop" else [self.rmsprop]))


#: The report's procedure, with Keras's RMSProp and initial weights; its verdicts count.
PRIMARY = Variant("appendix", dropout=True)

VARIANTS = (
    PRIMARY,
    Variant("appendix", dropout=False),
    Variant("text", dropout=True),
    Variant("text", dropout=False),
    Variant("appendix", dropout=True, rmsprop="rmsprop-tf1"),
)


class Study:
    """Finished records, found by what was run."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)

    def runs(
        self,
        protocol: str,
        network: tuple[int, int],
        optimizer: str,
        *,
        start: str = "drawn",
        rate: float = 0.001,
    ) -> dict[int, Record]:
        """Seed -> record of the runs of that kind, by ascending seed."""
        found = {
            r.config.seed: r
            for r in self.records
            if r.protocol == protocol
            and (r.config.num_layers, r.config.lstm_size) == network
            and r.config.optimizer == optimizer
            and r.task.start == start
            and r.config.init_learning_rate == rate
        }
        return dict(sorted(found.items()))


@dataclasses.dataclass(frozen=True)
class Sample:
    """One value a seed, the runs that they come from, and for a loss that of persistence."""

    values: dict[int, float]
    runs: tuple[str, ...]
    persistence: float = math.nan


Measure = Callable[[Study, Variant], Sample]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the report and what would make it true.

    Attributes:
        id: a short name.
        section: of the report.
        says: in the report's words.
        statistic: what is computed for each seed, in words.
        scale: "log", a positive quantity whose logarithms are averaged (ratios, losses);
            "linear"; or "share", whether something holds.
        region: where the statistic lies if the claim is true, the ends included.
        strict: whether the lower end is left out: equal is not better.
        report: the statistic by the report's own numbers; NaN where it gives none.
        measure: computes it.
    """

    id: str
    section: str
    says: str
    statistic: str
    scale: str
    region: tuple[float, float]
    strict: bool = False
    report: float = math.nan
    measure: Measure


# What is measured


def _loss(record: Record, which: str, variant: Variant) -> float:
    return record.last(f"{which}_loss_dropout" if variant.dropout else f"{which}_loss")


def _optimizer(name: str, variant: Variant) -> str:
    return variant.rmsprop if name == "rmsprop" else name


def _pairs(
    study: Study,
    variant: Variant,
    one: tuple[str, tuple[int, int]],
    other: tuple[str, tuple[int, int]],
    start: str = "drawn",
) -> Iterator[tuple[int, Record, Record]]:
    """The runs of two kinds that share a seed."""
    ours, theirs = (
        study.runs(variant.protocol, network, _optimizer(optimizer, variant), start=start)
        for optimizer, network in (one, other)
    )
    for seed in ours:
        if seed in theirs:
            yield seed, ours[seed], theirs[seed]


def _compared(
    one: tuple[str, tuple[int, int]],
    other: tuple[str, tuple[int, int]],
    compare: Callable[[Record, Record, Variant], float],
    start: str = "drawn",
) -> Measure:
    """A number from two runs of one seed."""

    def measure(study: Study, variant: Variant) -> Sample:
        pairs = list(_pairs(study, variant, one, other, start))
        keys = dict.fromkeys(record.key for _, *both in pairs for record in both)
        return Sample({seed: compare(a, b, variant) for seed, a, b in pairs}, tuple(keys))

    return measure


def _each(
    optimizer: str,
    network: tuple[int, int],
    compute: Callable[[Record, Variant], float],
    *,
    loss_of: str | None = None,
) -> Measure:
    """A number from each run of a kind; `loss_of` names the set if it is a loss."""

    def measure(study: Study, variant: Variant) -> Sample:
        runs = study.runs(variant.protocol, network, _optimizer(optimizer, variant))
        values = {seed: compute(record, variant) for seed, record in runs.items()}
        persistence = [record.persistence[loss_of] for record in runs.values() if loss_of]
        return Sample(
            values,
            tuple(record.key for record in runs.values()),
            float(np.mean(persistence)) if persistence else math.nan,
        )

    return measure


def _ratio(which: str) -> Callable[[Record, Record, Variant], float]:
    return lambda a, b, variant: over(_loss(a, which, variant), _loss(b, which, variant))


def over(numerator: float, denominator: float) -> float:
    """The quotient, infinite or NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(numerator) / denominator)


def _share(holds: bool, *records: Record) -> float:
    """Whether something holds, as a number; NaN if a run diverged, of which it cannot be said."""
    return math.nan if any(r.diverged is not None for r in records) else float(holds)


def _ends_lower(ours: Record, theirs: Record, variant: Variant) -> float:
    lower = _loss(ours, "train", variant) < _loss(theirs, "train", variant)
    return _share(lower, ours, theirs)


def _leaves_first(ours: Record, theirs: Record, variant: Variant) -> float:
    mine, other = escape_step(ours), escape_step(theirs)
    if math.isinf(mine) and math.isinf(other):
        return math.nan  # Which would have left first is not known.
    return _share(mine < other, ours, theirs)


def escape_step(record: Record) -> float:
    """The step at which a run beside a saddle had moved e-fold; inf if it never did."""
    distance = np.abs(record.epochs["displacement"])
    gone = np.flatnonzero(distance >= ESCAPED * distance[0])
    return float(record.epochs["step"][gone[0]]) if len(gone) else math.inf


def gradient_exponent(record: Record, variant: Variant | None = None) -> float:
    """The slope of log √(mean_{s≤t} ‖∇f(x_s)‖²) against log t, t in steps, after each epoch.

    The report's proof sums ‖∇f‖² over the iterates: its guarantee, T = O(1/ε⁴) for a gradient
    of ε, is a mean square of O(t^-½), so an exponent of -¼. The smallest norm so far would
    not do: that of pure noise falls too, for 50 epochs with an exponent of -0.9. The start is
    left out, whose gradient alone would make the mean fall like 1/t.
    """
    norms = record.epochs.get("gradient_norm", np.empty(0))[1:]
    steps = record.epochs["step"][1:]
    known = np.isfinite(norms) & (norms > 0.0)
    if np.count_nonzero(known) < 2:
        return math.nan
    mean_square = np.cumsum(norms[known] ** 2) / np.arange(1, np.count_nonzero(known) + 1)
    return float(np.polyfit(np.log(steps[known]), 0.5 * np.log(mean_square), 1)[0])


# What is claimed


def _about(value: float) -> tuple[float, float]:
    return value / _FACTOR, value * _FACTOR


def _level(table: str, says: str) -> Claim:
    network, optimizer, _, test = REPORT_TABLES[table]
    return Claim(
        id=f"table-{table}-test-loss",
        section=f"5.2.1, table {table}",
        says=says,
        statistic=f"test loss of {optimizer}, {network[0]} x {network[1]}",
        scale="log",
        region=_about(test),
        report=test,
        measure=_each(optimizer, network, lambda r, v: _loss(r, "test", v), loss_of="test"),
    )


_SMALL, _WIDE, _DEEP = (1, 32), (1, 128), (5, 128)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="sgd-test-loss-tenfold",
        section="5.2.1, tables 5.1 and 5.2",
        says="the testing loss is only 0.00092, which is almost 1/10 of old ones 0.0108",
        statistic="test loss of SGD / of RMSProp, 1 x 32",
        scale="log",
        region=_about(10.0),
        report=0.0108 / 0.00092,
        measure=_compared(("sgd", _SMALL), ("rmsprop", _SMALL), _ratio("test")),
    ),
    Claim(
        id="sgd-train-loss",
        section="5.2.1, tables 5.1 and 5.2",
        says="the final training loss decline from 0.0097 to 0.00010",
        statistic="training loss of SGD / of RMSProp, 1 x 32",
        scale="log",
        region=_about(0.0097 / 0.00010),
        report=0.0097 / 0.00010,
        measure=_compared(("sgd", _SMALL), ("rmsprop", _SMALL), _ratio("train")),
    ),
    Claim(
        id="rmsprop-beats-sgd",
        section="6.2",
        says="RMSProp beat up plain SGD in terms of accuracy",
        statistic="test loss of SGD / of RMSProp, 1 x 32",
        scale="log",
        region=(1.0, math.inf),
        strict=True,
        report=0.0108 / 0.00092,
        measure=_compared(("sgd", _SMALL), ("rmsprop", _SMALL), _ratio("test")),
    ),
    _level("5.1", "Testing 1 32 0.0108"),
    Claim(
        id="sgd-underfits",
        section="5.2.1, table 5.1",
        says="the testing loss is 10 times of training error, which is underfitting",
        statistic="test loss / training loss of SGD, 1 x 32",
        scale="log",
        region=_about(10.0),
        report=0.0108 / 0.0097,
        measure=_each("sgd", _SMALL, lambda r, v: over(_loss(r, "test", v), _loss(r, "train", v))),
    ),
    _level("5.2", "the testing loss is only 0.00092"),
    Claim(
        id="width-tenfold",
        section="5.2.1, tables 5.2 and 5.3",
        says="there was a marked drop in test loss, which is almost 1/10 of old",
        statistic="test loss of RMSProp, 1 x 32 / 1 x 128",
        scale="log",
        region=_about(10.0),
        report=0.00092 / 0.00050,
        measure=_compared(("rmsprop", _SMALL), ("rmsprop", _WIDE), _ratio("test")),
    ),
    Claim(
        id="wider-is-better",
        section="5.2.1, tables 5.2 and 5.3",
        says="both training loss and test loss decline",
        statistic="the smaller of training and test loss of RMSProp, each 1 x 32 / 1 x 128",
        scale="log",
        region=(1.0, math.inf),
        strict=True,
        report=min(0.00010 / 0.00007, 0.00092 / 0.00050),
        measure=_compared(
            ("rmsprop", _SMALL),
            ("rmsprop", _WIDE),
            lambda a, b, v: min(_ratio("train")(a, b, v), _ratio("test")(a, b, v)),
        ),
    ),
    _level("5.3", "Testing 1 128 0.00050"),
    Claim(
        id="deeper-is-better",
        section="5.2.1, tables 5.3 and 5.4",
        says="properly increasing hidden layers can make a better performance",
        statistic="test loss of RMSProp, 1 x 128 / 5 x 128",
        scale="log",
        region=(1.0, math.inf),
        strict=True,
        report=0.00050 / 0.00018,
        measure=_compared(("rmsprop", _WIDE), ("rmsprop", _DEEP), _ratio("test")),
    ),
    _level("5.4", "Testing 5 128 0.00018"),
    Claim(
        id="wide-tests-worse",
        section="5.2.1",
        says="once we increase the LSTM Size over 512, the testing loss goes worse",
        statistic="test loss of RMSProp, 1 x 1024 / 1 x 512",
        scale="log",
        region=(1.0, math.inf),
        strict=True,
        measure=_compared(("rmsprop", (1, 1024)), ("rmsprop", (1, 512)), _ratio("test")),
    ),
    Claim(
        id="wide-trains-well",
        section="5.2.1",
        says="while the training loss is still in good condition",
        statistic="training loss of RMSProp, 1 x 1024 / 1 x 512",
        scale="log",
        region=(0.0, _GOOD_CONDITION),
        measure=_compared(("rmsprop", (1, 1024)), ("rmsprop", (1, 512)), _ratio("train")),
    ),
    Claim(
        id="sgd-ends-at-a-saddle",
        section="5.2.1",
        says="SGD would stop progressing quickly and trap in a plateau, possibly around a "
        "saddle point",
        statistic="whether SGD, 1 x 32, ends with a gradient below 1 % of the first and a "
        "certified negative eigenvalue",
        scale="share",
        region=(0.5, 1.0),
        measure=_each("sgd", _SMALL, lambda r, v: _share(bool(r.at_saddle()[-1]), r)),
    ),
    Claim(
        id="rmsprop-passes-the-saddle",
        section="5.1, a question",
        says="whether RMSProp has the capacity to move from bad saddle point a relative good "
        "saddle point regions where are close to the global optimum",
        statistic="whether RMSProp, 1 x 32, ends at a lower training loss than SGD",
        scale="share",
        region=(0.5, 1.0),
        measure=_compared(("rmsprop", _SMALL), ("sgd", _SMALL), _ends_lower),
    ),
    Claim(
        id="rmsprop-escapes-first",
        section="1",
        says="RMSProp better than plain SGD in terms of escaping saddle point",
        statistic="whether RMSProp leaves a constructed saddle in fewer steps than SGD",
        scale="share",
        region=(0.5, 1.0),
        measure=_compared(("rmsprop", _SMALL), ("sgd", _SMALL), _leaves_first, start="saddle"),
    ),
    Claim(
        id="sgd-never-intersects",
        section="5.2.1, figure 5.1",
        says="there is no intersection of blue lines and red lines",
        statistic="intersections of predicted and actual in the newest 100 days, SGD, 1 x 32",
        scale="linear",
        region=(0.0, 1.0),
        report=0.0,
        measure=_each("sgd", _SMALL, lambda r, v: r.intersections(dropout=v.dropout)),
    ),
    Claim(
        id="rmsprop-intersects-more",
        section="5.2.1, figure 5.2",
        says="there are several intersections of blue lines and red lines this time",
        statistic="intersections of RMSProp minus those of SGD, 1 x 32",
        scale="linear",
        region=(0.0, math.inf),
        strict=True,
        measure=_compared(
            ("rmsprop", _SMALL),
            ("sgd", _SMALL),
            lambda a, b, v: a.intersections(dropout=v.dropout) - b.intersections(dropout=v.dropout),
        ),
    ),
    Claim(
        id="gradient-falls-at-the-rate",
        section="4.3.5",
        says="we can found ||∇f(x_result)||² in T = O(1/e⁴), which means the RMSProp can converge",
        statistic="exponent of the root mean square gradient so far in the steps, RMSProp, 1 x 32",
        scale="linear",
        region=(-math.inf, -0.25),
        report=-0.25,
        measure=_each("rmsprop", _SMALL, gradient_exponent),
    ),
)
