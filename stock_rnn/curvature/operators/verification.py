"""Is the product with a Hessian the derivative of the gradient? Tried at first use.

TensorFlow can lose part of a second derivative without an error: an operation's
gradient may stop gradients itself. The products are then wrong, symmetric and
reproducible, so that no residual shows it. Differences of the gradient do:

    H v  against  (g(θ + t v) - g(θ - t v)) / 2t

with an error of O(t²) from the third derivative, and of ε ‖g‖ / t from rounding, ε
that of the gradient's precision. Both are small at t = ε^(1/3) in units of the
parameters (Press et al., "Numerical Recipes", section 5.7).

**Kinks.** A ReLU or a maximum has a kink; where the line from θ - tv to θ + tv crosses
one, the difference sees a jump of the gradient and the product does not. The smaller
the step, the fewer kinks lie within it. So the step is reduced until product and
difference agree, or rounding takes over. In float32 that may leave the question open.
Then, and wherever the graph has an operation that stops gradients, a few examples are
differentiated once more in float64, where steps of 1e-10 are possible.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature.keras_private import all_layers
from stock_rnn.curvature.operators.data import take_rows
from stock_rnn.curvature.operators.differentiable import twice_differentiable
from stock_rnn.curvature.operators.errors import (
    NonDeterministicLossError,
    SecondDerivativeError,
)
from stock_rnn.curvature.operators.objective import Objective
from stock_rnn.curvature.operators.protocol import Array, MatvecRoutine
from stock_rnn.curvature.operators.session import ParameterVector, ProductSession, densified

# Largest relative error at which product and difference agree: measured on every layer
# that Keras exports, right ones stay below a tenth of it, wrong ones are above 0.1.
TOLERANCE = {tf.float32: 1e-2, tf.float64: 1e-4}

# A product that is further off in float64 is wrong.
WRONG = 1e-3

# A variable's part of the product is compared relative to its own norm, or to this share
# of the whole product's norm if that is larger: parts that are zero are rounding only.
SMALLEST_SHARE = {tf.float32: 1e-1, tf.float64: 1e-5}

# Share of a product that rounding of the gradients may hide for a comparison to tell.
MOST_NOISE = 0.1

# Steps tried, as multiples of ε^(1/3): kinks want smaller ones.
STEPS = {tf.float32: (1.0, 1 / 8, 8.0), tf.float64: (1.0, 1e-2, 1e-4, 10.0)}

# Examples that are differentiated again in float64.
EXAMPLES_IN_FLOAT64 = 4


@dataclass(frozen=True)
class Comparison:
    """A product with the Hessian beside a central difference of the gradient."""

    error: float  # the largest relative error of a variable's part, rounding taken off
    noise: float  # rounding of the difference, relative to the product; inf where both are 0
    dtype: Any  # tf.DType of the gradient

    @property
    def agrees(self) -> bool:
        """Whether the product is confirmed; one hidden in float32's rounding is not."""
        conclusive = self.noise <= MOST_NOISE or self.dtype == tf.float64
        return conclusive and self.error <= TOLERANCE[self.dtype]


def verify_session(
    session: ProductSession, parameters: ParameterVector, objective: Objective, batch: Any
) -> bool:
    """Compare one product of a session with differences of its gradient.

    Args:
        session: what multiplies.
        parameters: its parameters.
        objective: its loss.
        batch: a micro-batch of it.

    Returns:
        Whether the product was confirmed. False: rounding hides it, in float64 too, or
        the model cannot be run in float64.

    Raises:
        SecondDerivativeError: The product is wrong.
        NonDeterministicLossError: The loss is random.
    """
    if not session.scan.stops and _compare_in_session(session, parameters, batch).agrees:
        return True
    _check_determinism(session, batch)
    rows = slice(0, EXAMPLES_IN_FLOAT64)
    few = keras.tree.map_structure(tf.constant, take_rows(batch, rows))
    with in_float64(objective.model):
        try:
            found = compare_function(
                lambda values: objective(parameters.variables, values, few)[0],
                [tf.cast(v.value, tf.float64) for v in parameters.variables],
            )
        except (tf.errors.OpError, TypeError, ValueError):
            return False  # Not made for float64.
        if found.agrees:
            return True
        if found.error <= WRONG:
            return False
        names = wrong_layers(objective.model, few[0])
    raise SecondDerivativeError(_wrong(session, objective.model, names, found.error))


