import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from stock_rnn.config import FIRST_ORDER
from stock_rnn.config.choices import SHUFFLES
from stock_rnn.data import StockDataSet
from stock_rnn.network import build_model
from stock_rnn.optimizers import make_optimizer
from stock_rnn.training import epochs
from stock_rnn.training.epochs import EpochTrainer
from tests.samples import sampled


@pytest.fixture
def dataset():
    prices = np.exp(np.random.default_rng(0).normal(scale=0.05, size=300).cumsum())
    return StockDataSet(prices, input_size=2, num_steps=3)


def compiled(*, optimizer="rmsprop", rate=0.01, seed=0, clipping=None, **options):
    keras.utils.set_random_seed(seed)
    model = build_model(**{"input_size": 2, "num_steps": 3, "lstm_size": 4, **options})
    model.compile(
        optimizer=make_optimizer(optimizer, rate, clipping=clipping), loss="mse", jit_compile=False
    )
    model.optimizer.build(model.trainable_variables)
    return model


def trainer_of(model, dataset, batch_size=16, shuffle="batches", seed=5):
    return EpochTrainer(model, dataset, batch_size=batch_size, shuffle=shuffle, seed=seed)


# Each optimizer with one way to shuffle and to clip, Adam with both: it has the most state.
OPTIMIZERS = [
    *zip((name for name in FIRST_ORDER if name != "gd"), itertools.cycle(SHUFFLES)),
    ("adam", "windows"),
]
# Each kind of state that an optimizer has, and both ways to shuffle and to clip.
TYPICAL = [
    pair for pair in OPTIMIZERS if pair[0] in ("sgd", "rmsprop-tf1") or pair == ("adam", "windows")
]


@pytest.mark.parametrize(("optimizer", "shuffle"), sampled(OPTIMIZERS, TYPICAL))
def test_an_epoch_in_one_graph_equals_a_loop_over_its_batches(dataset, optimizer, shuffle):
    assert len(dataset.train) % 16, "a short last batch is part of the test"
    clipping = {"batches": {"clipnorm": 0.01}, "windows": {"clipvalue": 0.001}}[shuffle]
    fast, slow = (compiled(keep_prob=1.0, optimizer=optimizer, clipping=clipping) for _ in range(2))
    trainer = trainer_of(fast, dataset, shuffle=shuffle)
    for epoch in range(3):
        logs = trainer.train(epoch)
        for X, y in dataset.generate_one_epoch(16, epoch=epoch, seed=5, shuffle=shuffle):
            slow.train_on_batch(X, y)
        expected = np.mean((slow.predict(dataset.test_X, verbose=0) - dataset.test_y) ** 2)
        assert logs["val_loss"] == pytest.approx(expected, rel=1e-4)
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_clipped_steps_of_gradient_descent_are_no_longer_than_rate_times_norm(dataset):
    model = compiled(keep_prob=1.0, optimizer="sgd", rate=0.5, clipping={"clipnorm": 1e-3})
    before = model.get_weights()
    trainer_of(model, dataset).train(0)
    steps = -(-len(dataset.train) // 16)
    moved = [np.linalg.norm(b - a) for a, b in zip(before, model.get_weights(), strict=True)]
    assert max(moved) <= steps * 0.5 * 1e-3 * 1.001
    # The head's bias goes one way, in steps of that length.
    assert moved[-1] > 0.9 * steps * 0.5 * 1e-3


def test_batches_are_normalized_by_their_own_examples_a_short_one_too(dataset):
    assert len(dataset.train) % 16
    options = {"norm": "batch", "num_layers": 2, "keep_prob": 1.0, "optimizer": "sgd"}
    fast, slow = (compiled(**options, rate=0.1) for _ in range(2))
    trainer = trainer_of(fast, dataset)
    for epoch in range(2):
        trainer.train(epoch)
        for X, y in dataset.generate_one_epoch(16, epoch=epoch, seed=5):
            slow.train_on_batch(X, y)
    # The moving means too.
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def dropped_steps(model, batches, masks):
    """Gradient descent at rate 0.5 by eager operations, with masks in place of dropout."""
    for batch, (X, y) in enumerate(batches):
        with tf.GradientTape() as tape:
            x, number = tf.constant(X, tf.float32), 0
            for layer in model.layers[1:]:
                if isinstance(layer, keras.layers.Dropout):
                    kept = masks[number][batch][: len(X)]
                    x, number = x * kept / (1 - layer.rate), number + 1
                else:
                    x = layer(x)
            loss = tf.reduce_mean(tf.square(x - y.astype(np.float32)))
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.5 * gradient)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_dropout_keeps_of_the_outputs_of_each_layer_what_the_masks_say(dataset, cell):
    options = {"num_layers": 2, "keep_prob": 0.5, "cell": cell}
    fast = compiled(optimizer="sgd", rate=0.5, **options)
    slow = compiled(optimizer="sgd", rate=0.5, **options)
    trainer = trainer_of(fast, dataset)
    trainer.train(4)
    batches = dataset.generate_one_epoch(16, epoch=4, seed=5)
    dropped_steps(slow, batches, trainer.masks(4))
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_masks_keep_their_share_and_are_fresh(dataset):
    trainer = trainer_of(compiled(num_layers=2, lstm_size=32, keep_prob=0.8), dataset)
    first, second = trainer.masks(0)
    assert (first.shape, second.shape) == ((9, 16, 3, 32), (9, 16, 32))
    for mask in (first, second):
        # Six standard deviations of a share of 0.8.
        assert mask.mean() == pytest.approx(0.8, abs=6 * 0.4 / np.sqrt(mask.size))
    # Two masks that are independent agree in 0.68 of their values.
    others = [
        (first[0], first[1]), (first[:, 0], first[:, 1]), (first[:, :, 0], first[:, :, 1]),
        (first[:, :, -1], second), (first, trainer.masks(1)[0]),
        (first, trainer.masks(0, 9)[0]),
    ]  # fmt: skip
    for a, b in others:
        assert (a == b).mean() == pytest.approx(0.68, abs=6 * 0.47 / np.sqrt(a.size))
    np.testing.assert_array_equal(trainer.masks(0)[0], first)


