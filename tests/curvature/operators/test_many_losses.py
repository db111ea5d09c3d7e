import keras
import numpy as np
import pytest
from keras import layers

from stock_rnn.curvature import HessianOperator

RNG = np.random.default_rng(0)
EXAMPLES = 7


def shift(model, vector):
    start = 0
    for variable in model.trainable_variables:
        size = int(np.prod(variable.shape))
        variable.assign(variable.numpy() + vector[start : start + size].reshape(variable.shape))
        start += size


@pytest.mark.parametrize(("unroll", "batch_size"), [(True, 3), (False, None)])
def test_the_losses_at_many_points_are_those_of_models_with_these_weights(unroll, batch_size):
    cell = layers.LSTMCell(3)
    model = keras.Sequential(
        [keras.Input((4, 2)), layers.RNN(cell, unroll=unroll), layers.Dropout(0.5), layers.Dense(1)]
    )
    x, y = RNG.normal(size=(EXAMPLES, 4, 2)), RNG.normal(size=(EXAMPLES, 1))
    operator = HessianOperator(model, "mse", x, y, batch_size=batch_size)
    points = RNG.normal(size=(10, operator.parameters))
    found = operator.losses_at(points)
    model.compile(loss="mse")
    assert len(found) == 10
    for point, loss in [(points[k], found[k]) for k in (0, 7, 9)]:
        shift(model, point)
        assert model.evaluate(x, y, verbose=0) == pytest.approx(loss, rel=1e-5)
        shift(model, -point)


def test_displacements_of_another_shape_are_refused():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    operator = HessianOperator(model, "mse", np.zeros((EXAMPLES, 2)), np.zeros((EXAMPLES, 1)))
    with pytest.raises(ValueError, match=r"must be \(k, 3\)\. Received: shape=\(4,\)"):
        operator.losses_at(np.zeros(4))
