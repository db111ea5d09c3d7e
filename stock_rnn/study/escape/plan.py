"""Which runs start at the saddle of the frozen bias, and what decides that one has left it.

The saddle is the report's plateau: one layer of 32 units whose head's bias is frozen at 0.1, see
`stock_rnn.study.run.saddle_start`. A run starts `RADIUS` away from it along v_min. It has
escaped once it is `FACTOR` times as far along v_min: on the quadratic, gradient descent with rate
ε needs ln FACTOR / ln(1 + ε|λ_min|) steps.

Labels and frozen bias are multiplied by a scale s: prices in another unit. Residuals, and so λ_min
and every gradient near the saddle, are multiplied by s. To second order this is the loss
multiplied by s, while the windows, and so the gates, stay as they are. (Exactly, the loss of
weights with the head's multiplied by s is s² times the former.)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

#: The head's bias of the report's network, and its plateau's loss, about 0.1².
FROZEN_BIAS = 0.1

#: Distance of a start from the saddle, along v_min, and how much farther an escaped run is.
RADIUS, FACTOR = 1e-3, 100.0

#: Multiples of labels and bias; 1 is the report's. Four decades of ε|λ_min|.
SCALES = (0.1, 1.0, 10.0, 100.0, 1000.0)

#: Seeds of mini-batches of what claims are about; of all else. Seed 0 was for trials.
SEEDS, OTHER_SEEDS, FIRST_SEED = 10, 2, 1

#: Examples in a mini-batch, the report's rate, and its steps: 50 epochs of 18 batches.
BATCH, REPORT_RATE, REPORT_STEPS = 64, 0.001, 900

#: The rates that a tuned one is chosen from, and the seeds it is chosen by, at scale 1.
RATES = tuple(10.0**k for k in range(-4, 2))
TUNING_SEEDS = (100, 101)

#: A tuning run has settled once the loss is at most this share of the saddle's, for so many
#: steps on end. It asks more than an escape: a rate that jumps away is no good rate.
SETTLED_SHARE, SETTLED_STEPS = 0.1, 20

#: The optimizers. "perturbed" is gradient descent under noise of norm `NOISE` (Ge et al. 2015).
FIRST_ORDER = ("sgd", "rmsprop", "rmsprop-tf1", "momentum", "adam", "adagrad", "perturbed")
OPTIMIZERS = (*FIRST_ORDER, "saddle-free-newton")
NOISE = 1.0

#: The optimizers of claims, and of one about scale 1 only.
CLAIMED, CLAIMED_ONCE = ("sgd", "rmsprop", "rmsprop-tf1", "momentum"), "perturbed"

FULL, MINI = "full", "mini"
#: Steps after which a run ends without having escaped, by batches.
LIMITS = {FULL: 500, MINI: 20_000}
#: The same of runs that choose a rate, and of those at scales below 1: without a D they would
#: need 40,000 steps and more, with one they need some 200.
TUNING_LIMIT, SMALL_LIMIT = 1_000, 2_000
#: The same of SGD's and perturbed SGD's mini-batches at the report's scale and rate, where some
#: 40,000 steps are predicted.
LONG_LIMIT = 60_000
#: Steps of saddle-free Newton, each of which needs 50 products.
NEWTON_LIMIT, NEWTON_SEEDS = 20, 1

# Part of every key. Raise it when the same run would give another record.
FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run from the saddle.

    Attributes:
        optimizer: one of `OPTIMIZERS`.
        rate: learning rate, constant. Saddle-free Newton has none.
        tuned: whether the rate is the tuned one, and another than the report's.
        batches: "full" or "mini".
        scale: s.
        seed: of the gates, the order of mini-batches and the noise.
        goal: "escape", or "settle" for the runs that a rate is chosen by.
        limit: steps after which it ends.
    """

    optimizer: str
    rate: float
    tuned: bool
    batches: str
    scale: float
    seed: int
    goal: str = "escape"
    limit: int

    def key(self, prices_sha256: str, versions: dict[str, str]) -> str:
        """The name of the record: a hash of all that its numbers depend on, 16 digits.

        Args:
            prices_sha256: hash of the prices.
            versions: package -> version.
        """
        content: dict[str, Any] = {"format": FORMAT, "run": dataclasses.asdict(self)}
        content["prices"] = prices_sha256
        content |= {"versions": versions, "start": [FROZEN_BIAS, RADIUS, FACTOR, NOISE, BATCH]}
        content["settled"] = [SETTLED_SHARE, SETTLED_STEPS]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def tuning_runs() -> list[Run]:
    """The runs that choose the tuned rates: full batches, at scale 1."""
    return [
        Run(
            optimizer=optimizer,
            rate=rate,
            tuned=False,
            batches=FULL,
            scale=1.0,
            seed=seed,
            goal="settle",
            limit=TUNING_LIMIT,
        )
        for optimizer in FIRST_ORDER
        for seed in TUNING_SEEDS
        for rate in RATES
    ]


def escape_runs(tuned: dict[str, float], seeds: int = SEEDS) -> list[Run]:
    """The runs that are judged and drawn, those that decide most first.

    Args:
        tuned: optimizer -> tuned rate.
        seeds: of what claims are about; all else has `OTHER_SEEDS` of them at most.
    """
    found = [
        Run(
            optimizer=optimizer,
            rate=rate,
            tuned=rate != REPORT_RATE,
            batches=batches,
            scale=scale,
            seed=seed,
            limit=_limit(optimizer, rate, batches, scale),
        )
        for batches in (MINI, FULL)
        for scale in SCALES
        for optimizer in FIRST_ORDER
        for seed in _seeds(optimizer, batches, scale, seeds)
        for rate in dict.fromkeys((REPORT_RATE, tuned[optimizer]))
    ]
    found += [
        Run(
            optimizer="saddle-free-newton",
            rate=1.0,
            tuned=False,
            batches=FULL,
            scale=scale,
            seed=seed,
            limit=NEWTON_LIMIT,
        )
        for scale in SCALES
        for seed in range(FIRST_SEED, FIRST_SEED + min(seeds, NEWTON_SEEDS))
    ]
    # The report's scale first.
    return sorted(found, key=lambda run: run.scale != 1.0)


def _seeds(optimizer: str, batches: str, scale: float, seeds: int) -> range:
    once = optimizer == CLAIMED_ONCE and scale == 1.0
    claimed = batches == MINI and (optimizer in CLAIMED or once)
    return range(FIRST_SEED, FIRST_SEED + (seeds if claimed else min(seeds, OTHER_SEEDS)))


def _limit(optimizer: str, rate: float, batches: str, scale: float) -> int:
    if scale < 1.0 and batches == MINI:
        return SMALL_LIMIT
    slow = optimizer in ("sgd", "perturbed") and rate == REPORT_RATE and scale == 1.0
    return LONG_LIMIT if slow and batches == MINI else LIMITS[batches]
