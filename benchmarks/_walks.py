"""One backtest in a process of its own: `python -m benchmarks._walks SYSTEM WALK.npz`.

It prints the seconds of the call, after imports, and the mean squared error of its forecasts.
Only what its system needs is imported.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Walk(NamedTuple):
    """A backtest, as every system gets it.

    Attributes:
        series: (n,) float32, windows of one price: the relative changes.
        starts: where in the series each fold begins, and a network is trained on all before.
        epochs: of each training.
    """

    series: np.ndarray
    starts: tuple[int, ...]
    epochs: int

    def write(self, path: Path) -> None:
        """As an .npz file."""
        np.savez(path, series=self.series, starts=self.starts, epochs=self.epochs)

    @classmethod
    def read(cls, path: Path) -> Walk:
        """What `write` wrote."""
        with np.load(path, allow_pickle=False) as found:
            return cls(found["series"], tuple(found["starts"].tolist()), int(found["epochs"]))


def ours(walk: Walk) -> dict[str, float]:
    """`walk_forward` on the bundled prices with its defaults: all files written."""
    from stock_rnn.backtest.plan import Walk as Folds
    from stock_rnn.backtest.run import walk_forward
    from stock_rnn.config import resolve
    from stock_rnn.forecasting.comparison import MODEL

    config = resolve(None, {"source": "bundled", "max_epoch": walk.epochs})
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = walk_forward(config, Folds(folds=len(walk.starts)), models_dir=folder)
        seconds = time.perf_counter() - began
    pooled = found.judged.comparison.to_frame().set_index("forecast")
    count = len(found.judged.forecasts)
    return {"call": seconds, "forecasts": count, "mse": float(pooled.loc[MODEL, "mse"])}


def darts(walk: Walk) -> dict[str, float]:
    """One call of `historical_forecasts`, which trains anew where a fold begins."""
    model, series = _darts_model_and_series(walk)

    def at_start_of_fold(
        counter: int,
        pred_time: int,
        train_series: Any,
        past_covariates: Any,
        future_covariates: Any,
    ) -> bool:
        return pred_time in walk.starts

    began = time.perf_counter()
    forecasts = model.historical_forecasts(
        series, start=walk.starts[0], retrain=at_start_of_fold, show_warnings=False
    )
    return _scored(walk, forecasts.values().ravel(), time.perf_counter() - began)


def darts_by_fold(walk: Walk) -> dict[str, float]:
    """As `darts`, by a call of `fit` and one of `historical_forecasts` a fold.

    Without training in it the latter forecasts all days of a fold at once.
    """
    model, series = _darts_model_and_series(walk)
    began, forecasts = time.perf_counter(), []
    for start, stop in itertools.pairwise((*walk.starts, len(series))):
        model = model.untrained_model()
        model.fit(series[:start])
        fold = model.historical_forecasts(
            series[:stop], start=start, retrain=False, show_warnings=False
        )
        forecasts.append(fold.values().ravel())
    return _scored(walk, np.concatenate(forecasts), time.perf_counter() - began)


def _darts_model_and_series(walk: Walk) -> tuple[Any, Any]:
    """The default preset's network and optimizer in darts, and the series."""
    import logging
    import warnings

    import torch
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    model = BlockRNNModel(
        model="LSTM",
        input_chunk_length=3,
        output_chunk_length=1,
        hidden_dim=32,
        n_rnn_layers=1,
        dropout=0.2,
        batch_size=64,
        n_epochs=walk.epochs,
        optimizer_cls=torch.optim.RMSprop,
        optimizer_kwargs={"lr": 0.001, "alpha": 0.9, "eps": 1e-7},
        random_state=0,
        pl_trainer_kwargs={
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "logger": False,
        },
    )
    return model, TimeSeries.from_values(walk.series)


def _scored(walk: Walk, forecasts: np.ndarray, seconds: float) -> dict[str, float]:
    errors = forecasts - walk.series[walk.starts[0] :]
    return {"call": seconds, "forecasts": len(errors), "mse": float(np.mean(np.square(errors)))}


SYSTEMS: dict[str, Callable[[Walk], dict[str, float]]] = {
    "ours": ours,
    "darts": darts,
    "darts by fold": darts_by_fold,
}

if __name__ == "__main__":
    print(json.dumps(SYSTEMS[sys.argv[1]](Walk.read(Path(sys.argv[2])))))
