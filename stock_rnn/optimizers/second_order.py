"""Newton's method, damped, and saddle-free Newton: steps by the Hessian of the whole loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature import LossOperator, exact_hessian
from stock_rnn.curvature.algorithms.krylov import KrylovSpace
from stock_rnn.curvature.operators.protocol import MatvecRoutine, relative_rounding, run_routine

Array = NDArray[np.float64]

#: The dampings that saddle-free Newton tries at each step. Not checked against the paper's own:
#: see `saddle_free_step`.
DAMPINGS = tuple(10.0**-k for k in range(7))


def newton_step(operator: LossOperator, damping: float) -> Array:
    """-(H + damping·I)⁻¹ g, with the whole Hessian H.

    Where H has eigenvalues below -damping this leads *to* saddles: along their eigenvectors
    it goes against the descent. Directions in which H + damping·I is zero to the rounding of
    the products are left out.

    Args:
        operator: the Hessian of a loss; n products and the gradient are asked for.
        damping: at least 0.

    Returns:
        (n,): the step of all weights.

    Raises:
        TooLargeError: the dense matrix would take more than 4 GiB.
    """
    values, vectors = np.linalg.eigh(exact_hessian(operator).matrix)
    shifted = values + damping
    kept = np.abs(shifted) > relative_rounding(operator) * np.abs(values).max(initial=0.0)
    coordinates = vectors[:, kept].T @ operator.gradient()
    return np.asarray(-vectors[:, kept] @ (coordinates / shifted[kept]))


def saddle_free_step(operator: LossOperator, dimension: int, *, seed: int = 0) -> Array:
    """-(|H| + λI)⁻¹ g in a Krylov space of H and g, with the damping λ of the lowest loss.

    |H| has H's eigenvectors and the absolute values of its eigenvalues: along negative
    curvature it is a descent, scaled by the curvature as Newton's step is. With the Ritz pairs
    (μ, u) of the space, the step is -Σ ⟨u, g⟩ / (|μ| + λ) u; λ is that of `DAMPINGS` whose
    step has the lowest loss.

    Args:
        operator: the Hessian of a loss.
        dimension: of the Krylov space; as many products are asked for.
        seed: of the vectors that fill the space where that of g has fewer dimensions.

    Returns:
        (n,): the step of all weights; zero where every damping raises the loss by more than
        its rounding.

    Source: Dauphin, Pascanu, Gulcehre, Cho, Ganguli, Bengio, "Identifying and attacking the
    saddle point problem in high-dimensional non-convex optimization", NeurIPS 2014,
    algorithm 1. As there, the space is Lanczos's and λ that of the lowest loss, tried out. What
    differs: the space begins with g, which then lies in it, and nothing of g is lost; it serves
    one step, where algorithm 1 makes several in it; the paper's networks had 500 dimensions. The
    text of the paper was not at hand when this was written: algorithm and dimension are as others
    describe them, and the values that λ is chosen among could not be checked.
    """
    gradient = operator.gradient()
    norm = float(np.linalg.norm(gradient))
    if norm == 0.0:
        return gradient
    n = len(gradient)
    space = KrylovSpace(n, [gradient], np.random.default_rng(seed), min(dimension, n))
    run_routine(operator, _fill(space, min(dimension, n)))
    values, coordinates, _ = space.ritz()
    # In the basis, which begins with g / ‖g‖, the gradient is ‖g‖ times the first unit vector.
    along = norm * coordinates[0]
    steps = [
        space.combine(coordinates @ (-along / (np.abs(values) + damping))[:, None])[:, 0]
        for damping in DAMPINGS
    ]
    present, *losses = (operator.loss_at(step) for step in (np.zeros(n), *steps))
    if np.isnan(losses).all():
        return np.zeros(n)
    best = int(np.nanargmin(losses))
    # Close to a saddle a step gains less than the rounding, and must be made.
    raised = losses[best] - present > relative_rounding(operator) * abs(present)
    return np.zeros(n) if raised else steps[best]


def _fill(space: KrylovSpace, dimension: int) -> MatvecRoutine[None]:
    """Multiply as many vectors of the space."""
    for _ in range(dimension):
        product = yield space.next_vector()
        space.extend(np.array(product, np.float64))


class SecondOrder(keras.optimizers.Optimizer):
    """An optimizer whose step needs the Hessian: it is made by `step`, not by `apply`.

    It makes whole steps: the learning rate is not used.
    """

    def direction(self, operator: LossOperator) -> Array:
        """The step of all weights, (n,); see the subclasses."""
        raise NotImplementedError

    def step(self, operator: LossOperator, variables: Sequence[keras.Variable]) -> None:
        """Make one step.

        Args:
            operator: the Hessian of the loss over `variables`, in their order.
            variables: what is moved.
        """
        moved, first = self.direction(operator), 0
        for variable in variables:
            size = int(np.prod(variable.shape))
            part = moved[first : first + size].reshape(tuple(variable.shape))
            # The sum in float64, as the operator made it when it looked for the lowest loss.
            variable.assign(np.asarray(variable.numpy(), np.float64) + part)
            first += size
        self.iterations.assign_add(1)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Refuse: a gradient is not enough.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs the Hessian: call step(operator, variables), or train "
            "by stock_rnn.train; Keras's fit has gradients only"
        )


@keras.saving.register_keras_serializable(package="stock_rnn")
class Newton(SecondOrder):
    """Damped Newton; see `newton_step`.

    Args:
        learning_rate: not used; Keras's optimizers have one.
        damping: at least 0.
        options: as `keras.optimizers.Optimizer`.
    """

    def __init__(self, learning_rate: float = 1.0, damping: float = 0.001, **options: Any) -> None:
        super().__init__(learning_rate=learning_rate, **options)
        self.damping = damping

    def direction(self, operator: LossOperator) -> Array:
        """`newton_step`."""
        return newton_step(operator, self.damping)

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this optimizer."""
        return {**super().get_config(), "damping": self.damping}


@keras.saving.register_keras_serializable(package="stock_rnn")
class SaddleFreeNewton(SecondOrder):
    """Saddle-free Newton; see `saddle_free_step`.

    Args:
        learning_rate: not used; Keras's optimizers have one.
        krylov_dimension: of the space in which |H| is taken.
        options: as `keras.optimizers.Optimizer`.
    """

    def __init__(
        self, learning_rate: float = 1.0, krylov_dimension: int = 50, **options: Any
    ) -> None:
        super().__init__(learning_rate=learning_rate, **options)
        self.krylov_dimension = krylov_dimension

    def direction(self, operator: LossOperator) -> Array:
        """`saddle_free_step`; the steps before are the seed."""
        steps = int(keras.ops.convert_to_numpy(self.iterations))
        return saddle_free_step(operator, self.krylov_dimension, seed=steps)

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this optimizer."""
        return {**super().get_config(), "krylov_dimension": self.krylov_dimension}
