"""The Hessian of a Keras model's loss, by its products with vectors."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.batches import halves
from stock_rnn.curvature.operators.blocks import (
    RestrictedOperator,
    blocks_of,
    select_indices,
    select_variables,
)
from stock_rnn.curvature.operators.data_sets import is_data_set, make_batches
from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.losses import Losses, nonzero, warn_of_no_mean
from stock_rnn.curvature.operators.operator import Operator
from stock_rnn.curvature.operators.precision import (
    check_precision,
    computed_in,
    loss_in_type,
    needed_type,
    said_of_failures,
)
from stock_rnn.curvature.operators.protocol import (
    Array,
    MatvecRoutine,
    Result,
    adapt_routine,
    answer_routine,
    column_by_column,
)
from stock_rnn.curvature.operators.replicas import Replicas
from stock_rnn.curvature.operators.session import ParameterVector, ProductSession
from stock_rnn.curvature.operators.verification import verify_session

_log = logging.getLogger(__name__)


class HessianOperator(Operator):
    """H = ∂²L/∂θ² of the mean loss L over all given data, as a matrix.

    A product is the derivative of the gradient's projection (Pearlmutter 1994,
    "Fast exact multiplication by the Hessian", here by reverse mode twice):

        H v = ∂/∂θ ⟨∂L/∂θ, v⟩

    with v held constant. L is what `evaluate` reports as the loss:

    - Of arrays it is the loss of the entire data in one batch: the mean over examples (and
      time steps, masked ones left out), plus the model's regularization losses, once. They
      are processed in micro-batches; each counts by its size, so that a short last one is
      weighted exactly.
    - Of a data set it is the mean of its batches' losses, weighted by their examples. Its
      batches are read anew for each pass and are never all in memory. Their order is fixed:
      a checksum of each is compared at every pass.

    The model runs in inference mode. Nothing is changed by measuring: variables
    are only read, and updates that the model makes when it is called (states,
    seeds, statistics) are discarded. Parameters may change between products: the
    live values are read each time. A running routine (see `run_routine`) keeps the
    values that it began with.

    At the first use one product is compared with a difference of the gradient, at the
    cost of two gradients: TensorFlow can lose part of a second derivative without an
    error (see `stock_rnn.curvature.operators.verification`).

    Args:
        model: A built Keras model of float32 or float64 variables. One in mixed precision is
            computed in the type of its variables: H is that of the same weights without the
            rounding to 16 bits.
        loss: Name, `keras.losses.Loss`, or a function of (y_true, y_pred); for several
            outputs a list or dict of them, as `compile` takes it, or one function of both
            structures. None: the model's own losses (`add_loss`) alone.
        x: Inputs: an array, or a list or dict of arrays, examples first. Or a data set: a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, another object of a length that
            can be read again and again, or a function that makes a new generator. Its
            batches are (inputs, targets) or (inputs, targets, sample_weight).
        y: Targets, likewise. Cast to the type of the predictions, as Keras does. None for
            a data set.
        sample_weight: (n,) weights of the examples, as `fit` takes them; for several
            outputs also a list or dict of them.
        class_weight: A weight for each class, as `fit` takes it.
        batch_size: Examples a micro-batch: what bounds the memory. All of the
            data when None, but at most 2,048. Where all data fit in one
            micro-batch, iterative routines are several times faster. A data set has
            its own.
        steps: How many batches of a data set are read: all when None. Needed for one without
            a length or an end.
        loss_weights: Of several outputs' losses, as `compile` takes them.
        variables: Which variables θ consists of: all trainable ones when None; a
            layer, a glob on `variable.path`, or a sequence of variables. Then H is the
            diagonal block that belongs to them.
        check: Whether to compare a product at the first use. Without it the operator
            stays unverified, and no sign is called resolved or certified.
        strategy: A `tf.distribute` strategy in whose scope the model was built: each of its
            replicas takes its rows of every micro-batch of arrays (see
            `stock_rnn.curvature.operators.replicas`). With several workers all of them make
            the same operator over the same data, and ask it the same.

    Attributes:
        shape: (n, n).
        parameters: n, the length of θ.
        examples: How many examples L is the mean over.
        blocks: Where each variable lies in θ, by its path.
        products: H v so far, those of the check not counted.

    Raises:
        ValueError: No data or variables, arrays of unequal lengths, a data set that shuffles
            or never ends, a loss that does not fit the outputs, a model that is not built, or
            has variables of 16 bits.
        PrecisionError: On the first use, where a model in mixed precision casts to 16 bits
            by itself.
        NoGradientError: On the first use, where no gradient reaches a parameter.
        SecondDerivativeError: On the first use, where there is none, or a wrong one.
        NonDeterministicLossError: On the first use, where the loss is random.
        ReplicaLostError: When another worker of the strategy has ended.

    Example: mean squared error of a linear model has H = 2 XᵀX / n.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((2, 1))
    >>> hessian = HessianOperator(model, "mse", x, y)
    >>> hessian @ np.eye(2)
    array([[10., 14.],
           [14., 20.]])
    """

    _session_type: type[ProductSession] = ProductSession
    _loss_type: type[BatchLoss] = BatchLoss

    def __init__(
        self,
        model: keras.Model,
        loss: Any,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        loss_weights: Any = None,
        variables: Any = None,
        check: bool = True,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        _check_model(model)
        self.model = model
        self.variables = select_variables(model, variables)
        self._given = make_batches(
            x,
            y,
            sample_weight=sample_weight,
            class_weight=class_weight,
            batch_size=batch_size,
            steps=steps,
        )
        self._data = self._given  # Subclasses may add to it.
        self.examples, self.batch_size = self._given.examples, self._given.batch_size
        self._batch_loss = self._loss_type(model, loss, self._given.parts_of, loss_weights)
        self._theta = ParameterVector(self.variables)
        self.parameters = self._theta.size
        self.blocks: Mapping[str, slice] = MappingProxyType(blocks_of(self.variables))
        self.shape = (self.parameters, self.parameters)
        self.products = 0
        self._product_traces = 0
        self._loss = loss
        # For operators that come of this one.
        self._options: dict[str, Any] = {
            "loss_weights": loss_weights,
            "variables": self.variables,
            "check": check,
            "strategy": strategy,
        }
        self._data_options: dict[str, Any] = {
            "class_weight": class_weight,
            "batch_size": batch_size,
            "steps": steps,
        }
        self._check = check
        self._verified = False
        self._session: ProductSession | None = None
        self._family: dict[Any, HessianOperator] = {}  # by what a graph is built for
        self._float64: HessianOperator | None = None
        self._compute_in(needed_type(model))

    # What is known of it

    @property
    def relative_rounding(self) -> float:
        """‖error of H v‖ / (‖H‖ ‖v‖): 8 ε of the narrowest type on the way to the gradient.

        Measured on LSTMs of normalized data; see the tests.
        """
        return 8 * float(np.finfo(self._prepared().scan.narrowest.as_numpy_dtype).eps)

    @property
    def verified(self) -> bool:
        """Whether a product was compared with a difference of the gradient, and agreed."""
        self._prepared()
        return self._verified

    @property
    def traces(self) -> int:
        """TensorFlow graphs built so far: one for products, one for the loss."""
        return self._product_traces + self._losses.traces

    @property
    def measures_one_batch(self) -> bool:
        """Whether L is the loss of all examples in one batch, and not a mean over batches."""
        return self._data.parts_of is not None

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
        return self.loss_at(np.zeros(self.parameters))

    def loss_at(self, displacement: Array) -> float:
        """L(θ + displacement), for a displacement of shape (n,).

        The sum is made in float64 and rounded to the variables' type. The
        variables themselves are left alone.

        Raises:
            ValueError: a displacement of another shape.
        """
        return self._losses.at(self._batches(), self._data.spec, displacement)

    def losses_at(self, displacements: Array) -> Array:
        """L(θ + d) for each row d of (k, n), as `loss_at`: float64 (k,); many are faster at once.

        Raises:
            ValueError: displacements of another shape.
        """
        return self._losses.at_many(self._batches, self._data.spec, displacements)

    def gradient(self) -> Array:
        """∂L/∂θ, float64 of shape (n,)."""
        return self._over_batches(np.empty((self.parameters, 0)))[1]

    def run_routine(self, routine: MatvecRoutine[Result]) -> Result:
        """Answer every product that the routine asks for, and return its result.

        Where the data fit one micro-batch, all of it happens inside one
        TensorFlow call: the loss is differentiated once and the products share
        that. See `stock_rnn.curvature.operators.session`.
        """
        if not self._in_one_call:
            return answer_routine(self.__matmul__, routine)
        return self.run_at_gradient(lambda loss, gradient: routine)

    def run_at_gradient(
        self, make_routine: Callable[[float, Array], MatvecRoutine[Result]]
    ) -> Result:
        """As `run_routine`, for a routine that is first given the loss and the gradient."""
        if not self._in_one_call:
            loss, gradient, _ = self._over_batches(np.empty((self.parameters, 0)))
            return answer_routine(self.__matmul__, make_routine(loss, gradient))
        results: list[Result] = []

        def keep_result(loss: float, gradient: Array) -> MatvecRoutine[None]:
            routine = make_routine(loss, gradient)
            del gradient  # Not to be held here while products are made.
            results.append((yield from adapt_routine(routine, column_by_column)))

        count, products = self._prepared().converse(self.first_batch(), keep_result)
        self.products += products
        nonzero(count)
        return results[0]

    def prepare(self) -> None:
        """Build the TensorFlow graph and check it now, and not with the first product."""
        self._prepared()

    def with_data(
        self, x: Any, y: Any = None, *, sample_weight: Any = None, steps: int | None = None
    ) -> HessianOperator:
        """The Hessian of the same loss over other data.

        Operators that come of each other share one TensorFlow graph, and its check, where
        their data have the same shapes and types: `sampling_error` takes this method as
        its ``make_operator``.

        Args:
            x, y, sample_weight, steps: as in the class. `class_weight` is this operator's.
        """
        options = {**self._data_options, "steps": steps}
        if is_data_set(x):
            options["batch_size"] = None
        other = type(self)(
            self.model, self._loss, x, y, sample_weight=sample_weight, **options, **self._options
        )
        if self._type != other._type:
            other._compute_in(self._type)
        other._family = self._family
        return other

    def in_float64(self) -> HessianOperator:
        """The same operator computed in float64: same weights, which it reads anew, same data.

        It is made, checked and tried once. See `stock_rnn.curvature.operators.precision`.

        Raises:
            PrecisionError: the loss cannot be computed in float64 throughout, and why.
            SecondDerivativeError, NonDeterministicLossError: as at the first use.
        """
        if self._type == tf.float64:
            return self
        if self._float64 is None:
            made = copy.copy(self)
            made.products = made._product_traces = 0
            made._session = None
            made._family, made._verified = {}, False
            made._check = self._options["check"]
            made._compute_in(tf.float64)
            with said_of_failures(), contextlib.suppress(NonFiniteError):
                made.prepare()
                made @ np.zeros(made.parameters)
            self._float64 = made
        return self._float64

    def computing(self) -> contextlib.AbstractContextManager[None]:
        """In this block the model's layers compute in the operator's type."""
        own = self._type is None
        return contextlib.nullcontext() if own else computed_in(self.model, self._type)

    def first_batch(self) -> Any:
        """The first micro-batch as tensors: inputs, targets, and a tuple of sample weights."""
        return next(self._batches())

    def loss_on(self, batch: Any) -> float:
        """L(θ) over one micro-batch of `batch_size` examples, or the last one, alone."""
        found: list[float] = []

        def note(loss: float, gradient: Array) -> MatvecRoutine[None]:
            found.append(loss)
            yield from ()

        # By the graph of the products, which is there already.
        self._prepared().converse(batch, note)
        return found[0]

    def block(self, select: Any) -> RestrictedOperator:
        """The diagonal block of some of the variables, or of some entries of θ.

        Args:
            select: A layer, a glob on `variable.path`, a variable, a sequence of
                these, or an array of indices or booleans.

        Raises:
            ValueError: Nothing that H has.
        """
        return RestrictedOperator(self, select_indices(self, select))

    # The data, a micro-batch at a time

    def _batches(self) -> Iterator[Any]:
        return iter(self._data)

    def _over_batches(self, vectors: Array) -> tuple[float, Array, Array]:
        """The loss, its gradient and H V, each the weighted mean of the micro-batches'."""
        session = self._prepared()
        total, loss = 0.0, 0.0
        gradient, products = np.zeros(self.parameters), np.zeros_like(vectors)
        columns = vectors.reshape(self.parameters, -1)
        for batch in self._batches():
            here = (
                session.derivatives(batch, columns)
                if self._replicas is None
                else self._replicas.derivatives(batch, columns)
            )
            total += here.count
            loss += here.count * here.loss
            gradient += here.count * here.gradient
            products += here.count * here.products.reshape(vectors.shape)
        # Every micro-batch makes them anew; to the caller it is one product a vector.
        self.products += columns.shape[1]
        return loss / nonzero(total), gradient / total, products / total

    @property
    def _in_one_call(self) -> bool:
        """Whether all products of a routine can be made inside one TensorFlow call."""
        return self._data.number == 1 and self._replicas is None

    def _spread(self) -> Replicas | None:
        strategy = self._options["strategy"]
        if strategy is None:
            return None
        if type(self) is not HessianOperator:
            raise ValueError(
                "strategy= spreads products of the Hessian only: leave it out here. "
                f"Received: strategy={type(strategy).__name__} of a {type(self).__name__}"
            )
        if not self.measures_one_batch:
            raise ValueError(
                "strategy= divides arrays among the devices, and not the batches of a data set, "
                f"whose losses count each by itself: pass arrays. Received: {strategy=}"
            )
        return Replicas(strategy, self._batch_loss, self._theta)

    # The TensorFlow graphs

    def _compute_in(self, dtype: tf.DType | None) -> None:
        """Compute in this type; None: in the model's own."""
        self._type = dtype
        if dtype is not None:
            self._batch_loss = loss_in_type(self._batch_loss, dtype)
            self._theta = ParameterVector(self.variables, dtype)
        self._replicas = self._spread()
        self._losses = Losses(self._batch_loss, self._theta, self._replicas)

    def _prepared(self) -> ProductSession:
        if self._session is None:
            relative = self._family.setdefault(self._graph_key(), self)
            if relative is not self:
                self._session = relative._prepared()
                self._check, self._verified = relative._check, relative._verified
            else:
                self._session = self._trace_products()
                _warn_of_unreached(self._session.unreached)
        if self._check:
            # Where the gradient is not finite, there is nothing to compare yet.
            with contextlib.suppress(NonFiniteError):
                agrees = self._verify(self._session)
                # A layer may read a variable in a way that no gradient follows.
                self._verified = agrees and not self._session.unreached
                self._check = False
                self._check_batches()
        return self._session

    def _trace_products(self) -> ProductSession:
        self._product_traces += 1
        session = self._session_type(self._batch_loss, self._theta, self._data.signature())
        if self._type is not None:
            check_precision(session, self.model, self._type)
            name = self._type.name
            _log.info("The loss of model %r is computed in %s.", self.model.name, name)
        return session

    def _verify(self, session: ProductSession) -> bool:
        """Whether a product is what it should be, by differences of first derivatives."""
        return verify_session(session, self._theta, self._batch_loss, self.first_batch())

    def _graph_key(self) -> Any:
        """What a graph of products is built for."""
        return repr(self._data.signature()), self._data.parts_of

    def _check_batches(self) -> None:
        """Warn of a loss that is no mean over examples, where there are several batches."""
        if self._data.number == 1 or self.batch_size < 2:
            return
        at = np.zeros(self.parameters)
        spec = self._data.spec
        warn_of_no_mean(
            self._losses.at(self._batches(), spec, at),
            self._losses.at(halves(self._batches()), spec, at),
            batch_size=self.batch_size,
            examples=self.examples if self.measures_one_batch else None,
        )


def _check_model(model: keras.Model) -> None:
    if not model.built:
        raise ValueError(f"The model {model.name!r} has no variables yet: build it or call it.")


def _warn_of_unreached(variables: Sequence[keras.Variable]) -> None:
    if variables:
        names = ", ".join(v.path for v in variables)
        warnings.warn(
            f"No gradient of the loss reaches {names}: their rows and columns of the Hessian "
            "are zero, and no sign is called resolved or certified. If the loss does not depend on "
            "them, leave them out by variables=...",
            stacklevel=2,
        )
