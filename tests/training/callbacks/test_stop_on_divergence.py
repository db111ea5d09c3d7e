import keras
import pytest

from stock_rnn.optimizers import make_optimizer
from stock_rnn.training.callbacks import DivergedError
from stock_rnn.training.callbacks.stop_on_divergence import StopOnDivergence


@pytest.mark.parametrize(
    ("optimizer", "advice"),
    [
        (make_optimizer("sgd", 0.5), r"lower --init-learning-rate \(now 0.5\)"),
        (make_optimizer("newton", 0.5, damping=0.25), r"raise --damping \(now 0.25\)"),
    ],
)
def test_a_loss_that_diverges_ends_the_training_with_what_helps(optimizer, advice):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.optimizer = optimizer
    callback = StopOnDivergence(0.5)
    callback.set_model(model)
    callback.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
    callback.on_epoch_end(1, {"loss": 9e5, "val_loss": 1e9})
    with pytest.raises(DivergedError, match=f"epoch 3: the loss grew from 1 .*{advice}"):
        callback.on_epoch_end(2, {"loss": 2e6, "val_loss": 1.0})
    with pytest.raises(DivergedError, match=f"epoch 4: the loss is not finite .*{advice}"):
        callback.on_epoch_end(3, {"loss": 1.0, "val_loss": float("nan")})
