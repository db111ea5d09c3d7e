"""The embedding of stocks, against the same network by hand."""

import keras
import numpy as np

from stock_rnn.network import EMBEDDING, JOINED, build_model
from tests.network.test_model import numpy_lstm

SMALL = {"input_size": 2, "num_steps": 4, "lstm_size": 5, "keep_prob": 0.5}


def test_the_row_of_a_stock_is_joined_to_its_windows_at_every_step():
    keras.utils.set_random_seed(0)
    model = build_model(**SMALL, symbols=3, embed_size=2)
    rng = np.random.default_rng(0)
    x, rows = rng.normal(size=(6, 4, 2)), np.array([0, 1, 2, 3, 3, 1])
    embedding, *lstm, kernel, bias = (w.astype(np.float64) for w in model.get_weights())
    joined = np.concatenate([x, np.repeat(embedding[rows][:, None], 4, axis=1)], axis=2)
    expected = numpy_lstm(joined, *lstm)[:, -1] @ kernel + bias
    found = model([x.astype(np.float32), rows], training=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert model.get_layer(JOINED).output.shape == (None, 4, 4)
    # (n + 1) E, then an LSTM that reads N + E.
    assert model.count_params() == 4 * 2 + 4 * 5 * (2 + 2 + 5 + 1) + (5 + 1) * 2


def test_the_embedding_begins_uniform_between_minus_one_and_one():
    keras.utils.set_random_seed(0)
    model = build_model(**SMALL, symbols=999, embed_size=10)
    (values,) = model.get_layer(EMBEDDING).get_weights()
    assert values.shape == (1000, 10)
    assert (np.abs(values) < 1).all()
    # Standard error of the mean 0.006, of the variance 0.003.
    assert abs(values.mean()) < 0.03
    assert abs(values.var() - 1 / 3) < 0.02


def test_the_initial_weights_of_tensorflow_1_count_the_embedding():
    model = build_model(**SMALL, symbols=3, embed_size=4, init="tf1")
    kernel = model.layers[-3].get_weights()[0]
    limit = np.sqrt(6 / (2 + 4 + 5 + 4 * 5))
    assert 0.9 * limit < np.abs(kernel).max() <= limit


def test_without_symbols_or_without_size_the_network_is_that_of_one_stock():
    for options in ({}, {"symbols": 3}, {"embed_size": 2}):
        keras.utils.set_random_seed(0)
        model = build_model(**SMALL, **options)
        assert [type(layer).__name__ for layer in model.layers] == [
            "InputLayer", "RNN", "Dropout", "Dense",
        ]  # fmt: skip
        weights = model.get_weights()
        if not options:
            first = weights
        for a, b in zip(first, weights, strict=True):
            np.testing.assert_array_equal(a, b)