def test_masks_of_few_batches_at_a_time(dataset, monkeypatch):
    monkeypatch.setattr(epochs, "_MASK_BYTES", 4 * 16 * 4 * 5)
    fast, slow = (compiled(optimizer="sgd", rate=0.5, keep_prob=0.5) for _ in range(2))
    trainer = trainer_of(fast, dataset)
    trainer.train(4)
    # 9 batches in two parts of five.
    drawn = [trainer.masks(4, first)[0] for first in (0, 5)]
    assert drawn[0].shape == (5, 16, 4)
    batches = dataset.generate_one_epoch(16, epoch=4, seed=5)
    dropped_steps(slow, batches, [np.concatenate(drawn)])
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_epochs_loss_is_the_mean_over_its_examples(dataset):
    model = compiled(rate=0.0, keep_prob=1.0)
    loss = trainer_of(model, dataset, batch_size=50).train(0)["loss"]
    predicted = model(tf.constant(dataset.train_X, tf.float32), training=False)
    assert loss == pytest.approx(np.mean((predicted - dataset.train_y) ** 2), rel=1e-5)


def test_a_validation_set_takes_the_place_of_the_test_set(dataset, monkeypatch):
    monkeypatch.setattr(epochs, "_MONITORED_BATCH", 7)
    prices = np.exp(np.random.default_rng(1).normal(scale=0.05, size=300).cumsum())
    dataset = StockDataSet(prices, input_size=2, num_steps=3, validation_ratio=0.2)
    model = compiled(rate=0.0)
    x = dataset.inputs(dataset.validation).astype(np.float32)
    expected = np.mean((model(x, training=False) - dataset.labels(dataset.validation)) ** 2)
    # Over ragged batches too, it is the mean over the examples.
    assert len(dataset.validation) % 7
    assert trainer_of(model, dataset).train(0)["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_batch_larger_than_the_training_set_is_the_training_set(dataset):
    model = compiled(keep_prob=1.0, optimizer="sgd", rate=0.1)
    other = compiled(keep_prob=1.0, optimizer="sgd", rate=0.1)
    trainer_of(model, dataset, batch_size=10_000).train(0)
    trainer_of(other, dataset, batch_size=len(dataset.train)).train(0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_largest_seed_draws_masks_of_its_own(dataset):
    seeds = (2**32 - 1, 2**31 - 1, 0)
    masks = [trainer_of(compiled(), dataset, seed=seed).masks(0)[0] for seed in seeds]
    assert not any((a == b).all() for a, b in itertools.pairwise(masks))


COMPILED = {
    "three cells": ({"num_steps": 3}, 200),
    "a loop over the steps": ({"num_steps": 4, "unroll": False}, 10),
    "many cells": ({"num_steps": 16}, None),
    "a loop over many weights": ({"num_steps": 4, "unroll": False, "lstm_size": 70}, None),
}


@pytest.mark.parametrize("case", sampled(COMPILED, list(COMPILED)[1:3]))
def test_where_it_pays_a_graph_is_compiled_late_in_a_training(case, monkeypatch):
    options, since = COMPILED[case]
    prices = np.exp(np.random.default_rng(0).normal(scale=0.05, size=100).cumsum())
    data = StockDataSet(prices, num_steps=options["num_steps"])
    trainer = trainer_of(compiled(input_size=1, **options), data)
    made = []
    graph = epochs._graph
    monkeypatch.setattr(epochs, "_graph", lambda *of, **how: made.append(how) or graph(*of, **how))
    trainer.train(0 if since is None else since - 1)
    assert made == []
    if since is None:
        trainer.train(100_000)
        assert made == []
    else:
        trainer.train(since)
        trainer.train(since + 1)
        assert made == [{"compiled": True}]


def test_compiled_it_trains_as_before(dataset):
    weights = []
    for compiled_from in (0, np.inf):
        trainer = trainer_of(compiled(cell="simple_rnn", keep_prob=0.8), dataset)
        trainer._compiled_from = compiled_from
        for epoch in range(3):
            trainer.train(epoch)
        weights.append(trainer.model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
