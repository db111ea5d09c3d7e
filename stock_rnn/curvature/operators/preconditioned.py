"""The Hessian as an adaptive optimizer sees it, and the line its top eigenvalue meets.

An optimizer that steps by θ ← θ - ε D⁻¹g with a diagonal D is gradient descent in
the coordinates u = D^½θ, where the gradient is D^-½g and the Hessian D^-½HD^-½.
Raw eigenvalues cannot compare it with SGD; those of D^-½HD^-½ can. They are also
the eigenvalues of D⁻¹H, and step size ε is stable where all lie below a line that
the optimizer's momentum sets (2/ε without any).

Sources: Cohen, Kaur, Li, Kolter, Talwalkar, "Gradient Descent on Neural Networks
Typically Occurs at the Edge of Stability", ICLR 2021, section 2 and appendix B;
Cohen et al., "Adaptive Gradient Methods at the Edge of Stability", 2022, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stock_rnn.curvature.keras_private import optimizer_slots, variable_index
from stock_rnn.curvature.operators.blocks import RestrictedOperator
from stock_rnn.curvature.operators.operator import Operator
from stock_rnn.curvature.operators.protocol import (
    LossOperator,
    MatvecRoutine,
    Result,
    SymmetricOperator,
    adapt_routine,
    dimension,
    is_verified,
    loss_operator,
    relative_rounding,
    run_routine,
)

Array = NDArray[np.float64]

# (optimizer, model variable) -> D of that variable, in the variable's shape.
Diagonal = Callable[[Any, Any], Any]


class ModelOperator(LossOperator, Protocol):
    """A `LossOperator` over the variables of a Keras model, as `HessianOperator` is."""

    @property
    def variables(self) -> list[Any]:
        """The Keras variables, in their order in the flat vector."""


@dataclass(frozen=True)
class PreconditionedOperator(Operator):
    """D^-½ A D^-½ for a diagonal D, in the coordinates u = D^½θ.

    It is a `LossOperator` if A is one, with the loss around the same θ: what
    `stock_rnn.curvature.analysis.landscape` then calls a gradient step of rate ε, u - εD^-½g,
    is the optimizer's own step θ - εD⁻¹g without momentum.

    Raises:
        ValueError: if the diagonal is not a positive, finite (n,).
    """

    operator: SymmetricOperator  # A, (n, n)
    diagonal: Array  # D, (n,)

    def __post_init__(self) -> None:
        n = dimension(self.operator)
        if self.diagonal.shape != (n,):
            raise ValueError(f"D must be ({n},). Received: shape={self.diagonal.shape}")
        if not np.all(np.isfinite(self.diagonal) & (self.diagonal > 0.0)):
            raise ValueError(
                f"D must be finite and positive. Received: from {self.diagonal.min()}"
                f" to {self.diagonal.max()}"
            )

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(n, n)."""
        return self.diagonal.size, self.diagonal.size

    @property
    def relative_rounding(self) -> float:  # type: ignore[override]
        """That of A.

        In the worst case scaling makes it worse, by up to max D / min D; where it was
        measured (an LSTM in float32 against float64) it did not.
        """
        return relative_rounding(self.operator)

    @property
    def verified(self) -> bool:  # type: ignore[override]
        """Whether A is."""
        return is_verified(self.operator)

    def __matmul__(self, vectors: Array, /) -> Array:
        """D^-½ A D^-½ v: float64, (n,) or (n, k)."""
        return self._scaled(self.operator @ self._scaled(vectors))

    def run_routine(self, routine: MatvecRoutine[Result]) -> Result:
        """Answer a whole routine, the way the operator inside does."""

        def answer(vectors: Array) -> MatvecRoutine[Array]:
            return self._scaled((yield self._scaled(vectors)))

        return run_routine(self.operator, adapt_routine(routine, answer))

    def loss(self) -> float:
        """L(θ), unchanged."""
        return loss_operator(self.operator).loss()

    def gradient(self) -> Array:
        """∂L/∂u = D^-½ ∂L/∂θ: float64 (n,)."""
        return self._scaled(loss_operator(self.operator).gradient())

    def loss_at(self, displacement: Array) -> float:
        """L at u + displacement, which is L(θ + D^-½ displacement)."""
        return loss_operator(self.operator).loss_at(self._scaled(displacement))

    def in_weights(self, vectors: Array) -> Array:
        """D^-½ v: a displacement or an eigenvector in u as a displacement of θ."""
        return self._scaled(vectors)

    def _scaled(self, vectors: Array) -> Array:
        root = np.sqrt(self.diagonal)
        return np.asarray(vectors / (root if vectors.ndim == 1 else root[:, None]))


