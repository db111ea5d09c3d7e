"""How many steps each optimizer needs from the saddle, predicted.

Let a be the distance along v_min, λ = λ_min < 0, ε the rate. On the quadratic of the saddle:

- gradient descent: a <- (1 + ε|λ|) a;
- heavy ball: a_t grows by the larger root of z² - (1 + β + ε|λ|) z + β = 0;
- noisy gradient descent, with noise of norm ρ over n weights: the mean of a² is

      a₀² q^t + ε²ρ²/n · (q^t - 1)/(q - 1),   q = (1 + ε|λ|)²;

- saddle-free Newton with damping δ: a <- (1 + |λ|/(|λ| + δ)) a: it doubles, whatever ε and λ;
- Newton: a <- (1 - λ/(λ + δ)) a = δ/(λ + δ) a: it goes to the saddle;
- RMSProp with D = √(v + η), frozen: gradient descent with the preconditioned λ_D, the lowest
  eigenvalue of D^-½ H D^-½. A live D is about |g|, so that each entry of a step is about ±ε: the
  escape is linear, not exponential, and does not depend on λ while g² is far above η.

`live_steps` iterates an optimizer's own rule on the quadratic. Three weights of v_min's unit
move there: its head weight w and its candidate's kernel and bias, of which

    H = [[0, c₁, c₂], [c₁, 0, 0], [c₂, 0, 0]],   λ_min = -‖c‖,   v_min = (-1, c/‖c‖)/√2.

Mini-batches: at this saddle each example's gradient vanishes by itself, so that their noise only
scatters λ. SGD's prediction is gradient descent's.

Sources: O'Neill, Wright, "Behavior of accelerated gradient methods near critical points of
nonconvex functions", Mathematical Programming 2019 (heavy ball); Dauphin et al., NeurIPS 2014
(gradient descent, Newton's methods).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator

import numpy as np
from numpy.typing import NDArray

from stock_rnn.study.escape.plan import FACTOR, NOISE, RADIUS

Array = NDArray[np.float64]

#: Hyperparameters of the report's optimizers; `Config`'s defaults.
BETA, RHO, BETA_1, BETA_2, EPSILON, EPSILON_TF1, ACCUMULATED = (
    0.9,
    0.9,
    0.9,
    0.999,
    1e-7,
    1e-10,
    0.1,
)

# The damping that saddle-free Newton takes where the lowest loss is farthest away.
_DAMPING = 1e-6


def gradient_descent_steps(pace: float) -> float:
    """ln FACTOR / ln(1 + ε|λ|).

    Args:
        pace: ε|λ|.
    """
    return math.log(FACTOR) / math.log1p(pace)


def heavy_ball_root(pace: float, beta: float = BETA) -> float:
    """The larger root of z² - (1 + β + ε|λ|) z + β = 0: the growth a step."""
    half = (1.0 + beta + pace) / 2.0
    return half + math.sqrt(half**2 - beta)


def heavy_ball_steps(pace: float, beta: float = BETA) -> float:
    """Steps of heavy ball from rest.

    With both roots z₁ > z₂, a_t = a₀ (z₁^(t+1) - z₂^(t+1) - β (z₁^t - z₂^t)) / (z₁ - z₂), of which
    the part of z₁ decides: t = ln(FACTOR (z₁ - z₂)/(z₁ - β)) / ln z₁.
    """
    first = heavy_ball_root(pace, beta)
    second = beta / first
    return max(math.log(FACTOR * (first - second) / (first - beta)) / math.log(first), 1.0)


def perturbed_steps(rate: float, eigenvalue: float, weights: int) -> float:
    """Steps until the root mean square of a is FACTOR · RADIUS, under noise of norm `NOISE`."""
    q = (1.0 + rate * abs(eigenvalue)) ** 2
    noise = (rate * NOISE) ** 2 / weights / (q - 1.0)
    return math.log(((FACTOR * RADIUS) ** 2 + noise) / (RADIUS**2 + noise)) / math.log(q)


def saddle_free_steps(eigenvalue: float) -> float:
    """ln FACTOR / ln(1 + |λ|/(|λ| + δ))."""
    return math.log(FACTOR) / math.log1p(abs(eigenvalue) / (abs(eigenvalue) + _DAMPING))


def quadratic(couplings: tuple[float, float]) -> tuple[Array, Array]:
    """H (3, 3) of the weights (w, k, β) that move, and its unit eigenvector of λ_min (3,)."""
    c = np.array(couplings)
    hessian = np.zeros((3, 3))
    hessian[0, 1:] = hessian[1:, 0] = c
    return hessian, np.concatenate([[-1.0], c / np.linalg.norm(c)]) * np.sqrt(0.5)


def live_steps(optimizer: str, rate: float, couplings: tuple[float, float], limit: int) -> float:
    """Steps of the optimizer's own rule on the quadratic, from RADIUS along v_min.

    Args:
        optimizer: of `RULES`.
        rate: ε.
        couplings: ∂²L/∂w∂k, ∂²L/∂w∂β.
        limit: of the steps.

    Returns:
        Infinite beyond the limit.
    """
    hessian, direction = quadratic(couplings)
    at = RADIUS * direction
    rule = RULES[optimizer]()
    next(rule)
    for step in range(1, limit + 1):
        at = at - rate * rule.send(hessian @ at)
        if abs(direction @ at) >= FACTOR * RADIUS:
            return float(step)
    return math.inf


def frozen_steps(rate: float, couplings: tuple[float, float], d: Array) -> float:
    """Gradient descent's steps with the preconditioned eigenvalue of a frozen D, (3,)."""
    hessian, _ = quadratic(couplings)
    lowest = float(np.linalg.eigvalsh(hessian / np.sqrt(np.outer(d, d)))[0])
    return gradient_descent_steps(rate * abs(lowest))


