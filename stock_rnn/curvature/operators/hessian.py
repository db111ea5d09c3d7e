"""The Hessian of a Keras model's loss, by its products with vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature.operators.blocks import (
    RestrictedOperator,
    all_layers,
    select_indices,
    select_variables,
)
from stock_rnn.curvature.operators.objective import Objective
from stock_rnn.curvature.operators.protocol import Array, Method, NonFiniteError, Result, answer

# Examples a micro-batch when none is asked for: few enough for a small machine's
# memory, enough that a matrix product is busy.
DEFAULT_BATCH_SIZE = 2048


class SecondDerivativeError(NotImplementedError):
    """An operation of the model has a gradient, but the gradient has none."""


class NonDeterministicLossError(RuntimeError):
    """The same product, asked for twice, came out differently."""


class HessianOperator:
    """H = ∂²L/∂θ² of the mean loss L over all given data, as a matrix.

    A product is the derivative of the gradient's projection (Pearlmutter 1994,
    "Fast exact multiplication by the Hessian", here by reverse mode twice):

        H v = ∂/∂θ ⟨∂L/∂θ, v⟩

    with v held constant. L is what Keras's loss gives on the entire data in one
    batch: the mean over examples (and time steps, masked ones left out), plus the
    model's regularization losses, once. Data are gone through in micro-batches;
    each counts by its size, so that a short last one is weighted exactly.

    The model runs in inference mode. Nothing is changed by measuring: variables
    are only read, and updates that the model makes when it is called (states,
    seeds, statistics) are discarded. Parameters may change between products: the
    live values are read each time. A running method (see `run`) keeps the values
    that it began with.

    Args:
        model: A built Keras model of float32 or float64 variables.
        loss: Name, `keras.losses.Loss`, or a function of (y_true, y_pred).
        x: Inputs: an array, or a list or dict of arrays, examples first.
        y: Targets, likewise. Cast to the type of the predictions, as Keras does.
        batch_size: Examples a micro-batch: what bounds the memory. All of the
            data when None, but at most 2,048. Where all data fit in one
            micro-batch, iterative methods are several times faster.
        variables: Which variables θ consists of: all trainable ones when None; a
            layer, a glob on `variable.path`, or a sequence of variables. Then H is the
            diagonal block that belongs to them.

    Raises:
        ValueError: No data or variables, arrays of unequal lengths, a model that
            is not built, mixed precision.
        SecondDerivativeError: On the first product, where there is none.

    Example: mean squared error of a linear model has H = 2 XᵀX / n.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((2, 1))
    >>> hessian = HessianOperator(model, "mse", x, y)
    >>> hessian @ np.eye(2)
    array([[10., 14.],
           [14., 20.]])
    """

    def __init__(
        self,
        model: keras.Model,
        loss: str | keras.losses.Loss | Callable[[Any, Any], Any],
        x: Any,
        y: Any,
        *,
        batch_size: int | None = None,
        variables: Any = None,
    ) -> None:
        _check_model(model)
        self.model = model
        self.variables = select_variables(model, variables)
        self._x, self._y = _arrays(x), _arrays(y)
        self.examples = _length(self._x, self._y)
        self._objective = Objective(model, loss, self.examples)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"A micro-batch holds at least one example. Received: {batch_size=}")
        self.batch_size = min(batch_size or DEFAULT_BATCH_SIZE, self.examples)
        self._dtype = tf.as_dtype(max((v.dtype for v in self.variables), key=_width))
        self.blocks: Mapping[str, slice] = MappingProxyType(_blocks(self.variables))
        self.shape = (self.parameters, self.parameters)
        # What a product in this precision is off by, relative to ‖H‖; see the tests.
        self.rounding = 8 * float(np.finfo(self._dtype.as_numpy_dtype).eps)
        self.products = 0  # H·v so far
        self.traces = 0  # TensorFlow graphs built so far: one for products, one for the loss
        self._session: Callable[..., Any] | None = None
        self._loss_only: Callable[..., Any] | None = None
        self._reply: Callable[[float, Array], Array | None] = _unasked
        self._failure: BaseException | None = None

    @property
    def parameters(self) -> int:
        """n, the length of θ."""
        return sum(int(np.prod(v.shape)) for v in self.variables)

    # What is asked of it

    def __matmul__(self, vectors: Array) -> Array:
        """H v, or H V column by column: float64, (n,) or (n, k)."""
        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim not in (1, 2) or vectors.shape[0] != self.shape[0]:
            raise ValueError(
                f"H has {self.shape[0]} columns. Received: vectors of shape {vectors.shape}"
            )
        return self._over_batches(vectors)[2]

    def loss(self) -> float:
        """L(θ)."""
        return self.loss_at(np.zeros(self.shape[0]))

    def loss_at(self, displacement: Array) -> float:
        """L(θ + displacement), for a displacement of shape (n,).

        The sum is made in float64 and rounded to the variables' type. The
        variables themselves are left alone.
        """
        if self._loss_only is None:
            vector = tf.TensorSpec([self.shape[0]], tf.float64)
            self._loss_only = self._trace(self._displaced_loss, vector)
        displacement = tf.constant(displacement, tf.float64, [self.shape[0]])
        losses, counts = [], []
        for x, y in self._batches():
            loss, count = self._loss_only(x, y, displacement)
            losses.append(float(loss))
            counts.append(float(count))
        return float(np.dot(losses, counts) / _kept(sum(counts)))

    def gradient(self) -> Array:
        """∂L/∂θ, float64 of shape (n,)."""
        return self._over_batches(np.empty((self.shape[0], 0)))[1]

    def run(self, method: Method[Result]) -> Result:
        """Answer every product that an iterative method asks for.

        Where the data fit one micro-batch, all of it happens inside one
        TensorFlow call: the loss is differentiated once and the products share
        that. See `stock_rnn.curvature.operators.protocol` for what a method is.
        """
        if self.batch_size < self.examples:
            return answer(self.__matmul__, method)
        return self.run_at_gradient(lambda loss, gradient: method)

    def run_at_gradient(self, method: Callable[[float, Array], Method[Result]]) -> Result:
        """As `run`, for a method that is first given the loss and the gradient."""
        if self.batch_size < self.examples:
            loss, gradient, _ = self._over_batches(np.empty((self.shape[0], 0)))
            return answer(self.__matmul__, method(loss, gradient))
        (x, y), *_ = self._batches()
        results: list[Result] = []

        def conversation(loss: float, gradient: Array) -> Method[None]:
            results.append((yield from _by_columns(method(loss, gradient))))

        self._converse(x, y, conversation)
        return results[0]

    def prepare(self) -> None:
        """Build the TensorFlow graph of the products now, and not with the first one."""
        if self._session is None:
            self._session = self._trace(self._products_graph)

    def check(self, *, seed: int = 0, tol: float = 1e-4) -> None:
        """Ask for one product twice.

        Raises:
            NonDeterministicLossError: The two differ by more than tol of their
                norm: something in the model is random in inference mode too.
        """
        vector = np.random.default_rng(seed).standard_normal(self.shape[0])
        first, second = self @ vector, self @ vector
        if np.linalg.norm(first - second) > tol * np.linalg.norm(first):
            raise NonDeterministicLossError(
                "The same product came out differently twice. Is a layer random in "
                "inference mode, or were variables changed in between?"
            )

    def block(self, select: Any) -> RestrictedOperator:
        """The diagonal block of some of the variables, or of some entries of θ.

        Args:
            select: A layer, a glob on `variable.path`, a variable, a sequence of
                these, or an array of indices or booleans.

        Raises:
            ValueError: Nothing that H has.
        """
        return RestrictedOperator(self, select_indices(self, select))

    def to_scipy(self) -> Any:
        """This matrix as a `scipy.sparse.linalg.LinearOperator`."""
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(
            self.shape,
            matvec=lambda v: self @ np.ravel(v),
            rmatvec=lambda v: self @ np.ravel(v),
            matmat=self.__matmul__,
            dtype=np.float64,
        )

    # The data, a micro-batch at a time

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        for start in range(0, self.examples, self.batch_size):
            part = slice(start, start + self.batch_size)
            yield tf.nest.map_structure(lambda a, s=part: tf.constant(a[s]), (self._x, self._y))

    def _over_batches(self, vectors: Array) -> tuple[float, Array, Array]:
        """The loss, its gradient and H V, each the weighted mean of the micro-batches'."""
        total, loss = 0.0, 0.0
        gradient, products = np.zeros(self.shape[0]), np.zeros_like(vectors)
        columns = vectors.reshape(self.shape[0], -1)
        for x, y in self._batches():
            here: list[Any] = []

            def ask(loss: float, gradient: Array, here: list[Any] = here) -> Method[None]:
                here.extend((loss, gradient))
                here.append(np.empty_like(columns))
                for k, column in enumerate(columns.T):
                    here[2][:, k] = yield column

            count = self._converse(x, y, ask)
            total += count
            loss += count * here[0]
            gradient += count * here[1]
            products += count * here[2].reshape(vectors.shape)
        # Every micro-batch makes them anew; to who asks it is one product a vector.
        batches = -(-self.examples // self.batch_size)
        self.products -= (batches - 1) * columns.shape[1]
        return loss / _kept(total), gradient / total, products / total

    # One micro-batch in one TensorFlow call

    def _converse(self, x: Any, y: Any, ask: Callable[[float, Array], Method[None]]) -> float:
        """Answer `ask` for one micro-batch, and return what the batch counts."""
        self.prepare()
        assert self._session is not None
        method: list[Method[None]] = []

        def reply(loss: float, vector: Array) -> Array | None:
            if not np.isfinite(vector).all():
                what = "A product" if method else "The gradient"
                raise NonFiniteError(f"{what} is not finite. The loss is {loss}.")
            try:
                if method:
                    return method[0].send(vector)
                method.append(ask(loss, vector))
                return next(method[0])
            except StopIteration:
                return None

        self._reply, self._failure = reply, None
        try:
            count, products = self._session(x, y)
        finally:
            self._reply = _unasked
        self.products += int(products)
        if self._failure is not None:
            raise self._failure
        return float(count)

    def _host(self, loss: Any, vector: Any) -> tuple[np.bool_, Any]:
        """Hand a product to Python and bring back the next vector, if any."""
        try:
            question = self._reply(float(loss), vector.astype(np.float64))
        except BaseException as error:  # TensorFlow would turn it into one of its own
            self._failure, question = error, None
        if question is None:
            return np.False_, vector
        return np.True_, np.asarray(question, self._dtype.as_numpy_dtype)

    def _products_graph(self, x: Any, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Differentiate once, then multiply for as long as the host asks."""
        values = [tf.identity(v.value) for v in self.variables]
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                loss, count = self._objective(self.variables, values, x, y)
            gradients = [_dense(g) for g in inner.gradient(loss, values)]
        connected = [g for g in gradients if g is not None]

        def product(vector: tf.Tensor) -> tf.Tensor:
            parts = [tf.cast(p, v.dtype) for p, v in zip(self._split(vector), values, strict=True)]
            along = [p for p, g in zip(parts, gradients, strict=True) if g is not None]
            return self._join(outer.gradient(connected, values, along))

        def ask(vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            more, question = tf.numpy_function(
                self._host, [loss, vector], [tf.bool, self._dtype], stateful=True
            )
            return tf.ensure_shape(more, []), tf.ensure_shape(question, [self.shape[0]])

        more, vector = ask(self._join(gradients))
        _, _, products = tf.while_loop(
            lambda more, vector, k: more,
            lambda more, vector, k: (*ask(product(vector)), k + 1),
            (more, vector, tf.constant(0)),
            parallel_iterations=1,
        )
        return count, products

    def _displaced_loss(self, x: Any, y: Any, displacement: tf.Tensor) -> tuple[Any, Any]:
        values = [
            tf.cast(tf.cast(v.value, tf.float64) + part, v.dtype)
            for v, part in zip(self.variables, self._split(displacement), strict=True)
        ]
        return self._objective(self.variables, values, x, y)

    def _trace(self, graph: Callable[..., Any], *more: tf.TensorSpec) -> Callable[..., Any]:
        """Build the TensorFlow function for micro-batches of any size, once."""

        def traced(*args: Any) -> Any:
            self.traces += 1
            try:
                return graph(*args)
            except LookupError as error:
                raise _explained(error, self.model) from error

        # A known size lets TensorFlow fold shapes into constants.
        size = None if self.examples % self.batch_size else self.batch_size
        x, y = tf.nest.map_structure(
            lambda a: tf.TensorSpec([size, *a.shape[1:]], a.dtype), (self._x, self._y)
        )
        return tf.function(traced, autograph=False).get_concrete_function(x, y, *more)

    def _split(self, vector: tf.Tensor) -> list[tf.Tensor]:
        sizes = [b.stop - b.start for b in self.blocks.values()]
        parts = tf.split(vector, sizes)
        return [tf.reshape(p, v.shape) for p, v in zip(parts, self.variables, strict=True)]

    def _join(self, parts: Sequence[Any]) -> tf.Tensor:
        """The flat vector of one tensor a variable; where there is none, zeros."""
        dense = [
            tf.zeros(v.shape, v.dtype) if p is None else _dense(p)
            for p, v in zip(parts, self.variables, strict=True)
        ]
        return tf.concat([tf.reshape(tf.cast(p, self._dtype), [-1]) for p in dense], 0)


def _by_columns(method: Method[Result]) -> Method[Result]:
    """The same method, its questions of shape (n, k) put one column at a time."""
    try:
        question = next(method)
        while True:
            if question.ndim == 1:
                question = method.send((yield question))
            else:
                products = np.empty_like(question, np.float64)
                for k, column in enumerate(question.T):
                    products[:, k] = yield column
                question = method.send(products)
    except StopIteration as stop:
        return stop.value


def _kept(count: float) -> float:
    if not count:
        raise ValueError("The masks keep no entry of the data: there is no mean loss.")
    return count


def _unasked(loss: float, vector: Array) -> None:
    raise RuntimeError("TensorFlow asked for a vector while no method was running.")


def _blocks(variables: Sequence[keras.Variable]) -> dict[str, slice]:
    """Where each variable lies in θ, by its path; a repeated path gets a number."""
    blocks: dict[str, slice] = {}
    start = 0
    for variable in variables:
        name, k = variable.path, 1
        while name in blocks:
            k += 1
            name = f"{variable.path}#{k}"
        blocks[name] = slice(start, start + int(np.prod(variable.shape)))
        start = blocks[name].stop
    return blocks


def _dense(gradient: Any) -> Any:
    """A gradient of an embedding as a plain tensor."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _arrays(data: Any) -> Any:
    """Arrays of whatever structure `data` has: views, not copies."""
    if isinstance(data, dict):
        return {name: _arrays(part) for name, part in data.items()}
    if isinstance(data, tuple) or (isinstance(data, list) and np.ndim(data[0]) > 0):
        return tuple(_arrays(part) for part in data)
    return np.asarray(data)


def _length(x: Any, y: Any) -> int:
    lengths = {len(a) for a in tf.nest.flatten((x, y))}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            "All inputs and targets need the same number of examples, at least one. "
            f"Received: {sorted(lengths)}"
        )
    return lengths.pop()


def _check_model(model: keras.Model) -> None:
    if not model.built:
        raise ValueError(f"The model {model.name!r} has no variables yet: build it or call it.")
    for layer in all_layers(model):
        policy = layer.dtype_policy
        if policy.compute_dtype not in ("float32", "float64"):
            raise ValueError(
                "Second derivatives need float32 or float64 throughout: load the weights "
                "into a model built without mixed precision. Received: layer "
                f"{layer.name!r} of {policy.name!r}"
            )


def _width(dtype: str) -> int:
    return tf.as_dtype(dtype).size


def _explained(error: LookupError, model: keras.Model) -> Exception:
    """TensorFlow's complaint of a missing gradient, with the layer that it is about."""
    found = re.search(r"(?:no entry for: |op type: )(\w+)", str(error))
    if not found:
        return error
    kind = found[1]
    operations = tf.compat.v1.get_default_graph().get_operations()
    scopes = {part for op in operations if op.type == kind for part in op.name.split("/")}
    # TensorFlow may have numbered the scopes of a layer that was called before.
    scopes |= {re.sub(r"_\d+$", "", scope) for scope in scopes}
    layers = [layer for layer in all_layers(model)[1:] if layer.name in scopes]
    names = ", ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in layers)
    advice = "Replace it by a layer made of plain operations."
    if "CudnnRNN" in kind:
        advice = "Build it with use_cudnn=False, or as RNN(LSTMCell(...)) or RNN(GRUCell(...))."
    return SecondDerivativeError(
        f"TensorFlow has no second derivative of {kind}, which is in layer {names or 'unknown'}. "
        f"{advice}"
    )