def preconditioned(
    op: ModelOperator | RestrictedOperator, optimizer: keras.Optimizer
) -> PreconditionedOperator:
    """D^-½HD^-½ with D from the optimizer's live state, copied now.

    With v the running mean of squared gradients, t the steps taken, eps = epsilon:

    - SGD: D = 1, with momentum or without (it only moves the stability line).
    - RMSprop: D = √(v + eps), centered: D = √(v - m² + eps), m the mean gradient.
    - Adagrad: D = √(accumulator + eps).
    - Adam, AdamW: D = (√v + eps) / √(1 - β₂ᵗ), which is √v̂ + eps at Keras's
      "epsilon hat"; amsgrad: the largest v in place of v. The step is then
      ε D⁻¹m̂ with the bias-corrected m̂. (Cohen et al. 2022 count m̂'s correction
      1 - β₁ᵗ to the preconditioner as well; it is 1 within 1 % after 44 steps.)
    - LossScaleOptimizer: that of the optimizer inside.

    Others join by `register_preconditioner`. Clipping, and weight decay that is
    not part of the loss, are not part of the result.

    Args:
        op: the Hessian, or a block of it; its variables may be some of those that the
            optimizer trains.
        optimizer: built, on those variables.

    Raises:
        ValueError: for an optimizer whose formula is not known or that overrides the
            `update_step` that the formula describes; one that is not built, or does not
            train one of the variables; Adam before its first step, where v̂ is 0/0.

    Example: plain SGD sees the Hessian itself.

    >>> preconditioned(op, keras.optimizers.SGD(0.1)).diagonal  # doctest: +SKIP
    array([1., 1., ...])
    """
    if isinstance(op, RestrictedOperator):
        whole = preconditioned(op.operator, optimizer)  # type: ignore[arg-type]
        return PreconditionedOperator(op, whole.diagonal[op.indices])
    formula = _rule(optimizer).diagonal
    parts = []
    for variable in op.variables:
        part = np.asarray(formula(optimizer, variable), dtype=np.float64)
        if not np.all(np.isfinite(part) & (part > 0.0)):
            raise ValueError(
                f"The state of {type(optimizer).__name__} gives no positive, finite D for"
                f" {variable.path!r}. Received: from {part.min()} to {part.max()}"
            )
        parts.append(np.broadcast_to(part, tuple(variable.shape)).ravel())
    return PreconditionedOperator(op, np.concatenate(parts))


def stability_line(optimizer: keras.Optimizer) -> float:
    """The top eigenvalue of D^-½HD^-½ at which this optimizer's step turns unstable.

    On a quadratic with D held fixed, and ε the present learning rate:

    - SGD, RMSprop, Adagrad: 2/ε;
    - SGD, RMSprop with momentum β: 2(1 + β)/ε; Nesterov: 2(1 + β)/((1 + 2β)ε);
    - Adam, AdamW: 2(1 + β₁)/((1 - β₁)ε), which is 38/ε for β₁ = 0.9;
    - with a weight decay w, which Keras applies as θ ← (1 - εw)θ before each step: the
      same with 2 - εw in place of the factor 2. (One coordinate of curvature h follows
      (z - 1 + εw)(z - β) + ε(1 - β)hz = 0 under Adam, and turns unstable at z = -1.)

    Clipping (`clipnorm`, `clipvalue`, `global_clipnorm`) leaves the line where it is: near a
    minimum no gradient is clipped. Above the line the oscillation then grows until it is clipped.
    Far from a minimum clipped steps are shorter, and the line says nothing of them.

    An eigenvalue above it makes the step oscillate with growing amplitude. It is
    no line between good and bad: training comes up to it and stays there.

    Sources: Cohen et al. 2021, section 2 and appendix B (momentum); 2022, section 2.

    Returns:
        inf for a learning rate of 0. With weight decay, the line of the variables that
        decay; those left out (`exclude_from_weight_decay`) have the higher one.

    Raises:
        ValueError: for an optimizer whose formula is not known.
    """
    return _rule(optimizer).stability_line(optimizer)


def register_preconditioner(
    optimizer_class: type, diagonal: Diagonal, *, stability_line: Callable[[Any], float]
) -> None:
    """Teach `preconditioned` and `stability_line` another optimizer.

    Args:
        optimizer_class: its class. Subclasses share the formula as long as
            they do not override `update_step`.
        diagonal: (optimizer, variable) -> D > 0 with the step θ - εD⁻¹g, in the
            variable's shape or a scalar; `optimizer_state` reads the state.
        stability_line: optimizer -> the line; see `heavy_ball_line`.

    Example, for an optimizer whose accumulator starts at one and has epsilon inside
    of the root:

    >>> register_preconditioner(
    ...     Mine,
    ...     lambda o, v: np.sqrt(optimizer_state(o, o.rms, v) + o.epsilon),
    ...     stability_line=lambda o: heavy_ball_line(o, o.momentum),
    ... )  # doctest: +SKIP
    """
    _RULES[optimizer_class] = _Rule(diagonal, stability_line)


