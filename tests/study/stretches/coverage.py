"""How often intervals hold the truth of simulated stretches.

`python -m tests.study.stretches.coverage` prints it. The truth is that of 20 years in quarters, of
which each stretch sees five years.
"""

import math

import numpy as np

from stock_rnn.study.judge import statistics
from stock_rnn.study.stretches import bootstrap
from stock_rnn.study.stretches.bootstrap import pool, shared_days
from tests.study.stretches.cases import YEARS, spans

SHARED = shared_days(*spans(YEARS))
SLOTS = YEARS - YEARS[0]


def values_of(rng, *, common, seen, noise, seeds=3, draw=None):
    """Values of rolling five-year stretches of two indices, whose true mean is zero.

    Args:
        common: correlation of the two indices' years.
        seen: "days": a value is the sum of all quarters of its five years; "test": of the last
            half-year only; "both": half and half.
        noise: standard deviation over seeds.
        draw: shape -> independent numbers of mean 0.
    """
    draw = draw or rng.standard_normal
    quarters = 4 * 20
    market = math.sqrt(common) * draw(quarters) + math.sqrt(1 - common) * draw((2, quarters))
    total = np.concatenate([np.zeros((2, 1)), np.cumsum(market, axis=1)], axis=1)
    index, begin = np.arange(len(YEARS)) % 2, 4 * SLOTS
    days = (total[index, begin + 20] - total[index, begin]) / math.sqrt(20)
    test = (total[index, begin + 20] - total[index, begin + 18]) / math.sqrt(2)
    level = {"days": days, "test": test, "both": (days + test) / math.sqrt(2)}[seen]
    return level[:, None] + noise * rng.standard_normal((len(YEARS), seeds))


def covered(draws, rng, confidence=0.95, **kind):
    """In how many draws the interval holds the truth, and in how many that of `locate` does."""
    ours = theirs = 0
    for _ in range(draws):
        values = values_of(rng, **kind)
        low, high = pool(list(values), YEARS, SHARED).location.at(confidence)
        ours += low <= 0.0 <= high
        low, high = statistics.locate(values.mean(axis=1), statistic=np.mean).at(confidence)
        theirs += low <= 0.0 <= high
    return ours, theirs


def skewed(rng):
    """Numbers of mean 0 whose distribution is the exponential one."""
    return lambda shape: rng.exponential(1.0, shape) - 1.0


def main(draws=1000):
    """Print a line a truth; 400 resamples are enough for a share of draws."""
    bootstrap._RESAMPLES = statistics._RESAMPLES = 400
    print("indices in common, seen, noise of seeds, skewed: holds the truth, if independent")
    rng = np.random.default_rng(0)
    for common, seen, noise, skew in [
        (1.0, "days", 0.0, False),
        (0.8, "days", 0.5, False),
        (0.0, "days", 0.5, False),
        (0.8, "both", 0.5, False),
        (0.8, "test", 0.5, False),
        (0.8, "days", 0.3, True),
        (0.8, "test", 0.3, True),
    ]:
        kind = {"common": common, "seen": seen, "noise": noise}
        ours, theirs = covered(draws, rng, **kind, draw=skewed(rng) if skew else None)
        print(f"{common} {seen:5} {noise} {skew!s:5}: {ours / draws:.3f}  {theirs / draws:.3f}")


if __name__ == "__main__":
    main()