def _wrong(session: ProductSession, model: keras.Model, names: Sequence[str], error: float) -> str:
    where = " or ".join(names) or ", ".join(
        f"{layer.name!r} ({type(layer).__name__})" for layer in session.scan.layers(model)
    )
    kinds = ", ".join(sorted({operation.type for operation in session.scan.stops}))
    stopped = f" Operations that stop gradients: {kinds}." if kinds else ""
    if not np.isfinite(error):
        found = "a product with the Hessian, or a difference of the gradient, is not finite."
    else:
        found = f"a product with the Hessian is off by {error:.0%} of a difference of the gradient."
    return (
        f"The second derivative that TensorFlow computes of "
        f"{f'layer {where}' if where else 'the loss, or of an unnamed layer,'} is wrong: "
        f"{found}{stopped} Replace it by plain operations."
    )


def _check_determinism(session: ProductSession, batch: Any) -> None:
    first, second = (_gradient(session, batch, None) for _ in range(2))
    if np.linalg.norm(first - second) > 1e-4 * np.linalg.norm(first):
        raise NonDeterministicLossError(
            "The same gradient came out differently twice. Is a layer random in inference mode, "
            "or were variables changed in between?"
        )


def _gradient(session: ProductSession, batch: Any, displacement: Array | None) -> Array:
    found: list[Array] = []

    def note(loss: float, gradient: Array) -> MatvecRoutine[None]:
        found.append(gradient)
        yield from ()

    session.converse(batch, note, displacement)
    return found[0]


def _compare_in_session(
    session: ProductSession, parameters: ParameterVector, batch: Any
) -> Comparison:
    values = [v.value.numpy() for v in parameters.variables]
    parts = _direction(values)
    direction = np.concatenate([part.ravel() for part in parts])
    found: list[Array] = []

    def multiply(loss: float, gradient: Array) -> MatvecRoutine[None]:
        found.append((yield direction))

    session.converse(batch, multiply)
    return _compare(
        _cut(found[0], parameters.sizes),
        lambda t: _cut(_gradient(session, batch, t * direction), parameters.sizes),
        session.scan.narrowest,
    )


def _cut(vector: Array, sizes: Sequence[int]) -> list[Array]:
    return np.split(vector, np.cumsum(sizes)[:-1])


def _direction(values: Sequence[Array]) -> list[Array]:
    """A random direction, each variable's part in units of the variable's own size."""
    rng = np.random.default_rng(0)
    everything = np.concatenate([np.ravel(value).astype(np.float64) for value in values])
    least = max(0.1 * float(np.sqrt(np.mean(everything**2))), 1e-3)
    return [
        rng.standard_normal(value.shape)
        * max(float(np.sqrt(np.mean(np.asarray(value, np.float64) ** 2))), least)
        for value in values
    ]