def optimizer_state(optimizer: keras.Optimizer, slots: Any, variable: Any) -> Array:
    """The entry of `slots` (one a trained variable) that belongs to the variable, float64.

    Raises:
        ValueError: if the optimizer is not built, or does not train the variable.
    """
    index = _index(optimizer, variable)
    return _numbers(slots[index])


def _numbers(value: Any) -> Array:
    # By way of a tensor: NumPy warns of how a variable turns itself into an array.
    return np.asarray(tf.convert_to_tensor(value).numpy(), dtype=np.float64)


def _index(optimizer: Any, variable: Any) -> int:
    name = type(optimizer).__name__
    if not optimizer.built:
        raise ValueError(
            "The optimizer has no state yet: fit first, or optimizer.build(variables)."
            f" Received: {name}, not built"
        )
    try:
        return variable_index(optimizer, variable)
    except KeyError:
        raise ValueError(f"{name} does not train the variable {variable.path!r}.") from None


def learning_rate(optimizer: keras.Optimizer) -> float:
    """The present learning rate, of a schedule too."""
    return float(_numbers(optimizer.learning_rate))


def heavy_ball_line(
    optimizer: keras.Optimizer, momentum: float, *, nesterov: bool = False
) -> float:
    """2(1 + β)/ε, or 2(1 + β)/((1 + 2β)ε) with Nesterov's momentum; 2/ε at β = 0.

    With weight decay w the factor is 2 - εw; see `stability_line`.
    """
    stretch = (1.0 + momentum) / (1.0 + 2.0 * momentum if nesterov else 1.0)
    return _line(stretch, optimizer)


def _line(stretch: float, optimizer: keras.Optimizer) -> float:
    rate = learning_rate(optimizer)
    if not rate > 0.0:
        return math.inf
    return (2.0 - rate * float(optimizer.weight_decay or 0.0)) * stretch / rate


@dataclass(frozen=True)
class _Rule:
    diagonal: Diagonal
    stability_line: Callable[[Any], float]


def _rule(optimizer: Any) -> _Rule:
    """What is known of the optimizer's class, or of the one it inherits its step from."""
    kind = type(optimizer)
    for parent in kind.__mro__:
        if parent in _RULES and _step(kind) is _step(parent):
            return _RULES[parent]
    known = ", ".join(sorted(c.__name__ for c in _RULES))
    raise ValueError(
        f"The preconditioner must be that of one of {known}, or of a class passed to"
        f" register_preconditioner. Received: optimizer={kind.__name__}"
    )


def _step(kind: type) -> Any:
    return getattr(kind, "update_step", None)


def _sgd(optimizer: Any, variable: Any) -> Array:
    _index(optimizer, variable)
    return np.ones(tuple(variable.shape))


def _rmsprop(optimizer: Any, variable: Any) -> Array:
    square = optimizer_state(optimizer, optimizer_slots(optimizer, "velocities"), variable)
    if optimizer.centered:
        square = (
            square
            - optimizer_state(optimizer, optimizer_slots(optimizer, "average_gradients"), variable)
            ** 2
        )
    return np.sqrt(square + optimizer.epsilon)


def _adagrad(optimizer: Any, variable: Any) -> Array:
    accumulator = optimizer_state(optimizer, optimizer_slots(optimizer, "accumulators"), variable)
    return np.sqrt(accumulator + optimizer.epsilon)


def _adam(optimizer: Any, variable: Any) -> Array:
    slots = optimizer_slots(optimizer, "velocity_hats" if optimizer.amsgrad else "velocities")
    square = optimizer_state(optimizer, slots, variable)
    steps = int(_numbers(optimizer.iterations))
    if steps == 0:
        raise ValueError(
            "Adam's bias-corrected second moment is 0/0 before the first step."
            f" Received: {type(optimizer).__name__} with iterations=0"
        )
    root_of_correction = math.sqrt(1.0 - float(optimizer.beta_2) ** steps)
    return (np.sqrt(square) + optimizer.epsilon) / root_of_correction


def _adam_line(optimizer: Any) -> float:
    beta = float(optimizer.beta_1)
    return _line((1.0 + beta) / (1.0 - beta), optimizer)


_RULES: dict[type, _Rule] = {
    keras.optimizers.SGD: _Rule(
        _sgd, lambda o: heavy_ball_line(o, o.momentum, nesterov=o.nesterov)
    ),
    keras.optimizers.RMSprop: _Rule(_rmsprop, lambda o: heavy_ball_line(o, o.momentum)),
    keras.optimizers.Adagrad: _Rule(_adagrad, lambda o: heavy_ball_line(o, 0.0)),
    keras.optimizers.Adam: _Rule(_adam, _adam_line),
    keras.optimizers.LossScaleOptimizer: _Rule(
        lambda o, variable: _rule(o.inner_optimizer).diagonal(o.inner_optimizer, variable),
        lambda o: stability_line(o.inner_optimizer),
    ),
}
