"""The Hessian of the loss that a step of training goes down: dropout on, batch statistics."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from stock_rnn.curvature.keras_private import seed_states
from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.data import as_arrays, count_examples
from stock_rnn.curvature.operators.hessian import HessianOperator


class _TrainingLoss(BatchLoss):
    """A `BatchLoss` with the model in training mode, its masks moved on by a number."""

    #: That number: an int64 variable.
    drawn: tf.Variable

    def _call(self, inputs: Any, scope: keras.StatelessScope) -> Any:
        for state in seed_states(self.model):
            # (seed, how many were drawn): another seed is another stream.
            moved = tf.cast(tf.stack([self.drawn, 0]), state.dtype)
            scope.add_update((state, tf.convert_to_tensor(state.value) + moved))
        return self.model(inputs, training=True)


class TrainingHessian(HessianOperator):
    """H_B of one mini-batch, in training mode.

    A step of `fit` does not go down the loss that `HessianOperator` differentiates. Dropout
    leaves units out, by a mask that is drawn for the step, and batch normalization divides
    by the batch's own deviation. Here the model is called as the step calls it, with the masks
    of one draw held for all products. Draw 0 has the masks that the next step of training
    will draw; others are independent of it. Nothing is changed by measuring: the
    generators' states are only read.

    All examples are one micro-batch: batch normalization makes them one.

    Args:
        model, loss, x, y, sample_weight, loss_weights, variables, check: as in `HessianOperator`.
        draw: which masks.

    Raises:
        As `HessianOperator`; NonDeterministicLossError where a layer draws from something
        else than a `keras.random.SeedGenerator`.

    Example: the step that follows is θ - ε g.

    >>> hessian = TrainingHessian(model, "mse", x, y)  # doctest: +SKIP
    >>> gradient = hessian.gradient()  # doctest: +SKIP
    >>> model.train_on_batch(x, y)  # doctest: +SKIP
    """

    _loss_type = _TrainingLoss

    def __init__(
        self,
        model: keras.Model,
        loss: Any,
        x: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        loss_weights: Any = None,
        variables: Any = None,
        check: bool = True,
        draw: int = 0,
    ) -> None:
        super().__init__(
            model,
            loss,
            x,
            y,
            sample_weight=sample_weight,
            batch_size=count_examples(as_arrays(x, "x"), as_arrays(y, "y")),
            loss_weights=loss_weights,
            variables=variables,
            check=check,
        )
        self.draw = draw
        self._draws = itertools.count(draw + 1)
        self._read_draw(tf.Variable(draw, dtype=tf.int64, trainable=False))

    @classmethod
    def of(cls, hessian: HessianOperator, x: Any, y: Any, **options: Any) -> TrainingHessian:
        """That of a Hessian's model, loss and variables, over the mini-batch (x, y).

        Args:
            hessian: says what is differentiated; it is in inference mode.
            x, y, options: as in the class.
        """
        own = {name: hessian._options[name] for name in ("loss_weights", "variables", "check")}
        options = {**own, **options}
        return cls(hessian.model, hessian._loss, x, y, **options)

    def with_data(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        steps: int | None = None,
        draw: int | None = None,
    ) -> TrainingHessian:
        """The same over another mini-batch, with the next draw of the masks, or a given one.

        Raises:
            ValueError: `steps`, which is for data sets.
        """
        if steps is not None:
            raise ValueError(f"A mini-batch is arrays, and has no steps. Received: {steps=}")
        other = type(self)(
            self.model,
            self._loss,
            x,
            y,
            sample_weight=sample_weight,
            loss_weights=self._options["loss_weights"],
            variables=self.variables,
            check=self._check,
            draw=next(self._draws) if draw is None else draw,
        )
        if self._type != other._type:
            other._compute_in(self._type)
        # Those that share a graph share what it reads.
        other._family, other._draws = self._family, self._draws
        other._read_draw(self._drawn)
        return other

    def _read_draw(self, drawn: tf.Variable) -> None:
        """Let the loss move its masks on by this variable's number, which each pass sets."""
        self._drawn = drawn
        assert isinstance(self._batch_loss, _TrainingLoss)
        self._batch_loss.drawn = drawn

    def _batches(self) -> Iterator[Any]:
        self._drawn.assign(self.draw)
        yield from super()._batches()
