"""The Hessian of a loss of a network's outputs, taken apart into its two terms.

With z(θ) the outputs, J = ∂z/∂θ, ℓ(z) the data loss on a micro-batch, and L = ℓ(z(θ)) plus
the model's own losses Ω(θ):

    ∂²L/∂θ² = G + R,   G = Jᵀ ∇²ℓ J,   R = Σₖ (∂ℓ/∂zₖ) ∂²zₖ/∂θ² + ∂²Ω/∂θ²

(Schraudolph 2002, "Fast curvature matrix-vector products for second-order gradient descent").
Both come of the pull-back u -> Jᵀu, which is one backward pass:

- It is linear in u. So J v = ∂⟨Jᵀu, v⟩/∂u, by differentiating it once more: no forward
  mode, which TensorFlow lacks for loops. Then ∇²ℓ (J v) is a product with the loss's own
  Hessian, and Jᵀ is the pull-back again.
- R v = ∂⟨Jᵀu, v⟩/∂θ with u = ∂ℓ/∂z held constant: nothing is subtracted from H v, and
  nothing cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.session import (
    Derivatives,
    ProductSession,
    densified,
    differentiate_along,
)


@dataclass(frozen=True)
class PullBack:
    """u -> Jᵀu at some values of the parameters, traced once, and the loss's derivatives."""

    loss: tf.Tensor  # scalar: L
    count: tf.Tensor  # scalar: what the micro-batch counts
    predicted: Any  # the model's outputs, as the loss reads them; z is part of them
    outputs: list[tf.Tensor]  # z: those that the data loss depends on
    slopes: list[tf.Tensor]  # ∂ℓ/∂z
    covectors: list[tf.Tensor]  # u: the slopes' values, held constant
    pulled: list[Any]  # Jᵀu, one a variable; None where no gradient reaches it
    gradients: list[Any]  # ∂L/∂θ: Jᵀu + ∂Ω/∂θ, likewise
    values: list[tf.Tensor]  # θ
    outer: tf.GradientTape  # knows what slopes, `pulled` and `gradients` are made of
    inner: tf.GradientTape  # knows what the outputs are made of

    def push_forward(self, along: Sequence[tf.Tensor]) -> list[Any]:
        """J v for a v of one tensor a variable: one tensor an output, or None for zero."""
        return differentiate_along(self.outer, self.pulled, self.covectors, along)

    def curve(self, along: Sequence[Any]) -> list[Any]:
        """∇²ℓ w for a w of one tensor an output: likewise; None where ℓ is linear."""
        return differentiate_along(self.outer, self.slopes, self.outputs, along)

    def pull(self, covectors: Sequence[Any]) -> list[Any]:
        """Jᵀu for a u of one tensor an output, or None for zero: one tensor a variable."""
        return differentiate_along(self.inner, self.outputs, self.values, covectors)


def pull_back(
    batch_loss: BatchLoss,
    variables: Sequence[keras.Variable],
    values: list[tf.Tensor],
    batch: Any,
    covectors: Sequence[tf.Tensor] | None = None,
) -> PullBack:
    """Trace the pull-back at these values of the variables on one micro-batch.

    Args:
        batch_loss: L.
        variables: those that θ consists of.
        values: a tensor for each.
        batch: as `BatchLoss` takes it.
        covectors: u, one tensor an output; ∂ℓ/∂z when None.
    """
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(values)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(values)
            found = batch_loss.at_outputs(variables, values, batch)
        pairs = zip(found.outputs, inner.gradient(found.data, found.outputs), strict=True)
        reached = [(z, densified(slope)) for z, slope in pairs if slope is not None]
        outputs, slopes = [z for z, _ in reached], [slope for _, slope in reached]
        with outer.stop_recording():
            held = [tf.identity(u) for u in (slopes if covectors is None else covectors)]
        outer.watch(held)
        pulled = differentiate_along(inner, outputs, values, held)
        ones: list[Any] = [tf.ones_like(term) for term in found.own]
        own = differentiate_along(inner, found.own, values, ones)
        gradients = [_sum(a, b) for a, b in zip(pulled, own, strict=True)]
    loss = found.data + sum(tf.cast(term, found.data.dtype) for term in found.own)
    return PullBack(
        loss,
        found.count,
        found.predicted,
        outputs,
        slopes,
        held,
        pulled,
        gradients,
        values,
        outer,
        inner,
    )


class GaussNewtonSession(ProductSession):
    """Products with G; the gradient is that of the whole loss."""

    def _differentiate(self, values: list[tf.Tensor], batch: Any) -> Derivatives:
        parameters = self._parameters
        at = pull_back(self._batch_loss, parameters.variables, values, batch)
        curve = self._curvature_of_outputs(at, batch)

        def product(vector: tf.Tensor) -> tf.Tensor:
            return parameters.join(at.pull(curve(at.push_forward(parameters.split(vector)))))

        return Derivatives(at.loss, at.count, at.gradients, product)

    def _curvature_of_outputs(self, at: PullBack, batch: Any) -> Any:
        """w -> ∇²ℓ w, both one tensor an output or None for zero."""
        return at.curve


class ResidualSession(ProductSession):
    """Products with R; the gradient is that of the whole loss."""

    def _differentiate(self, values: list[tf.Tensor], batch: Any) -> Derivatives:
        parameters = self._parameters
        at = pull_back(self._batch_loss, parameters.variables, values, batch)
        gradients = at.gradients

        def product(vector: tf.Tensor) -> tf.Tensor:
            along = parameters.split(vector)
            return parameters.join(differentiate_along(at.outer, gradients, values, along))

        return Derivatives(at.loss, at.count, gradients, product)


def _sum(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return a + b
