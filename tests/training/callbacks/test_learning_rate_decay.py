import keras
import numpy as np
import pytest

from stock_rnn.training.callbacks.learning_rate_decay import (
    LearningRateDecay,
    decayed_learning_rate,
)


def test_the_schedule_of_section_5_1():
    rates = [
        decayed_learning_rate(e, init_learning_rate=0.001, learning_rate_decay=0.99, init_epoch=5)
        for e in range(50)
    ]
    assert rates[:5] == [0.001] * 5
    assert rates[5] == pytest.approx(0.00099)
    assert rates[6] == pytest.approx(0.0009801)
    assert rates[49] == pytest.approx(0.001 * 0.99**45)


def test_the_callback_sets_and_logs_the_rate_of_each_epoch():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(9.0), loss="mse")
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(float(model.optimizer.learning_rate))
    )
    x = np.zeros((4, 1))
    decay = LearningRateDecay(0.1, 0.5, 1)
    history = model.fit(x, x, epochs=4, initial_epoch=1, verbose=0, callbacks=[decay, spy])
    assert seen == pytest.approx([0.05, 0.025, 0.0125])
    assert history.history["learning_rate"] == pytest.approx(seen)
