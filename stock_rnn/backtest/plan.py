"""What trains and what tests in each fold: arithmetic on the numbers of examples."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from stock_rnn.errors import UserError

WINDOWS = ("expanding", "rolling")
MODELS = ("last", "best")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Walk:
    """How a backtest goes along time.

    Attributes:
        folds: stretches of time, of equal length, that are tested one after the other.
        initial: share of the examples that lie before the first fold.
        window: "expanding": a fit trains on all examples before its fold; "rolling": on as
            many of the newest as lie before the first fold.
        refit_every: the network is trained anew before every so many folds.
        warm_start: whether a fit starts from the weights of the fit before it, not from the
            initial weights of the seed.
        model: "last" or "best": the weights of which epoch forecast.

    Raises:
        UserError: a value is out of range; the message names its flag.
    """

    folds: int = 20
    initial: float = 0.5
    window: str = "expanding"
    refit_every: int = 1
    warm_start: bool = False
    model: str = "last"

    def __post_init__(self) -> None:
        for name, limit in (("folds", 100_000), ("refit_every", 100_000)):
            if not 1 <= getattr(self, name) <= limit:
                words = name.replace("_", "-")
                raise UserError(
                    f"--{words} must be 1 to {limit:,}. Received: {getattr(self, name)}"
                )
        if not 0 < self.initial < 1:
            raise UserError(f"--initial must be above 0 and below 1. Received: {self.initial}")
        for name, choices in (("window", WINDOWS), ("model", MODELS)):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"--{name} must be one of {', '.join(choices)}. "
                    f"Received: {getattr(self, name)!r}"
                )


@dataclasses.dataclass(frozen=True)
class Fit:
    """One training, and the folds whose examples it forecasts.

    Attributes:
        number: from 0; fit 0 calibrates: its errors are those that the first fold's intervals
            come from, and its forecasts are not judged.
        first, end: it trains on the examples first, ..., end - 1.
        starts: where its folds begin; the first at `end`.
        stop: it forecasts the examples end, ..., stop - 1.
    """

    number: int
    first: int
    end: int
    starts: tuple[int, ...]
    stop: int


def plan_fits(count: int, walk: Walk, *, symbol: str = "prices") -> tuple[Fit, ...]:
    """The trainings of a backtest, in order of time.

    With n examples the first fold begins at example round(n · initial). The rest is cut into
    `folds` folds whose lengths differ by one at most. The stretch before the first fold, as
    long as it or half of the initial part, whichever is less, is forecast by fit 0.

    Args:
        count: n, of the data set.
        walk: how it goes along time.
        symbol: for messages.

    Raises:
        UserError: too few examples: a fold would test none, or fit 0 train on none.
    """
    begin = round(count * walk.initial)
    length = (count - begin) // walk.folds
    calibrating = min(length, begin // 2)
    if length < 1 or begin - calibrating < 2:
        raise UserError(
            f"{symbol}: {count:,} examples are too few for a backtest of {walk.folds} folds: "
            f"{begin:,} lie before the first fold, which needs 3, and {count - begin:,} in the "
            "folds, which need one each; take a longer span, fewer --folds or another --initial"
        )
    bounds = [begin + i * (count - begin) // walk.folds for i in range(walk.folds + 1)]
    fits = [Fit(0, 0, begin - calibrating, (begin - calibrating,), begin)]
    for starts in _groups(bounds[:-1], walk.refit_every):
        number = len(fits)
        stop = bounds[min(number * walk.refit_every, walk.folds)]
        first = max(0, starts[0] - begin) if walk.window == "rolling" else 0
        fits.append(Fit(number, first, starts[0], tuple(starts), stop))
    return tuple(fits)


def _groups(items: Sequence[int], size: int) -> list[list[int]]:
    each = iter(items)
    return list(iter(lambda: list(itertools.islice(each, size)), []))
