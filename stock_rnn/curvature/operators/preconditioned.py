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

import warnings
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import keras
import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.operators.blocks import RestrictedOperator
from stock_rnn.curvature.operators.operator import Operator
from stock_rnn.curvature.operators.preconditioners import heavy_ball_line as heavy_ball_line
from stock_rnn.curvature.operators.preconditioners import (
    inherit_preconditioner as inherit_preconditioner,
)
from stock_rnn.curvature.operators.preconditioners import learning_rate as learning_rate
from stock_rnn.curvature.operators.preconditioners import optimizer_state as optimizer_state
from stock_rnn.curvature.operators.preconditioners import (
    register_preconditioner as register_preconditioner,
)
from stock_rnn.curvature.operators.preconditioners import rule_of
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
        object.__setattr__(self, "shape", (n, n))
        if self.diagonal.shape != (n,):
            raise ValueError(f"D must be ({n},). Received: shape={self.diagonal.shape}")
        if not np.all(np.isfinite(self.diagonal) & (self.diagonal > 0.0)):
            raise ValueError(
                f"D must be finite and positive. Received: from {self.diagonal.min()}"
                f" to {self.diagonal.max()}"
            )

    @property
    def relative_rounding(self) -> float:
        """That of A.

        In the worst case scaling makes it worse, by up to max D / min D; where it was
        measured (an LSTM in float32 against float64) it did not.
        """
        return relative_rounding(self.operator)

    @property
    def verified(self) -> bool:
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

    The optimizer's step is θ - εD⁻¹g, or has a running mean or sum of gradients in the place
    of g. With v the running mean of squared gradients, t the steps taken, e = epsilon:

    - SGD: D = 1, with momentum or without (it only moves the stability line).
    - RMSprop: D = √(v + e), centered: D = √(v - m² + e), m the mean gradient.
    - Adagrad: D = √(a + e), a the sum of squared gradients.
    - Adadelta: D = √(v + e) / √(d + e), d the running mean of squared steps.
    - Adam, AdamW: D = (√v + e) / √(1 - β₂ᵗ), which is √v̂ + e at Keras's
      "epsilon hat"; amsgrad: the largest v in place of v. The step is then
      ε D⁻¹m̂ with the bias-corrected m̂. (Cohen et al. 2022 count m̂'s correction
      1 - β₁ᵗ to the preconditioner as well; it is 1 within 1 % after 44 steps.)
    - Nadam: D = √v̂ + e with v̂ = v / (1 - β₂ᵗ); m̂ is Nesterov's.
    - Adamax: D = u + e, u the decaying maximum of |g|.
    - Ftrl: D = a^-p + β + 2ελ₂, a the sum of squared gradients, p the learning rate's power.
      Only with λ₁ = 0 and without shrinkage, and after its first step, which overwrites the
      weights.
    - LossScaleOptimizer: that of the optimizer inside.

    Lion, Lamb, Muon, Adafactor and ScheduleFreeAdamW have no such D and are refused with the
    reason, and so is MultiOptimizer, of whose optimizers each has its own. Others join by
    `register_preconditioner`.

    A warning names what makes single steps others than D says: clipped gradients, averaged
    weights (`use_ema`), constraints. Weight decay that is not part of the loss is not
    part of the result; `stability_line` has it.

    Args:
        op: the Hessian, or a block of it; its variables may be some of those that the
            optimizer trains.
        optimizer: built, on those variables.

    Raises:
        ValueError: for an optimizer that has no D or whose formula is not known, as where it
            overrides a method that the formula describes (`update_step`, `apply`,
            `apply_gradients`); one that is not built, or does not
            train one of the variables; Adam and its kin before their first step, where v̂ is 0/0.
        TypeError: for a block of a matrix that is not one of a model's variables.

    Example: plain SGD sees the Hessian itself.

    >>> preconditioned(op, keras.optimizers.SGD(0.1)).diagonal  # doctest: +SKIP
    array([1., 1., ...])
    """
    if isinstance(op, RestrictedOperator):
        if not _is_of_model(op.operator):
            raise TypeError(
                "The optimizer's D is that of a Keras model's variables: a block must be one of "
                f"their Hessian. Received: a block of a {type(op.operator).__name__}"
            )
        whole = preconditioned(op.operator, optimizer)
        return PreconditionedOperator(op, whole.diagonal[op.indices])
    formula = rule_of(optimizer).diagonal
    _warn_of_other_steps(optimizer, op.variables)
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


def _is_of_model(operator: SymmetricOperator) -> TypeGuard[ModelOperator | RestrictedOperator]:
    return isinstance(operator, RestrictedOperator) or hasattr(operator, "variables")


def stability_line(optimizer: keras.Optimizer) -> float:
    """The top eigenvalue of D^-½HD^-½ at which this optimizer's step turns unstable.

    On a quadratic with D held fixed, and ε the present learning rate:

    - SGD, RMSprop, Adagrad, Adadelta, Ftrl: 2/ε;
    - SGD, RMSprop with momentum β: 2(1 + β)/ε; Nesterov: 2(1 + β)/((1 + 2β)ε);
    - Adam, AdamW, Adamax: 2(1 + β₁)/((1 - β₁)ε), which is 38/ε for β₁ = 0.9;
    - Nadam: 2(1 + β₁)/((1 - β₁)(1 + 2β₁)ε) after many steps, 13.6/ε for β₁ = 0.9;
    - with a weight decay w, which Keras applies as θ ← (1 - εw)θ before each step: the
      same with 2 - εw in place of the factor 2. (One coordinate of curvature h follows
      (z - 1 + εw)(z - β) + ε(1 - β)hz = 0 under Adam, and turns unstable at z = -1.)
      Not so of Ftrl, whose steps undo it.

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
        ValueError: for an optimizer that has no D or whose formula is not known.
    """
    return rule_of(optimizer).stability_line(optimizer)


def _warn_of_other_steps(optimizer: Any, variables: Any) -> None:
    """Warn of what makes steps of the optimizer's that D does not describe."""
    name = type(optimizer).__name__
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    clips = [
        f"{setting}={value}"
        for setting in ("clipnorm", "clipvalue", "global_clipnorm")
        if (value := getattr(optimizer, setting, None)) is not None
    ]
    found = [f"it clips gradients ({', '.join(clips)})"] if clips else []
    if getattr(optimizer, "use_ema", False):
        found.append("it averages the weights (use_ema=True)")
    if held := [v.path for v in variables if getattr(v, "constraint", None) is not None]:
        found.append(f"constraints hold {', '.join(held)}")
    if found:
        warnings.warn(
            f"D is of {name}'s plain steps, and not all of its steps are: {'; '.join(found)}.",
            stacklevel=3,
        )
