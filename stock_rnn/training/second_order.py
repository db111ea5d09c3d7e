"""Training by optimizers that need the Hessian: a step an epoch, on all training examples."""

from __future__ import annotations

import keras
import numpy as np

from stock_rnn.config import Config
from stock_rnn.curvature import HessianOperator
from stock_rnn.data import StockDataSet
from stock_rnn.errors import UserError
from stock_rnn.training.network import inputs_of, network_of

#: The most weights of a network that Newton's method, which has the whole Hessian, is for.
MOST_WEIGHTS = 2000


class SecondOrderTrainer:
    """Trains a network by one step an epoch; to `fit_epochs` it is an `EpochTrainer`.

    The loss is that of all training examples with dropout off.

    Args:
        model: compiled with an optimizer of `stock_rnn.optimizers.second_order`.
        dataset: what it is trained and tested on.
        loss: Keras's name of what is minimized.
        check: whether the first product is compared with differences, as in `HessianOperator`.

    Attributes:
        model: that of the arguments.
    """

    def __init__(
        self, model: keras.Model, dataset: StockDataSet, *, loss: str, check: bool
    ) -> None:
        self.model = model
        self._train_loss, self._monitored_loss = (
            HessianOperator(
                model,
                loss,
                inputs_of(model, dataset, examples),
                dataset.labels(examples).astype(np.float32),
                check=check,
            )
            for examples in (dataset.train, dataset.monitored)
        )

    def train(self, epoch: int) -> dict[str, float]:
        """Make one step, then validate or test.

        Args:
            epoch: not used: a step depends on the weights and on the steps before it.

        Returns:
            "loss", over the training examples, and "val_loss", over the monitored ones: both
            after the step.
        """
        self.model.optimizer.step(self._train_loss, self.model.trainable_variables)
        return {"loss": self._train_loss.loss(), "val_loss": self.test()}

    def test(self) -> float:
        """The mean loss over the monitored examples."""
        return self._monitored_loss.loss()


def refuse_large(config: Config, dataset: StockDataSet) -> None:
    """Refuse Newton's method for networks whose Hessian is too large.

    Args:
        config, dataset: of the training.

    Raises:
        UserError: the network has more than `MOST_WEIGHTS` weights.
    """
    weights = network_of(config, dataset).count_params()
    if config.optimizer == "newton" and weights > MOST_WEIGHTS:
        raise UserError(
            f"--optimizer newton has the whole Hessian, for up to {MOST_WEIGHTS:,} weights, and "
            f"this network has {weights:,}: lower --lstm-size or --num-layers, or take --optimizer "
            "saddle-free-newton"
        )
