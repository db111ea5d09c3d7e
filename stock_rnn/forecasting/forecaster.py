"""A trained run, loaded to predict."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

import stock_rnn.network  # noqa: F401  Its layers are then known to `load_model`.
from stock_rnn.config import Config
from stock_rnn.data import StockDataSet, StocksDataSet, base_prices, series_of
from stock_rnn.data.stocks import UNSEEN_ROW
from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.training import runs
from stock_rnn.training.runs import Run
from stock_rnn.training.runs.reading import reading

#: What to do where the folder of a run cannot be written.
WRITE_ELSEWHERE = "make it writable or make room, or evaluate a copy of the run elsewhere"

_BATCH = 4096

# Far more than any model of this package takes. A malicious archive could fill the memory.
_MAX_UNPACKED_BYTES = 8 * 2**30


@dataclasses.dataclass(frozen=True)
class Forecaster:
    """A run's trained model, ready to predict.

    Attributes:
        run: where it comes from.
        config: the settings it was trained with.
        model: a Keras model, (batch, T, N) -> (batch, N); with an embedding of stocks it also
            reads the embedding's row, (batch,).
        which: "last" or "best", as in `load_run`.
        symbols: the stocks that the run was trained on, if they were several.
        row: of the embedding, for windows of which no stock is known.
    """

    run: Run
    config: Config
    model: keras.Model
    which: str = "last"
    symbols: tuple[str, ...] = ()
    row: int = UNSEEN_ROW

    def of(self, symbol: str) -> Forecaster:
        """The same for a stock: with its row of the embedding, or that for unseen stocks."""
        known = symbol in self.symbols
        row = self.symbols.index(symbol) + 1 if known else UNSEEN_ROW
        return dataclasses.replace(self, row=row)

    def describe_unseen(self, symbol: str) -> str | None:
        """One line on a stock that is not among the several of the training; None if it is."""
        if not self.symbols or symbol in self.symbols:
            return None
        how = (
            "the embedding's row for unseen stocks stands for it, the mean of theirs"
            if self.config.embedded
            else "the network has no embedding, and treats it as one of them"
        )
        return f"{symbol} is not among the {len(self.symbols)} stocks of the training: {how}"

    @property
    def title(self) -> str:
        """The run and which of its models this is, for pictures."""
        return f"{self.run.name}, {self.which} epoch's model"

    def folder_in(self, folder: Path) -> Path:
        """Where in a folder the results of this model go: those of `best` in `best/`."""
        return folder if self.which == "last" else folder / self.which

    def predict(self, prices: Prices | ArrayLike) -> NDArray[np.float64]:
        """Predict the N prices that follow.

        Args:
            prices: (m,), oldest first, m >= T·N + 1 if the run is normalized,
                else T·N; the newest ones are used. Of `Prices` the closes, and the opens
                in turn with them if the run was trained so. With an embedding their symbol
                tells the row; of other prices it is `row`.

        Returns:
            (N,) prices.

        Raises:
            UserError: too few prices, one that is not positive and finite, or no opening
                prices where the run reads them.
        """
        inputs, last = self.newest_windows(prices)
        stock = self.of(prices.symbol) if isinstance(prices, Prices) else self
        predicted = stock.predict_windows(inputs)[0]
        return (predicted + 1.0) * last if self.config.normalized else predicted

    def newest_windows(self, prices: Prices | ArrayLike) -> tuple[NDArray[np.float64], float]:
        """The network's input at the newest prices, and the last of them.

        Args:
            prices: as of `predict`.

        Returns:
            (1, T, N), in the units that the network reads; a price.

        Raises:
            UserError: as `predict`.
        """
        if isinstance(prices, Prices):
            prices = series_of(prices, open_and_close=self.config.open_and_close)[1]
        prices = np.asarray(prices, dtype=np.float64)
        count, size = self.config.num_steps, self.config.input_size
        needed = count * size + self.config.normalized
        if prices.ndim != 1 or len(prices) < needed:
            raise UserError(
                f"predict needs {needed} prices in one dimension. Received: shape {prices.shape}"
            )
        if not (np.isfinite(prices).all() and (prices > 0).all()):
            raise UserError("predict needs positive and finite prices")
        windows = prices[-count * size :].reshape(count, size)
        if not self.config.normalized:
            return windows[None], float(prices[-1])
        # Unlike in a data set, the price before the first window is known.
        bases = base_prices(windows)
        bases[0] = prices[-count * size - 1]
        return (windows / bases[:, None] - 1.0)[None], float(prices[-1])

    def predict_examples(
        self, dataset: StockDataSet, examples: NDArray[np.integer], *, dropout: bool = False
    ) -> NDArray[np.float64]:
        """Predictions (k, N) for examples of a data set, in the units of its labels.

        Args:
            dataset: whose units the model was trained in; of the run's several stocks, or of
                one, which `row` is of.
            examples: (k,), k >= 1.
            dropout: whether it is on, as in training; the same masks each time.
        """
        if dropout:
            self.begin_masks()
        parts = []
        for start in range(0, len(examples), _BATCH):
            part = examples[start : start + _BATCH]
            rows = dataset.rows(part) if isinstance(dataset, StocksDataSet) else None
            parts.append(self.predict_windows(dataset.inputs(part), rows, dropout=dropout))
        return np.concatenate(parts)

    def predict_windows(
        self,
        windows: NDArray[np.floating],
        rows: NDArray[np.int32] | None = None,
        *,
        dropout: bool = False,
    ) -> NDArray[np.float64]:
        """Predictions (k, N) for inputs (k, T, N).

        Args:
            windows: in the units that the network reads.
            rows: (k,), of the embedding if the network has one; without them that of the
                forecaster's own stock.
            dropout: whether it is on; then each row has masks of its own, others each time.
        """
        predict = self._predict_with_dropout if dropout else self.model.predict_on_batch
        return np.asarray(predict(self._read(windows, rows)), np.float64)

    def _read(self, windows: NDArray[np.floating], rows: NDArray[np.int32] | None = None) -> Any:
        """What the model reads: windows, and rows of the embedding if it has one."""
        if not self.config.embedded:
            return windows.astype(np.float32)
        rows = np.full(len(windows), self.row, np.int32) if rows is None else rows
        return [windows.astype(np.float32), rows]

    def _predict_with_dropout(self, inputs: Any) -> NDArray[np.float32]:
        return np.asarray(self.model(inputs, training=True))

    def begin_masks(self) -> None:
        """Seed dropout anew: a loaded model draws other masks each time it is loaded."""
        for seed, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign([seed, 0])


def load_run(
    name: str | os.PathLike[str] | None = None,
    *,
    models_dir: str | os.PathLike[str] = "models",
    logs_dir: str | os.PathLike[str] = "logs",
    which: str = "last",
) -> Forecaster:
    """Load a complete run to predict.

    Args:
        name: a run's name in `models_dir`, or the path of its folder; None for the complete run
            that was begun last.
        models_dir, logs_dir: the folders of all runs.
        which: "last", the model after the last epoch, or "best", that of the epoch whose mean
            loss during training was lowest (with validation examples: whose loss on these was).
            That mean is over the epoch's steps: the weights after them may be worse.

    Raises:
        UserError: there is no such run, it is not complete, or its files are
            damaged.
    """
    run = runs.open_run(None if name is None else os.fspath(name), Path(models_dir), Path(logs_dir))
    record = runs.read_record(run)
    if not run.complete:
        runs.refuse_diverged(run)
        raise UserError(
            f"run {run.folder} is not complete: go on with it by {run.resume_command()}"
        )
    paths = {"last": run.model, "best": run.best_model}
    if which not in paths:
        raise UserError(f"--model must be one of last, best. Received: {which!r}")
    model = _load_model(paths[which], record.config)
    symbols = tuple(stock["symbol"] for stock in record.data.get("stocks", ()))
    return Forecaster(run, record.config, model, which, symbols)


def _load_model(path: Path, config: Config) -> keras.Model:
    """The Keras model at `path`, loaded in safe mode: code in it is not run.

    Raises:
        UserError: it cannot be read, is damaged, or its inputs or outputs have another shape.
    """
    with reading(path, "train the run again with --overwrite", fault="cannot be loaded"):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_UNPACKED_BYTES:
                raise ValueError("it unpacks to more than 8 GiB")
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    windows: Any = (None, config.num_steps, config.input_size)
    reads = [windows, (None,)] if config.embedded else windows
    wanted = reads, (None, config.input_size)
    found: tuple[Any, Any] = (model.input_shape, model.output_shape)
    if found != wanted:
        raise UserError(f"{path} maps {found[0]} to {found[1]}; its run says {wanted}")
    return model
