"""The judgement of a subject: a Hessian product against differences of a plain gradient.

The reference shares no code with the operator: `tf.GradientTape` around the model and its
Keras loss, in eager mode, at weights displaced by ±h along a random direction v.

The rule for the step, which reads nothing of the operator. D(h) is the central difference,
and R(h) = (4 D(h/2) - D(h)) / 3 cancels its error of second order (Richardson). h is halved
from `FIRST_STEP` on. The two successive R that agree best are taken, and their distance is
the reference's uncertainty. A kink (ReLU, max pooling, |x|) between θ - hv and θ + hv leaves
successive R apart by what the kink turns the gradient, until h is below the distance to the
nearest kink; from there on no kink is crossed. Data are random, so none lies on a kink.
A subject whose reference is less certain than `MAX_UNCERTAINTY` does not pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature import HessianOperator
from tests.curvature.zoo.subject import Case, Subject

# A product is right when it is off by less, relative to its norm. Measured with TensorFlow 2.21
# and Keras 3.15: right ones are off by 1e-10 at most in float64 (5e-8 where a layer computes in
# float32), by 1e-4 against float32 differences; wrong ones by 5e-3 at least.
TOLERANCE = {"float64": 1e-6, "float32": 1e-3}

FIRST_STEP = {"float64": 2.0**-6, "float32": 2.0**-2}
HALVINGS = {"float64": 24, "float32": 10}
# Enough: further halving would only add rounding.
GOOD_UNCERTAINTY = 1e-9
MAX_UNCERTAINTY = {"float64": 1e-7, "float32": 1e-3}

# Operators without `check` multiply without any check of their own.


@dataclass(frozen=True)
class Outcome:
    """What the operator did: a product that is off by `error`, or an exception; and warnings."""

    error: float | None = None
    tolerance: float = TOLERANCE["float64"]
    raised: str | None = None  # the exception's type
    message: str = ""
    warned: str = ""

    @property
    def right(self) -> bool:
        return self.error is not None and self.error < self.tolerance

    def __str__(self) -> str:
        if self.raised:
            return f"raises {self.raised}: {self.message}"
        return f"{'right' if self.right else 'WRONG'}, off by {self.error:.1e}"


@dataclass(frozen=True)
class Reference:
    """H v along one direction, by differences, with its relative uncertainty."""

    direction: np.ndarray
    product: np.ndarray
    uncertainty: float
    reaches_below: bool


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Keras builds in this precision, and forgets the models afterwards."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
        keras.backend.clear_session()


def build(subject: Subject) -> Case:
    """The subject's case, the same each time, its biases and scales away from 0 and 1."""
    keras.utils.set_random_seed(subject.seed)
    case = subject.build()
    rng = np.random.default_rng(subject.seed)
    for variable in case.model.trainable_variables:
        values = variable.numpy()
        # Else dead units would lie on a ReLU's kink exactly, by biases of 0.
        scale = 0.1 * (np.std(values) or 1.0)
        variable.assign(values + scale * rng.standard_normal(values.shape))
    return case


def unchecked(case: Case, reference: Reference, dtype: str = "float64") -> Outcome:
    """What the operator's product is off by, with no check of its own in between.

    Where the reference is 0, no curvature reached any parameter, and nothing is right.
    """
    try:
        product = _operator(case, check=False) @ reference.direction
        error = _distance(product, reference.product) if reference.product.any() else 1.0
        return Outcome(error, TOLERANCE[dtype])
    except Exception as error:
        return Outcome(raised=type(error).__name__, message=_one_line(error))


def checked(case: Case) -> Outcome:
    """The exception or warnings of an operator that checks itself; its product is not judged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            operator = _operator(case, check=True)
            operator @ np.ones(operator.shape[0])
        except Exception as error:
            return Outcome(raised=type(error).__name__, message=_one_line(error))
    said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return Outcome(error=0.0, warned=" ".join(said))


def reference(case: Case, dtype: str = "float64") -> Reference:
    """H v by central differences of the plain gradient: see the module's rule."""
    variables = case.model.trainable_variables
    size = sum(int(np.prod(v.shape)) for v in variables)
    direction = np.random.default_rng(0).standard_normal(size)
    direction /= np.linalg.norm(direction)
    start = _flat([v.numpy() for v in variables])

    def difference(step: float) -> np.ndarray:
        ahead, behind = (
            _gradient_at(case, start + sign * step * direction) for sign in (1.0, -1.0)
        )
        return (ahead - behind) / (2.0 * step)

    best, uncertainty = np.zeros(size), np.inf
    last = before = None
    try:
        for k in range(HALVINGS[dtype]):
            here = difference(FIRST_STEP[dtype] / 2.0**k)
            if before is not None:
                extrapolated = (4.0 * here - before) / 3.0
                if last is not None and _distance(extrapolated, last) < uncertainty:
                    best, uncertainty = extrapolated, _distance(extrapolated, last)
                last = extrapolated
            before = here
            if uncertainty < GOOD_UNCERTAINTY:
                break
    finally:
        _assign(variables, start)
    return Reference(direction, best, uncertainty, _reaches_below(case))


def _operator(case: Case, *, check: bool) -> HessianOperator:
    options: dict[str, Any] = {"check": check}
    return HessianOperator(case.model, case.loss, case.x, case.y, **options)


def _tape_gradient(case: Case) -> list[Any]:
    x, y = tf.nest.map_structure(tf.constant, (case.x, case.y))
    with tf.GradientTape() as tape:
        predicted = case.model(x, training=False)
        value = tf.reduce_mean(case.loss(y, predicted))
        for term in case.model.losses:
            value += term
    return tape.gradient(value, [v.value for v in case.model.trainable_variables])


def _gradient_at(case: Case, values: np.ndarray) -> np.ndarray:
    variables = case.model.trainable_variables
    _assign(variables, values)
    gradients = zip(_tape_gradient(case), variables, strict=True)
    return _flat(
        [np.zeros(v.shape) if g is None else tf.convert_to_tensor(g) for g, v in gradients]
    )


def _reaches_below(case: Case) -> bool:
    if case.below is None:
        return True
    paths = {v.path for v in case.below.trainable_variables}
    pairs = zip(_tape_gradient(case), case.model.trainable_variables, strict=True)
    return all(g is not None and np.any(g != 0) for g, v in pairs if v.path in paths)


def _assign(variables: Any, values: np.ndarray) -> None:
    start = 0
    for variable in variables:
        size = int(np.prod(variable.shape))
        variable.assign(values[start : start + size].reshape(variable.shape))
        start += size


def _flat(parts: Any) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float64)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """‖a - b‖ / ‖b‖, and 0 where both are 0."""
    apart = float(np.linalg.norm(a - b))
    return apart and apart / max(float(np.linalg.norm(b)), np.finfo(np.float64).tiny)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
