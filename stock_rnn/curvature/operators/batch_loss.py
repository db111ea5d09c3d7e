"""The loss of a Keras model on one micro-batch, as a function of its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from stock_rnn.curvature.keras_private import copy_of_output, mask_of


@dataclass(frozen=True)
class OutputLoss:
    """A loss on a micro-batch, as a function of the model's outputs."""

    data: tf.Tensor  # scalar: the data loss
    own: list[tf.Tensor]  # scalars: regularization and other losses of the model
    count: tf.Tensor  # scalar: what the micro-batch counts
    outputs: list[tf.Tensor]  # what the data loss may be made of: outputs, logits behind them
    predicted: Any  # the copied outputs, in the model's own structure


class BatchLoss:
    """ℓ(θ; x, y) as a function of θ: the model's variables are not changed.

    Data loss plus the model's own losses (`model.losses`: weight and activity
    regularizers, `add_loss`), which is what training minimizes.

    The losses of two micro-batches combine to that of both as the mean weighted
    by the *counts* that come with them: the number of examples, or of entries
    that the predictions' mask keeps. A loss with ``reduction="sum"`` is scaled so
    that this mean is the sum over all `examples`. With sample weights w the data loss
    is Σ wᵢ ℓᵢ / n, as Keras has it, or Σ wᵢ ℓᵢ / Σ wᵢ for a loss with
    ``reduction="mean_with_sample_weight"``.

    Args:
        model: The model, run in inference mode.
        loss: Name, `keras.losses.Loss` or function of (y_true, y_pred); a list or dict
            of one of them for a model of one output. What a function returns is
            averaged over all entries. For a model of several outputs, a function of
            both structures.
        examples: How many examples all micro-batches have together.

    Raises:
        ValueError: A loss that is none of these.
    """

    def __init__(self, model: keras.Model, loss: Any, examples: int) -> None:
        self.model = model
        self.examples = examples
        found = _single(loss)
        found = keras.losses.get(found) if isinstance(found, str) else found
        if not callable(found):
            raise ValueError(
                "loss must be a name, a keras.losses.Loss, or a function of (y_true, y_pred); "
                f"for several outputs, one function that combines them. Received: loss={loss!r}"
            )
        # `call` gives the values before Keras casts them to its default type and reduces.
        is_object = isinstance(found, keras.losses.Loss)
        self._entries: Callable[[Any, Any], Any] = found.call if is_object else found
        self._reduction = found.reduction if is_object else "sum_over_batch_size"
        # Of a cross-entropy: whether the model's outputs are logits.
        self.from_logits = bool(is_object and found.get_config().get("from_logits"))

    def __call__(
        self,
        variables: Sequence[keras.Variable],
        values: Sequence[tf.Tensor],
        batch: Any,
        *,
        held_type: Any = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss (scalar) and the count (scalar, of the same type).

        Args:
            variables: Those that θ consists of.
            values: A tensor for each. All others have their live values.
            held_type: The floating type to which those others are cast; None: their own.
            batch: Inputs, targets, and a tuple of the sample weights, empty without any;
                examples first.
        """
        predicted, own = self._run(variables, values, batch, held_type)
        loss, count = self._data_loss(predicted, batch)
        return loss + sum(tf.cast(term, loss.dtype) for term in own), count

    def at_outputs(
        self, variables: Sequence[keras.Variable], values: Sequence[tf.Tensor], batch: Any
    ) -> OutputLoss:
        """The loss in two steps: θ to the model's outputs, and these to the data loss.

        The data loss is that of copies of the outputs, so that one output that is made of
        another is told from it. Where a cross-entropy reads the logits behind probabilities,
        as Keras's do behind a layer that ends in a softmax or a sigmoid, they are copied too.

        Args:
            variables, values, batch: as when it is called.
        """
        predicted, own = self._run(variables, values, batch, None)
        copies: list[tf.Tensor] = []

        def copy(output: tf.Tensor) -> tf.Tensor:
            made = copy_of_output(output)
            copies.extend(made)
            return made[0]

        copied = keras.tree.map_structure(copy, predicted)
        loss, count = self._data_loss(copied, batch)
        outputs = [t for t in copies if t.dtype.is_floating]
        return OutputLoss(loss, own, count, outputs, copied)

    def of_targets(self, predicted: Any, batch: Any, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The data loss (scalar), and its entries before masks and weights, for targets y."""
        x, _, weights = batch
        return self._data_loss(predicted, (x, y, weights))[0], self._entries_of(predicted, y)

    def _run(
        self,
        variables: Sequence[keras.Variable],
        values: Sequence[tf.Tensor],
        batch: Any,
        held: Any,
    ) -> tuple[Any, list[tf.Tensor]]:
        """What the model predicts, and its own losses."""
        # In this scope Keras reads `values` for the variables, and every update that the
        # model makes (of seeds, states, statistics) stays in the scope.
        with keras.StatelessScope(collect_losses=True) as scope:
            # Handed to its constructor, they would be rounded to the variables' types.
            for update in zip(variables, values, strict=True):
                scope.add_update(update)
            # Regularizers are handed what is in the scope, or None.
            for variable in others_of(self.model, variables):
                scope.add_update((variable, tf.cast(variable.value, held or variable.dtype)))
            return self.model(batch[0], training=False), list(self.model.losses)

    def _data_loss(self, predicted: Any, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
        x, y, weights = batch
        size = tf.shape(keras.tree.flatten(x)[0])[0]
        predicted = _single(predicted)
        mask = mask_of(predicted) if tf.is_tensor(predicted) else None
        entries = self._entries_of(predicted, y)
        # A loss can leave entries out too (`ignore_class`), and says so like a layer.
        masks = [m for m in (mask, mask_of(entries)) if m is not None]
        entries = tf.convert_to_tensor(entries)
        size = tf.cast(size, entries.dtype)
        factors = [_factor(f, entries) for f in (*masks, *weights)]
        weighted = math.prod(factors, start=entries) if factors else entries
        if self._reduction == "sum":
            return tf.reduce_sum(weighted) * self.examples / size, size
        # What the mean is over: entries kept by the masks, or the sum of the weights too.
        if self._reduction != "mean_with_sample_weight":
            factors = factors[: len(masks)]
        if not factors:
            return tf.reduce_mean(weighted), size
        count = tf.reduce_sum(math.prod(factors, start=tf.ones_like(entries)))
        return tf.math.divide_no_nan(tf.reduce_sum(weighted), count), count

    def _entries_of(self, predicted: Any, y: Any) -> Any:
        """What the loss is before it is reduced: a number an example, or a time step."""
        predicted, y = _single(predicted), _single(y)
        dtype = keras.tree.flatten(predicted)[0].dtype
        y = keras.tree.map_structure(lambda t: tf.cast(t, dtype), y)
        if tf.is_tensor(y) and tf.is_tensor(predicted):
            y, predicted = _same_rank(y, predicted)
        return self._entries(y, predicted)


def others_of(model: keras.Model, variables: Sequence[keras.Variable]) -> list[keras.Variable]:
    """The model's other variables of a floating type."""
    known = set(map(id, variables))
    return [v for v in model.variables if id(v) not in known and tf.as_dtype(v.dtype).is_floating]


def _single(structure: Any) -> Any:
    """The only element of a list, tuple or dict of one; anything else as it is."""
    if isinstance(structure, dict) and len(structure) == 1:
        return next(iter(structure.values()))
    if isinstance(structure, list | tuple) and len(structure) == 1:
        return structure[0]
    return structure


def _factor(factor: Any, entries: tf.Tensor) -> tf.Tensor:
    """A mask or weights, one an example or an entry, shaped to multiply the entries."""
    same = tf.cast(factor, entries.dtype)
    while same.shape.rank > entries.shape.rank:  # weights (n, 1) of entries (n,)
        same = tf.squeeze(same, -1)
    ones = [1] * (entries.shape.rank - same.shape.rank)
    return tf.reshape(same, [*tf.unstack(tf.shape(same)), *ones])


def _same_rank(y: tf.Tensor, predicted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Targets (N,) for predictions (N, 1), and the reverse, as Keras matches them.

    Without it, the difference of the two would be an N × N matrix.
    """
    if y.shape.rank + 1 == predicted.shape.rank and predicted.shape[-1] == 1:
        return y[..., None], predicted
    if y.shape.rank == predicted.shape.rank + 1 and y.shape[-1] == 1:
        return y[..., 0], predicted
    return y, predicted
