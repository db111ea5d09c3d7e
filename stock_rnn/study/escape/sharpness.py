"""Batch sharpness and λ_max at the end of the report's trainings, against the stability lines."""

from __future__ import annotations

import math
from typing import Any

from stock_rnn.config import Config
from stock_rnn.data import dataset_of
from stock_rnn.prices import Prices

#: The optimizers, and seeds of each.
OPTIMIZERS = ("sgd", "momentum", "adagrad", "rmsprop", "rmsprop-tf1", "adam")
SEEDS = 2

#: Mini-batches that are measured at the end of a training.
BATCHES = 8

#: What is kept of the measurement: name in the record -> name of `SharpnessCallback`'s scalar.
KEPT = {
    "lambda_max": "lambda_1",
    "seen": "seen_1",
    "line": "line",
    "batch_sharpness": "batch_sharpness",
    "batch_sharpness_error": "batch_sharpness_error",
    "batch_lambda_max": "batch_mean_lambda_max",
    "batch_lambda_max_error": "batch_mean_lambda_max_error",
}


def measure(optimizer: str, seed: int, data: dict[str, Any], prices: Prices) -> dict[str, Any]:
    """Train as the report does, 1 x 32 and 50 epochs, and measure at the end.

    Mini-batches are measured as the steps compute them, dropout on, and as the optimizer sees
    them, preconditioned by its state.

    Returns:
        "optimizer", "seed", and the names of `KEPT`; null for what is not known.
    """
    from stock_rnn.curvature import SharpnessCallback
    from stock_rnn.training.fit import compiled, fit_epochs, learning_rate_decay

    config = Config(**data, optimizer=optimizer, seed=seed, hessian_every=0)
    dataset = dataset_of(config, prices)
    _, trainer = compiled(config, dataset)
    sharpness = SharpnessCallback(
        dataset.train_X.astype("float32"),
        dataset.train_y.astype("float32"),
        every=config.max_epoch,
        batches=BATCHES,
        training_batch_size=config.batch_size,
        negative_steps=0,
        loss="mse",
        seed=seed,
    )
    fit_epochs(trainer, config, [learning_rate_decay(config), sharpness])
    found = sharpness.measurements[-1].scalars()
    values = {name: float(found[of]) for name, of in KEPT.items()}
    return {
        "optimizer": optimizer,
        "seed": seed,
        **{name: value if math.isfinite(value) else None for name, value in values.items()},
    }
