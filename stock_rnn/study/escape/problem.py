"""The problem of Staib et al. 2019: a saddle whose noise is small along the way out, or across it.

    f(x) = ½ xᵀ diag(1, -0.1) x + bᵀx + Σ xᵢ¹⁰,

b normal, drawn anew in each step. In the paper's figure 1 its deviations are (1, 0.1): the noise is
small along the way out, x₂. RMSProp divides by its size, sees the curvatures 1 and -1, and leaves
sooner. "swapped" has deviations (0.1, 1): RMSProp's division then leaves the way out as it is, and
enlarges the noise across. Runs start at the saddle, x = 0, and have escaped beyond |x₂| = 0.25; the
minima are at 0.56.

Near the saddle, with D = 1 for SGD and σ₂√(1 - ρᵗ) for RMSProp (Keras starts its mean at 0),

    x₂ <- (1 + 0.1 ε/D) x₂ - (ε/D) b₂,

whose variance follows step by step. Half of all runs are beyond a distance once 0.67 standard
deviations are.

Source: Staib, Reddi, Kale, Kumar, Sra, "Escaping Saddle Points with Adaptive Gradient Methods",
ICML 2019, figure 1, as `verification.noisy_saddle` cites it. The paper shows curves for rates that
it does not give; here all optimizers have the report's rate, or each its tuned one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stock_rnn.study.escape.plan import REPORT_RATE

Array = NDArray[np.float64]

CURVATURES = np.array([1.0, -0.1])

#: Problem -> deviations of b: across the way out, and along it.
DEVIATIONS = {"small along the way out": (1.0, 0.1), "swapped": (0.1, 1.0)}

OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")

#: |x₂| of an escape, and steps after which a run ends.
ESCAPED, LIMIT = 0.25, 40_000

#: The rates that a tuned one is chosen from, and the largest deviation of x₁ that it may have at
#: the escape: faster out at the same noise across.
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
LARGEST_DEVIATION = 0.1

#: Seeds, the starts that a seed's median is of, and the seed of the tuning.
SEEDS, STARTS, TUNING_SEED = 10, 20, 100

# Of the noise; 0 was for trials.
_SEED = 1

# The standard normal's median of |z|.
_MEDIAN = 0.67448975

_CHUNK = 250


def theory(problem: str, rate: float, rho: float | None) -> float:
    """The median of the steps until |x₂| exceeds `ESCAPED`, f replaced by its quadratic.

    Args:
        problem: of `DEVIATIONS`.
        rate: ε.
        rho: RMSProp's memory; None for SGD.

    Returns:
        Infinite if it is not within `LIMIT`.
    """
    deviation = DEVIATIONS[problem][1]
    variance = 0.0
    for step in range(1, LIMIT + 1):
        d = 1.0 if rho is None else deviation * math.sqrt(1.0 - rho**step)
        variance = (1.0 - rate * CURVATURES[1] / d) ** 2 * variance + (rate * deviation / d) ** 2
        if _MEDIAN * math.sqrt(variance) > ESCAPED:
            return float(step)
    return math.inf


def solve() -> list[dict[str, Any]]:
    """All runs: for each problem and optimizer a row at the report's rate and one at its tuned.

    A row has "problem", "optimizer", "tuned", "rate", and "steps": the median of each seed's
    starts, null if it did not escape within `LIMIT`.
    """
    rows = []
    for problem in DEVIATIONS:
        for optimizer in OPTIMIZERS:
            tuned = _tuned_rate(problem, optimizer)
            for is_tuned, rate in ((False, REPORT_RATE), (True, tuned)):
                steps, _ = escapes(problem, optimizer, rate, SEEDS, seed=_SEED)
                medians = np.median(steps, axis=1)
                rows.append(
                    {
                        "problem": problem,
                        "optimizer": optimizer,
                        "tuned": is_tuned,
                        "rate": rate,
                        "steps": [v if math.isfinite(v) else None for v in medians.tolist()],
                    }
                )
    return rows


def _tuned_rate(problem: str, optimizer: str) -> float:
    """The rate of the earliest escapes among those whose noise across is small enough."""
    found = {}
    for rate in RATES:
        steps, deviation = escapes(problem, optimizer, rate, 2, seed=TUNING_SEED)
        if deviation <= LARGEST_DEVIATION:
            found[rate] = float(np.median(steps))
    return min(found, key=lambda rate: found[rate]) if found else RATES[0]


def escapes(
    problem: str, optimizer: str, rate: float, seeds: int, *, seed: int
) -> tuple[Array, float]:
    """The steps to the escape of (seeds, `STARTS`) runs, and the deviation of x₁ at the end.

    Every optimizer works entry by entry, so that all runs are one variable of Keras's.

    Args:
        problem: of `DEVIATIONS`.
        optimizer: of `OPTIMIZERS`.
        rate: constant.
        seeds: how many groups of runs.
        seed: of the noise.

    Returns:
        Infinite steps for runs that did not escape until most had, or `LIMIT`.
    """
    import keras
    import tensorflow as tf

    from stock_rnn.optimizers import make_optimizer

    runs = seeds * STARTS
    x = keras.Variable(np.zeros((runs, 2)), dtype="float64")
    rule = make_optimizer(optimizer, rate)
    rule.build([x])
    advance = _advance(rule, x)
    rng = np.random.default_rng(seed)
    first, step = np.full(runs, np.inf), 0
    while step < LIMIT and np.isinf(np.median(first.reshape(seeds, -1), axis=1)).any():
        noise = rng.standard_normal((_CHUNK, runs, 2)) * DEVIATIONS[problem]
        path = advance(tf.constant(noise)).numpy()
        # A run that left the valley of the formula is not finite; it has escaped before.
        away = np.abs(path[:, :, 1]) > ESCAPED
        new = away.any(axis=0) & np.isinf(first)
        first[new] = step + 1 + away.argmax(axis=0)[new]
        step += _CHUNK
    across = path[:, :, 0]
    deviation = float(across.std()) if np.isfinite(across).all() else math.inf
    return first.reshape(seeds, STARTS), deviation


def _advance(rule: Any, x: Any) -> Callable[[Any], Any]:
    import tensorflow as tf

    curvatures = tf.constant(CURVATURES)

    def steps(noise: Any) -> Any:
        path = tf.TensorArray(tf.float64, _CHUNK, element_shape=x.shape)
        for number in tf.range(_CHUNK):
            value = tf.convert_to_tensor(x)
            rule.apply([curvatures * value + noise[number] + 10.0 * value**9], [x])
            path = path.write(number, tf.convert_to_tensor(x))
        return path.stack()

    return tf.function(steps, jit_compile=True)
