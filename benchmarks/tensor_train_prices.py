"""The test loss of LSTMs of tensor trains and of dense ones, on real prices.

    python -m benchmarks.tensor_train_prices

The settings of table 5.2 on the bundled ^GSPC, ten seeds. The dense LSTMs have as many units, or
as many parameters; printed are means over the seeds with 95 % intervals (Student's t), the ratios
being paired by seed, of logarithms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from stock_rnn.config import Config
from stock_rnn.data import StockDataSet, dataset_of, prices_of
from stock_rnn.training.fit import compiled, fit_epochs, learning_rate_decay

SEEDS = range(10)

# Name -> settings; the first is what the others are compared with.
NETWORKS = {
    "tensor trains, 128 units, rank 4": {"cell": "tt-lstm", "lstm_size": 128, "tt_rank": 4},
    "dense, 19 units: as many parameters": {"lstm_size": 19},
    "dense, 128 units": {"lstm_size": 128},
}


def losses(settings: dict[str, Any], dataset: StockDataSet) -> tuple[int, np.ndarray]:
    """The number of parameters, and the test loss after the last epoch by seed."""
    found = []
    for seed in SEEDS:
        config = Config(seed=seed, hessian_every=0, **settings)
        model, trainer = compiled(config, dataset)
        fit_epochs(trainer, config, [learning_rate_decay(config)])
        found.append(trainer.test())
    return model.count_params(), np.array(found)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean and its 95 % interval."""
    mean, half = values.mean(), stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return mean, mean - half, mean + half


def main() -> None:
    """Print the table."""
    config = Config()
    dataset = dataset_of(config, prices_of(config))
    print(f"persistence {dataset.persistence_loss(dataset.test):.3g}")
    first = None
    for name, settings in NETWORKS.items():
        parameters, found = losses(settings, dataset)
        first = found if first is None else first
        mean, low, high = interval(found)
        ratio = np.exp(interval(np.log(first / found)))
        print(
            f"{name:38} {parameters:7,}  {mean:.3g} [{low:.3g}, {high:.3g}]  "
            f"ratio {ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
