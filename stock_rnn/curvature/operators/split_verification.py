"""Are products with the two terms of a Hessian what they should be? Tried at first use.

By first derivatives alone, at points θ ± tv, as in `verification`, which has the steps and
tolerances:

    vᵀ G v  against  ⟨z(θ + tv) - z(θ - tv), ∂ℓ(θ + tv) - ∂ℓ(θ - tv)⟩ / 4t²
    R v     against  (J(θ + tv)ᵀu - J(θ - tv)ᵀu) / 2t,  u = ∂ℓ/∂z at θ

∂ℓ being the derivative of the data loss by the outputs z. The scalar tells of all of G v: what
may be lost of it is in J v and in ∇²ℓ, as its last factor Jᵀ is a plain gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.errors import SecondDerivativeError
from stock_rnn.curvature.operators.protocol import Array, MatvecRoutine
from stock_rnn.curvature.operators.pullback import pull_back
from stock_rnn.curvature.operators.session import ParameterVector, ProductSession
from stock_rnn.curvature.operators.verification import (
    STEPS,
    TOLERANCE,
    Comparison,
    compare_parts,
    random_direction,
)

# A product that is further off in float64 is wrong; kinks are off by less at the least step.
WRONG = 1e-2


def gauss_newton_agrees(
    session: ProductSession, parameters: ParameterVector, batch_loss: BatchLoss, batch: Any
) -> bool:
    """Compare vᵀ G v with differences, for one random v.

    Args:
        session: what multiplies with G.
        parameters, batch_loss, batch: as in `verification.verify_session`.

    Returns:
        Whether it was confirmed. False: rounding or kinks hide it.

    Raises:
        SecondDerivativeError: It is wrong.
    """
    direction = _direction(parameters)
    found = float(direction @ _product(session, batch, direction))
    outputs_at = _traced(_outputs_and_slopes, parameters, batch_loss, batch)
    dtype = session.scan.narrowest
    eps = float(np.finfo(dtype.as_numpy_dtype).eps)
    error = np.inf
    for multiple in STEPS[dtype]:
        step = eps ** (1 / 3) * multiple
        (z, slope), (z_behind, slope_behind) = (
            outputs_at(sign * step * direction) for sign in (1, -1)
        )
        expected = float((z - z_behind) @ (slope - slope_behind)) / (4 * step**2)
        lengths = _lengths(z, z_behind), _lengths(slope, slope_behind)
        apart = np.linalg.norm(z - z_behind), np.linalg.norm(slope - slope_behind)
        # Of the difference of one, by the length of that of the other.
        noise = 8 * eps * (lengths[0] * apart[1] + lengths[1] * apart[0]) / (4 * step**2)
        size = max(abs(found), abs(expected))
        if size == 0.0:
            return True
        if noise <= 0.1 * size:
            error = min(error, max(abs(found - expected) - noise, 0.0) / size)
        if error <= TOLERANCE[dtype]:
            return True
    _raise_if_wrong(error, dtype, "Gauss-Newton matrix")
    return False


def residual_agrees(
    session: ProductSession, parameters: ParameterVector, batch_loss: BatchLoss, batch: Any
) -> bool:
    """Compare R v with differences, for one random v; arguments and errors as above."""
    direction = _direction(parameters)
    product = _product(session, batch, direction)
    gradient_at = _traced(_gradient_of_held_slopes, parameters, batch_loss, batch)

    def cut(vector: Array) -> list[Array]:
        return np.split(vector, np.cumsum(parameters.sizes)[:-1])

    found: Comparison = compare_parts(
        cut(product), lambda t: cut(gradient_at(t * direction)[0]), session.scan.narrowest
    )
    if not found.agrees:
        _raise_if_wrong(found.error, session.scan.narrowest, "residual term")
    return found.agrees


def _raise_if_wrong(error: float, dtype: Any, term: str) -> None:
    if dtype == tf.float64 and WRONG < error < np.inf:
        raise SecondDerivativeError(
            f"A product with the {term} of the Hessian is off by {error:.0%} of a difference of "
            "first derivatives. HessianOperator's own check names the layer."
        )


def _direction(parameters: ParameterVector) -> Array:
    parts = random_direction([v.value.numpy() for v in parameters.variables])
    return np.concatenate([part.ravel() for part in parts])


def _product(session: ProductSession, batch: Any, vector: Array) -> Array:
    found: list[Array] = []

    def multiply(loss: float, gradient: Array) -> MatvecRoutine[None]:
        found.append((yield vector))

    session.converse(batch, multiply)
    return found[0]


Traced = Callable[[Array], list[Array]]


def _traced(
    make: Callable[..., list[tf.Tensor]],
    parameters: ParameterVector,
    batch_loss: BatchLoss,
    batch: Any,
) -> Traced:
    """displacement (n,) -> arrays, of a function of the values at θ + displacement."""

    @tf.function(autograph=False)
    def at(batch: Any, displacement: tf.Tensor) -> list[tf.Tensor]:
        return make(parameters, batch_loss, batch, displacement)

    return lambda displacement: [
        part.numpy().astype(np.float64) for part in at(batch, tf.constant(displacement, tf.float64))
    ]


def _outputs_and_slopes(
    parameters: ParameterVector, batch_loss: BatchLoss, batch: Any, displacement: tf.Tensor
) -> list[tf.Tensor]:
    at = pull_back(batch_loss, parameters.variables, parameters.displaced(displacement), batch)
    return [_flat(at.outputs), _flat(at.slopes)]


def _gradient_of_held_slopes(
    parameters: ParameterVector, batch_loss: BatchLoss, batch: Any, displacement: tf.Tensor
) -> list[tf.Tensor]:
    variables = parameters.variables
    here = parameters.displaced(tf.zeros_like(displacement))
    slopes = pull_back(batch_loss, variables, here, batch).slopes
    there = pull_back(batch_loss, variables, parameters.displaced(displacement), batch, slopes)
    return [parameters.join(there.gradients)]


def _flat(parts: list[tf.Tensor]) -> tf.Tensor:
    if not parts:
        return tf.zeros([1])
    return tf.concat([tf.reshape(tf.cast(part, parts[0].dtype), [-1]) for part in parts], 0)


def _lengths(a: Array, b: Array) -> float:
    return float(max(np.linalg.norm(a), np.linalg.norm(b)))
