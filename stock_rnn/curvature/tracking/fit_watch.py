"""Whether the loss that is measured is the loss that `fit` minimizes."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import keras

from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.hessian import HessianOperator

# Keras computes losses in its default type, float32.
_TOLERANCE = 1e-3


def compare_losses(operator: HessianOperator) -> None:
    """Warn if the model's own `compute_loss` gives another loss on the same examples.

    That of the compiled loss, in inference mode, on the operator's first micro-batch;
    overridden `compute_loss` methods and weighted or combined losses show.
    """
    model, batch = operator.model, operator.first_batch()
    x, y, weights = batch
    arguments: dict[str, Any] = {"x": x, "y": y, "sample_weight": weights[0] if weights else None}
    if "training" in inspect.signature(model.compute_loss).parameters:
        arguments["training"] = False
    # What calling the model updates (seeds, states, metrics) stays in this scope.
    # Regularizers are handed what is in the scope, or None.
    values = [(variable, variable.value) for variable in model.variables]
    with keras.StatelessScope(values, collect_losses=True):
        reported = float(model.compute_loss(y_pred=model(x, training=False), **arguments))
    try:
        measured = operator.loss_on(batch)
    except NonFiniteError:
        return
    if abs(measured - reported) > _TOLERANCE * max(abs(measured), abs(reported)):
        warnings.warn(
            f"The Hessian is that of a loss of {measured:.6g}; on the same {len_of(batch)} "
            f"examples the model's own compute_loss gives {reported:.6g}. Pass the loss that fit "
            "minimizes as loss=...",
            stacklevel=2,
        )


def len_of(batch: Any) -> int:
    """The examples in a micro-batch."""
    return len(keras.tree.flatten(batch)[0])


class FitWatch:
    """Notes how `fit` computes its loss during an epoch, without changing it.

    Keras builds the training function when it is first run, and then calls
    `model.compute_loss` with the sample weights. A function built in an earlier `fit`
    is used again without a call: then nothing is noted.

    Args:
        model: being trained.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.calls = 0
        self.weighted = False
        own = model.compute_loss

        def compute_loss(*args: Any, **kwargs: Any) -> Any:
            # One call tells. A fit that is interrupted later never comes to `stop`.
            self.stop()
            self.calls += 1
            weights = kwargs.get("sample_weight", args[3] if len(args) > 3 else None)
            self.weighted = self.weighted or weights is not None
            return own(*args, **kwargs)

        # Not by assignment, which Keras takes for a new part of the model.
        object.__setattr__(model, "compute_loss", compute_loss)

    def stop(self) -> None:
        """Leave the model as it was; once is enough."""
        if "compute_loss" in vars(self._model):
            object.__delattr__(self._model, "compute_loss")

    def warn(self, operator: HessianOperator, reported: float, *, has_weights: bool) -> None:
        """Warn if the epoch showed that `fit` minimizes another loss than is measured.

        Args:
            operator: measures, at the end of the epoch.
            reported: the loss that `fit` reported for the epoch.
            has_weights: whether the operator has sample weights.
        """
        weighs = self.weighted and not has_weights
        own_step = type(self._model).train_step is not keras.Model.train_step
        if not weighs and (self.calls or not own_step):
            return
        try:
            measured = operator.loss_on(operator.first_batch())
        except NonFiniteError:
            return
        numbers = f"the Hessian is that of a loss of {measured:.6g}; fit reports {reported:.6g}"
        if weighs:
            warnings.warn(
                f"fit weighs its examples (sample_weight or class_weight), and {numbers}. Pass the "
                "weights of these examples as sample_weight=...",
                stacklevel=2,
            )
        elif not math.isclose(measured, reported, rel_tol=0.5):
            warnings.warn(
                f"The model's train_step does not call compute_loss, and {numbers}. Pass the loss "
                "that it minimizes as loss=...",
                stacklevel=2,
            )