def first_diagonal(couplings: tuple[float, float]) -> Array:
    """Keras's RMSProp's D in its first step from RADIUS along v_min, (3,)."""
    hessian, direction = quadratic(couplings)
    gradient = hessian @ (RADIUS * direction)
    return np.asarray(np.sqrt((1.0 - RHO) * gradient**2 + EPSILON))


# A rule is a generator that takes gradients and gives the steps, to be multiplied by -ε.
Rule = Generator[Array, Array, None]


def _sgd() -> Rule:
    step = np.zeros(3)
    while True:
        step = yield step


def _momentum() -> Rule:
    velocity = np.zeros(3)
    while True:
        velocity = BETA * velocity + (yield velocity)


def _adagrad() -> Rule:
    total, step = np.full(3, ACCUMULATED), np.zeros(3)
    while True:
        gradient = yield step
        total = total + gradient**2
        step = gradient / np.sqrt(total + EPSILON)


def _rmsprop(start: float, epsilon: float) -> Rule:
    mean, step = np.full(3, start), np.zeros(3)
    while True:
        gradient = yield step
        mean = RHO * mean + (1.0 - RHO) * gradient**2
        step = gradient / np.sqrt(mean + epsilon)


def _adam() -> Rule:
    first, second, step, count = np.zeros(3), np.zeros(3), np.zeros(3), 0
    while True:
        gradient = yield step
        count += 1
        first = BETA_1 * first + (1.0 - BETA_1) * gradient
        second = BETA_2 * second + (1.0 - BETA_2) * gradient**2
        correction = math.sqrt(1.0 - BETA_2**count) / (1.0 - BETA_1**count)
        step = correction * first / (np.sqrt(second) + EPSILON)


#: Optimizer -> its rule, as `make_optimizer` writes it.
RULES: dict[str, Callable[[], Rule]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "adagrad": _adagrad,
    "rmsprop": lambda: _rmsprop(0.0, EPSILON),
    "rmsprop-tf1": lambda: _rmsprop(1.0, EPSILON_TF1),
    "adam": _adam,
}


def predicted_steps(
    optimizer: str, rate: float, couplings: tuple[float, float], weights: int, limit: int
) -> float:
    """The line that is drawn for an optimizer: closed form where there is one, else `live_steps`.

    Args:
        optimizer: one of `plan.OPTIMIZERS`.
        rate, couplings, limit: as `live_steps`.
        weights: n, over which noise is spread.
    """
    eigenvalue = -math.hypot(*couplings)
    pace = rate * abs(eigenvalue)
    if optimizer == "sgd":
        return gradient_descent_steps(pace)
    if optimizer == "momentum":
        return heavy_ball_steps(pace)
    if optimizer == "perturbed":
        return perturbed_steps(rate, eigenvalue, weights)
    if optimizer == "saddle-free-newton":
        return saddle_free_steps(eigenvalue)
    return live_steps(optimizer, rate, couplings, limit)
