"""The loss of a Keras model on one micro-batch, as a function of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


class Objective:
    """ℓ(θ; x, y) with θ handed in, so that the model's variables are left alone.

    Data loss plus the model's own losses (`model.losses`: weight and activity
    regularizers, `add_loss`), which is what training minimizes.

    The losses of two micro-batches combine to that of both as the mean weighted
    by the *counts* that come with them: the number of examples, or of entries
    that the predictions' mask keeps. A loss with ``reduction="sum"`` is scaled so
    that this mean is the sum over all `examples`.

    Args:
        model: The model, run in inference mode.
        loss: Name, `keras.losses.Loss` or function of (y_true, y_pred). What a
            function returns is averaged over all entries. For a model of several
            outputs, a function of both structures.
        examples: How many examples all micro-batches have together.

    Raises:
        ValueError: A loss that is none of these.
    """

    def __init__(self, model: keras.Model, loss: Any, examples: int) -> None:
        self.model = model
        self.examples = examples
        found = keras.losses.get(loss) if isinstance(loss, str) else loss
        if not callable(found):
            raise ValueError(
                "loss must be a name, a keras.losses.Loss, or a function of (y_true, y_pred); "
                f"for several outputs, one function that combines them. Received: loss={loss!r}"
            )
        # `call` gives the values before Keras casts them to its default type and reduces.
        is_object = isinstance(found, keras.losses.Loss)
        self._entries: Callable[[Any, Any], Any] = found.call if is_object else found
        self._sums = is_object and found.reduction == "sum"

    def __call__(
        self,
        variables: Sequence[keras.Variable],
        values: Sequence[tf.Tensor],
        x: Any,
        y: Any,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss (scalar) and the count (scalar, of the same type).

        Args:
            variables: Those that θ consists of.
            values: A tensor for each. All others have their live values.
            x: Inputs, examples first.
            y: Targets.
        """
        # In this scope Keras reads `values` for the variables, and every update that the
        # model makes (of seeds, states, statistics) stays in the scope.
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(mapping, collect_losses=True):
            predicted = self.model(x, training=False)
            own = list(self.model.losses)
        loss, count = self._data_loss(y, predicted, tf.shape(tf.nest.flatten(x)[0])[0])
        return loss + sum(tf.cast(term, loss.dtype) for term in own), count

    def _data_loss(self, y: Any, predicted: Any, size: Any) -> tuple[tf.Tensor, tf.Tensor]:
        first = tf.nest.flatten(predicted)[0]
        mask = getattr(first, "_keras_mask", None) if tf.is_tensor(predicted) else None
        y = tf.nest.map_structure(lambda t: tf.cast(t, first.dtype), y)
        if tf.is_tensor(y) and tf.is_tensor(predicted):
            y, predicted = _same_rank(y, predicted)
        entries = self._entries(y, predicted)
        # A loss can leave entries out too (`ignore_class`), and says so like a layer.
        masks = [m for m in (mask, getattr(entries, "_keras_mask", None)) if m is not None]
        entries = tf.convert_to_tensor(entries)
        size = tf.cast(size, entries.dtype)
        if masks:
            kept = _kept(masks, entries)
            entries *= kept
        if self._sums:
            return tf.reduce_sum(entries) * self.examples / size, size
        if masks:
            count = tf.reduce_sum(kept)
            return tf.math.divide_no_nan(tf.reduce_sum(entries), count), count
        return tf.reduce_mean(entries), size


def _kept(masks: Sequence[Any], entries: tf.Tensor) -> tf.Tensor:
    """1 for the entries that every mask keeps, else 0, in the entries' shape."""
    kept = tf.ones_like(entries)
    for mask in masks:
        ones = tf.cast(mask, entries.dtype)
        kept *= tf.reshape(
            ones, [*tf.unstack(tf.shape(ones)), *[1] * (kept.shape.rank - ones.shape.rank)]
        )
    return kept


def _same_rank(y: tf.Tensor, predicted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Targets (N,) for predictions (N, 1), and the reverse, as Keras matches them.

    Without it, the difference of the two would be an N × N matrix.
    """
    if y.shape.rank + 1 == predicted.shape.rank and predicted.shape[-1] == 1:
        return y[..., None], predicted
    if y.shape.rank == predicted.shape.rank + 1 and y.shape[-1] == 1:
        return y[..., 0], predicted
    return y, predicted
