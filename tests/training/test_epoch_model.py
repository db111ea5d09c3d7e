import keras
import numpy as np
import pytest
import tensorflow as tf

from stock_rnn.data import StockDataSet
from stock_rnn.network import build_model
from stock_rnn.optimizers import make_optimizer
from stock_rnn.training.epoch_model import EpochModel, training_epochs, validation_epochs


@pytest.fixture
def dataset():
    prices = np.exp(np.random.default_rng(0).normal(scale=0.05, size=300).cumsum())
    return StockDataSet(prices, input_size=2, num_steps=3)


def compiled(dataset, cls=None):
    keras.utils.set_random_seed(0)
    model = build_model(input_size=2, num_steps=3, lstm_size=4, keep_prob=1.0)
    if cls is not None:
        model = cls(model.inputs, model.outputs)
        model.attach(dataset)
    model.compile(optimizer=make_optimizer("rmsprop", 0.01), loss="mse", jit_compile=False)
    return model


def test_an_epoch_in_one_graph_equals_a_loop_over_its_batches(dataset):
    fast, slow = compiled(dataset, EpochModel), compiled(dataset)
    history = fast.fit(
        training_epochs(dataset, batch_size=16, shuffle="batches", seed=5),
        steps_per_epoch=1, epochs=3, shuffle=False, verbose=0,
        validation_data=validation_epochs(dataset, batch_size=5), validation_steps=1,
    ).history  # fmt: skip
    for epoch in range(3):
        for X, y in dataset.generate_one_epoch(16, epoch=epoch, seed=5):
            slow.train_on_batch(X, y)
        # Over ragged batches too, the test loss is the mean over the examples.
        expected = np.mean((slow.predict(dataset.test_X, verbose=0) - dataset.test_y) ** 2)
        assert history["val_loss"][epoch] == pytest.approx(expected, rel=1e-4)
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_epochs_loss_is_the_mean_over_its_examples(dataset):
    model = compiled(dataset, EpochModel)
    model.optimizer.learning_rate = 0.0
    loss = model.fit(
        training_epochs(dataset, batch_size=50, shuffle="batches", seed=0),
        steps_per_epoch=1, shuffle=False, verbose=0,
    ).history["loss"][0]  # fmt: skip
    predicted = model(tf.constant(dataset.train_X, tf.float32), training=False)
    assert loss == pytest.approx(np.mean((predicted - dataset.train_y) ** 2), rel=1e-5)
