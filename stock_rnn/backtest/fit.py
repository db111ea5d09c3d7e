"""One fit: training on what was known, then the forecasts until the next fit.

A fit can see no price of its test examples while it trains: the data set that it trains on is
made of the prices before them, and of nothing else.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stock_rnn.backtest.plan import Fit
from stock_rnn.config import Config
from stock_rnn.data import StockDataSet, dataset_of, series_of
from stock_rnn.data.splits import split_off_validation
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.terminal import quiet_import
from stock_rnn.workers.environment import use_one_thread
from stock_rnn.workers.isolated import (
    answer_request,
    ask_new_process,
    prices_from_json,
    prices_to_json,
)

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitTask:
    """A fit as a worker gets it.

    Attributes:
        config: the settings of the training.
        fit: what trains and what is forecast.
        model: "last" or "best", as `plan.Walk`.
        dropout: whether Monte-Carlo dropout's spread is asked for.
        keep_weights: whether the next fit starts from the weights of this one.
    """

    config: Config
    fit: Fit
    model: str = "last"
    dropout: bool = False
    keep_weights: bool = False

    def cost(self) -> float:
        """Its duration in units of its own, for the time left: examples in all its epochs."""
        return 2000.0 + (self.fit.end - self.fit.first) * self.config.max_epoch

    def to_json(self) -> dict[str, Any]:
        """The fields for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> FitTask:
        """The inverse of `to_json`."""
        fit = {**content["fit"], "starts": tuple(content["fit"]["starts"])}
        config = Config.from_dict(content["config"])
        return cls(**{**content, "fit": Fit(**fit), "config": config})


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What is kept of a fit.

    Attributes:
        forecasts: the model (`comparison.MODEL`) and each baseline -> (k, N) forecasts of the
            fit's k test examples, in the labels' units.
        spread: (k, N), standard deviation of the model's forecasts with dropout on; of shape
            (0, N) if it was not asked for.
        epochs: how many were trained.
        best_epoch: the one of the lowest validation or, without validation, training loss.
        scale: the mean absolute and the mean squared relative change of the prices that it
            was trained on, as `accuracy.Scale`.
        seconds: duration.
        weights: of the network that forecasts; empty if no other fit starts from them.
    """

    forecasts: dict[str, FloatArray]
    spread: FloatArray
    epochs: int
    best_epoch: int
    scale: tuple[float, float]
    seconds: float
    weights: tuple[NDArray[np.float32], ...] = ()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays by name, for an .npz file."""
        numbers = [self.epochs, self.best_epoch, *self.scale, self.seconds]
        return {
            "numbers": np.array(numbers, np.float64),
            "spread": self.spread,
            **{f"forecast/{name}": values for name, values in self.forecasts.items()},
            **{f"weights/{i}": values for i, values in enumerate(self.weights)},
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> Fitted:
        """The inverse of `to_arrays`.

        Raises:
            KeyError, ValueError: an array is missing or of another shape.
        """
        epochs, best, absolute, squared, seconds = arrays["numbers"].tolist()
        prefix = "forecast/"
        found = [name for name in arrays if name.startswith("weights/")]
        return cls(
            forecasts={
                name.removeprefix(prefix): arrays[name]
                for name in arrays
                if name.startswith(prefix)
            },
            spread=arrays["spread"],
            epochs=int(epochs),
            best_epoch=int(best),
            scale=(absolute, squared),
            seconds=seconds,
            weights=tuple(arrays[f"weights/{i}"] for i in range(len(found))),
        )


def all_examples(config: Config, prices: Prices) -> StockDataSet:
    """The data set of all prices; its split is of no use in a backtest.

    Raises:
        UserError: too few prices for two examples.
    """
    unsplit = dataclasses.replace(
        config, split="chronological", test_ratio=0.5, validation_ratio=0.0, early_stopping=0
    )
    return dataset_of(unsplit, prices)


def dataset_before(config: Config, prices: Prices, first: int, end: int) -> StockDataSet:
    """The data set as it was before example `end` could be known.

    It is made of the prices before that example's label. The examples have the numbers that
    they have in the data set of all prices, and their inputs and labels have the same bits.

    Args:
        config: the settings; its split is not used.
        prices: all of them, or the known ones at least.
        first, end: of the examples first, ..., end - 1 the newest validate, if the settings
            say so, and the others train.

    Returns:
        Its test examples are its training examples: what is watched while training without
        validation must be known too.

    Raises:
        UserError: nothing is left to train or to validate on.
    """
    dates, values = series_of(prices, open_and_close=config.open_and_close)
    size = config.input_size
    begin = len(values) % size if config.align == "newest" else 0
    known = slice(begin, begin + (end + config.num_steps) * size)
    dataset = StockDataSet(
        values[known],
        dates[known],
        input_size=size,
        num_steps=config.num_steps,
        normalized=config.normalized,
        # Of more than one example half would test: the split is replaced below.
        test_ratio=0.5,
        symbol=prices.symbol,
    )
    examples = np.arange(first, end, dtype=np.int32)
    dataset.train, dataset.validation = split_off_validation(examples, config.validation_ratio)
    if not len(dataset.train):
        raise UserError(
            f"{prices.symbol}: {end - first} examples are too few to train and validate on: take "
            "a longer span, another --initial or a smaller --validation-ratio"
        )
    dataset.test = dataset.train
    return dataset


def run_fit(task: FitTask, prices: Prices, weights: tuple[NDArray[np.float32], ...] = ()) -> Fitted:
    """Train and forecast in a worker process, on one thread: the same task, the same bits.

    Args:
        task: what is to be done.
        prices: of the whole backtest.
        weights: that the network starts from; empty: the initial ones of the seed.

    Raises:
        UserError: the loss diverges, or too few prices.
        RuntimeError: TensorFlow already runs with several threads.
    """
    with quiet_import():
        import keras
    use_one_thread()
    # Every fit builds new graphs; TensorFlow would warn that this is a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return train_and_forecast(task, prices, weights)
    finally:
        # Graphs of finished fits would fill the memory of a long-lived worker.
        keras.backend.clear_session()


def run_in_new_process(
    task: FitTask, prices: Prices, weights: tuple[NDArray[np.float32], ...] = ()
) -> Fitted:
    """`run_fit` in a new Python process, for the workers of a Dask cluster.

    Raises:
        RuntimeError: the process failed; the message ends with its standard error.
    """
    arrays = {f"weights/{i}": values for i, values in enumerate(weights)}
    request = {
        "task": task.to_json(),
        "prices": prices_to_json(prices),
        "weights": _packed(arrays),
    }
    answer = ask_new_process("stock_rnn.backtest.fit", request)
    if "error" in answer:
        raise UserError(answer["error"])
    return Fitted.from_arrays(_unpacked(answer["fitted"]))


def train_and_forecast(
    task: FitTask, prices: Prices, weights: tuple[NDArray[np.float32], ...] = ()
) -> Fitted:
    """As `run_fit`, on as many threads as TensorFlow has."""
    from stock_rnn.forecasting.accuracy import Scale
    from stock_rnn.forecasting.baselines import fit_baselines
    from stock_rnn.forecasting.comparison import MODEL

    began = time.perf_counter()
    config, fit = task.config, task.fit
    known = dataset_before(config, prices, fit.first, fit.end)
    model, checkpoint = _train(config, known, weights)
    if task.model == "best":
        model.set_weights(checkpoint.best_weights)
    everything = all_examples(config, prices)
    examples = np.arange(fit.end, fit.stop, dtype=np.int32)
    inputs = everything.inputs(examples).astype(np.float32)
    forecasts = {MODEL: np.asarray(model(inputs, training=False), np.float64)}
    for name, baseline in fit_baselines(known).items():
        forecasts[name] = np.asarray(baseline.predict_examples(everything, examples), np.float64)
    if not all(np.isfinite(values).all() for values in forecasts.values()):
        raise UserError(f"{_name(fit, everything)}: a forecast is not finite: lower the rate")
    spread = np.empty((0, config.input_size))
    scale = Scale.of_training(known)
    return Fitted(
        forecasts=forecasts,
        spread=dropout_spread(model, inputs, config.seed) if task.dropout else spread,
        epochs=checkpoint.epoch,
        best_epoch=checkpoint.best_epoch,
        scale=(scale.absolute, scale.squared),
        seconds=time.perf_counter() - began,
        weights=tuple(model.get_weights()) if task.keep_weights else (),
    )


def _train(
    config: Config, known: StockDataSet, weights: tuple[NDArray[np.float32], ...]
) -> tuple[Any, Any]:
    """Train on a data set; the model after the last epoch, and the checkpoint with the best."""
    from stock_rnn.training.callbacks import (
        Checkpoint,
        DivergedError,
        EarlyStopping,
        StopOnDivergence,
    )
    from stock_rnn.training.fit import compiled, fit_epochs, learning_rate_decay

    model, trainer = compiled(config, known)
    if weights:
        model.set_weights(weights)
    with tempfile.TemporaryDirectory() as folder:
        # The callbacks of a run, so that the best epoch and the last are those of a run.
        checkpoint = Checkpoint(
            Path(folder) / "checkpoint.npz",
            monitor="val_loss" if config.validation_ratio else "loss",
        )
        callbacks: list[Any] = [
            learning_rate_decay(config),
            StopOnDivergence(config.init_learning_rate),
            checkpoint,
        ]
        if config.early_stopping:
            callbacks.append(EarlyStopping(checkpoint, config.early_stopping))
        try:
            fit_epochs(trainer, config, callbacks)
        except DivergedError as error:
            raise UserError(f"the fit on {known.describe()}: {error}") from error
    return model, checkpoint


def _name(fit: Fit, dataset: StockDataSet) -> str:
    day = dataset.label_dates(np.array([fit.end]))[0, 0].astype("datetime64[D]")
    return f"the fit for {day} and later"


def dropout_spread(model: Any, inputs: NDArray[np.float32], seed: int) -> FloatArray:
    """The standard deviation of forecasts with dropout on, each pass with masks of its own.

    Args:
        model: (k, T, N) -> (k, N), with dropout layers; their generators are seeded here.
        inputs: (k, T, N).
        seed: of the masks.

    Returns:
        (k, N): √(Σ (f_s - f̄)² / (S - 1)) over S = `intervals.DROPOUT_PASSES` passes.
    """
    import keras
    import tensorflow as tf

    from stock_rnn.forecasting.intervals import DROPOUT_PASSES

    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Dropout):
            drawn = np.random.SeedSequence([seed, number]).generate_state(2)
            state = layer.seed_generator.state
            state.assign(drawn.astype(state.dtype))
    forward = tf.function(model)
    passes = [forward(tf.constant(inputs), training=True) for _ in range(DROPOUT_PASSES)]
    return np.std(np.asarray(passes, np.float64), axis=0, ddof=1)


def _packed(arrays: dict[str, Any]) -> str:
    """Arrays as text, with every bit."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return base64.b64encode(content.getvalue()).decode()


def _unpacked(text: str) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False) as arrays:
        return dict(arrays)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    arrays = _unpacked(request["weights"])
    weights = tuple(arrays[f"weights/{i}"] for i in range(len(arrays)))
    task = FitTask.from_json(request["task"])
    try:
        fitted = run_fit(task, prices_from_json(request["prices"]), weights)
    except UserError as error:
        return {"error": str(error)}
    return {"fitted": _packed(fitted.to_arrays())}


if __name__ == "__main__":
    answer_request(_answer)