def _compare(
    product: Sequence[Array], gradient_at: Callable[[float], Sequence[Array]], dtype: Any
) -> Comparison:
    """The best agreement over the steps; see the module."""
    eps = float(np.finfo(dtype.as_numpy_dtype).eps)
    best = Comparison(np.inf, np.inf, dtype)
    for multiple in STEPS[dtype]:
        step = eps ** (1 / 3) * multiple
        ahead, behind = gradient_at(step), gradient_at(-step)
        difference = [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
        size = max(_norm(product), _norm(difference))
        noise = 8 * eps * max(_norm(ahead), _norm(behind)) / step
        if size <= noise:  # Rounding hides both: they count as zero.
            found = Comparison(0.0, np.inf, dtype)
        else:
            error = max(
                (_norm([p - d]) - noise) / max(_norm([p]), _norm([d]), SMALLEST_SHARE[dtype] * size)
                for p, d in zip(product, difference, strict=True)
            )
            found = Comparison(max(error, 0.0), noise / size, dtype)
        best = min(best, found, key=lambda c: c.error)
        if best.agrees:
            break
    return best


def _norm(parts: Sequence[Array]) -> float:
    return float(np.sqrt(sum(float(np.sum(np.square(part))) for part in parts)))


def compare_function(
    function: Callable[[list[tf.Tensor]], tf.Tensor], values: list[tf.Tensor]
) -> Comparison:
    """The same comparison for any scalar function of tensors of float64.

    Args:
        function: values -> a scalar.
        values: where; the product is with a random direction in units of them.
    """
    parts = _direction([value.numpy() for value in values])

    def gradients(at: list[tf.Tensor]) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(at)
            result = function(at)
        return [densified(g) for g in tape.gradient(result, at)]

    def filled(found: Sequence[Any]) -> list[Array]:
        pairs = zip(found, values, strict=True)
        return [np.zeros(v.shape) if g is None else densified(g).numpy() for g, v in pairs]

    def gradient_at(step: float) -> list[Array]:
        return filled(gradients([v + step * p for v, p in zip(values, parts, strict=True)]))

    with twice_differentiable():
        with tf.GradientTape() as outer:
            outer.watch(values)
            first = gradients(values)
            reached = [(g, p) for g, p in zip(first, parts, strict=True) if g is not None]
            along = sum((tf.reduce_sum(g * p) for g, p in reached), tf.zeros([], tf.float64))
        product = filled(outer.gradient(along, values))
        return _compare(product, gradient_at, tf.float64)


def wrong_layers(model: keras.Model, x: Any) -> list[str]:
    """The innermost layers whose own second derivative is wrong, in the order of their calls.

    Each call of a layer f(z, w) in the model is tried by itself, by its inputs z and its
    variables w, on the scalar Σ cᵢ f(z, w)ᵢ² with fixed random c.

    Args:
        model: its layers compute in float64; see `in_float64`.
        x: a few examples.
    """
    wrong: list[keras.layers.Layer] = []
    for layer, args, kwargs in _calls(model, x):
        inner = set(map(id, all_layers(layer)))
        if any(id(found) in inner for found in wrong):
            continue
        if not _layer_agrees(layer, args, kwargs):
            wrong.append(layer)
    return list(dict.fromkeys(f"{layer.name!r} ({type(layer).__name__})" for layer in wrong))


Call = tuple[keras.layers.Layer, tuple[Any, ...], dict[str, Any]]


def _calls(model: keras.Model, x: Any) -> list[Call]:
    """Every call of a layer when the model is called, inner ones before outer ones."""
    calls: list[Call] = []
    with contextlib.ExitStack() as stack:
        for layer in all_layers(model)[1:]:
            stack.enter_context(_recorded(layer, calls))
        with keras.StatelessScope():
            model(x, training=False)
    return calls


@contextlib.contextmanager
def _recorded(layer: keras.layers.Layer, calls: list[Call]) -> Iterator[None]:
    own_call = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        result = own_call(*args, **kwargs)
        calls.append((layer, args, kwargs))
        return result

    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _layer_agrees(layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    given = keras.tree.flatten((args, kwargs))
    inputs = [k for k, part in enumerate(given) if tf.is_tensor(part) and part.dtype.is_floating]
    variables = list(layer.trainable_variables)
    values = [tf.cast(given[k], tf.float64) for k in inputs]
    values += [tf.cast(v.value, tf.float64) for v in variables]
    rng = np.random.default_rng(0)
    weights: list[Array] = []

    def scalar(at: list[tf.Tensor]) -> tf.Tensor:
        replaced = list(given)
        for k, value in zip(inputs, at, strict=False):
            replaced[k] = tf.cast(value, given[k].dtype)
        new_args, new_kwargs = keras.tree.pack_sequence_as((args, kwargs), replaced)
        with keras.StatelessScope() as scope:
            for update in zip(variables, at[len(inputs) :], strict=True):
                scope.add_update(update)
            outputs = keras.tree.flatten(layer.call(*new_args, **new_kwargs))
        floats = [tf.cast(o, tf.float64) for o in outputs if o.dtype.is_floating]
        if not weights:
            weights.extend(rng.standard_normal(o.shape) for o in floats)
        squares = (tf.reduce_sum(w * o * o) for w, o in zip(weights, floats, strict=True))
        return sum(squares, tf.zeros([], tf.float64))

    try:
        return compare_function(scalar, values).agrees if values else True
    except (tf.errors.OpError, LookupError, TypeError, ValueError):
        return True  # Cannot be tried by itself: no reason to name it.


@contextlib.contextmanager
def in_float64(model: keras.Model) -> Iterator[None]:
    """The model's layers compute in float64 in this block; its variables stay as they are."""
    layers = all_layers(model)
    policies = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = keras.DTypePolicy("float64")
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy
