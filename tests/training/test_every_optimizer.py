"""Every cell with every optimizer: it trains, is measured, is saved, goes on to the same bits."""

import keras
import numpy as np
import pytest

from stock_rnn.config import CELLS, OPTIMIZERS, SECOND_ORDER, Config
from stock_rnn.curvature import HessianCallback, HessianOperator, load_measurements
from stock_rnn.curvature.operators.preconditioned import preconditioned, stability_line
from stock_rnn.data import StockDataSet
from stock_rnn.training.callbacks import Checkpoint
from stock_rnn.training.fit import compiled, fit_epochs, learning_rate_decay

PRICES = np.exp(np.random.default_rng(0).normal(scale=0.05, size=32).cumsum())
DATA = StockDataSet(PRICES, num_steps=2)


def config_of(**settings):
    return Config(
        **{"num_steps": 2, "lstm_size": 2, "batch_size": 9, "init_learning_rate": 0.05, **settings}
    )


def train(trainer, config, callbacks=(), first_epoch=0):
    callbacks = [learning_rate_decay(config), *callbacks]
    fit_epochs(trainer, config, callbacks, first_epoch=first_epoch)


# Every option of the recurrent stack and of clipping is in one of them.
OPTIONS = {
    "none": {},
    "leaky": {"activation": "leaky_relu", "kernel_initializer": "he_normal", "clipnorm": 0.1},
    "layer": {"activation": "elu", "norm": "layer", "clipvalue": 0.01, "forget_bias": 3.0},
    "batch": {"activation": "sigmoid", "norm": "batch", "recurrent_initializer": "random_normal"},
    "two": {"activation": "linear", "num_layers": 2, "norm": "layer", "perturb_radius": 0.1},
}


def combinations():
    """Every cell, optimizer and option; a sample has each cell and option."""
    for c, cell in enumerate(CELLS):
        for o, optimizer in enumerate(OPTIMIZERS):
            for number, option in enumerate(OPTIONS):
                if option == "batch" and optimizer in SECOND_ORDER:
                    continue
                sampled = (3 * c + o) % 4 == 0 and number == (c + o) % len(OPTIONS)
                yield pytest.param(
                    cell, optimizer, option, marks=() if sampled else pytest.mark.zoo
                )


@pytest.mark.parametrize(("cell", "optimizer", "option"), list(combinations()))
def test_an_epoch_moves_every_weight(cell, optimizer, option):
    config = config_of(
        cell=cell, optimizer=optimizer, max_epoch=1, keep_prob=1.0, **OPTIONS[option]
    )
    model, trainer = compiled(config, DATA)
    before = model.get_weights()
    train(trainer, config)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    steps = 1 if optimizer in ("gd", *SECOND_ORDER) else -(-len(DATA.train) // 9)
    assert int(trainer.model.optimizer.iterations) == steps


ALWAYS = {"perturb_radius": 0.1, "seed": 2**32 - 1}
# No batch's gradient is as large: noise comes in every third step.
STUCK = {"perturb_radius": 0.1, "perturb": "stuck", "perturb_threshold": 9.0, "perturb_interval": 2}


# In the sample with no option; RMSProp and Adam have some below.
ALONE = ("sgd", "saddle-free-newton")


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        *(pytest.param(n, {}, marks=pytest.mark.zoo) for n in OPTIMIZERS if n not in ALONE),
        *((name, {}) for name in ALONE),
        ("rmsprop", {**ALWAYS, "norm": "layer", "activation": "elu", "forget_bias": 2.0}),
        ("rmsprop-tf1", STUCK),
        ("adam", {**STUCK, "cell": "tt-lstm", "norm": "batch", "clipnorm": 0.1}),
    ],
)
def test_measured_saved_and_resumed_it_ends_in_the_same_bits(optimizer, options, tmp_path):
    short, long = (config_of(optimizer=optimizer, max_epoch=epochs, **options) for epochs in (1, 2))
    whole, trainer = compiled(short, DATA)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    x, y = DATA.curvature_sample(20)
    measure = HessianCallback(x, y, loss="mse", tol=0.5, spectrum_path=tmp_path / "spectrum.npz")
    train(trainer, short, [measure, checkpoint])
    assert [m.epoch for m in load_measurements(tmp_path / "spectrum.npz")] == [0, 1]
    # Its own coordinates, and the line that its top eigenvalue meets.
    used = trainer.model.optimizer
    if optimizer not in SECOND_ORDER:
        assert preconditioned(HessianOperator(trainer.model, "mse", x, y), used).diagonal.min() > 0
        assert 0 < stability_line(used) < np.inf
    train(trainer, long, first_epoch=1)
    resumed, trainer = compiled(long, DATA)
    Checkpoint(checkpoint.path).restore(trainer.model)
    train(trainer, long, first_epoch=1)
    resumed.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for a, b in zip(whole.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
