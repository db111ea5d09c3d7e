"""A run's scalars, histograms, graph and pictures in TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stock_rnn import plots
from stock_rnn.curvature.tracking.callback import DEFAULT_NAME
from stock_rnn.curvature.tracking.event_file import EventFile
from stock_rnn.data import StockDataSet, StocksDataSet
from stock_rnn.data.stocks import UNSEEN_ROW
from stock_rnn.network import LAST_OUTPUT

#: A PNG, its width and its height.
Picture: TypeAlias = tuple[bytes, tuple[int, int]]

_PICTURES = 5
_HISTOGRAM_EXAMPLES = 4096

_LOSS = "Mean squared error by epochs done"
_SKILL = "1 - loss / persistence's loss; below 0: worse than to guess that the price stays"

# Name in the logs -> what its chart says.
_DESCRIPTIONS = {
    "loss": f"{_LOSS}, over the training examples while they were trained on: dropout is on.",
    "val_loss": f"{_LOSS}, after the epoch: dropout is off.",
    "persistence_loss": f"{_LOSS}, of the forecast that the price stays; training examples.",
    "val_persistence_loss": f"{_LOSS}, of the forecast that the price stays.",
    "skill": f"{_SKILL}. Training examples: dropout is on.",
    "val_skill": f"{_SKILL}. Dropout is off.",
    "learning_rate": "The learning rate of the epoch's steps.",
}

# The beginning of a name, before the layer's -> what its chart says.
_BY_LAYER = {
    "gradient_norm_": "Norm of the training loss's gradient by the weights of this layer, dropout "
    "off, by epochs done.",
    "gradient_flow_": "The gradient by the layer's first state over that by its last: below 1 it "
    "vanishes on its way back through time, above 1 it explodes.",
}


class RunTensorBoard(keras.callbacks.Callback):
    """Writes the runs `train` and `test`, or `validation` if there is a validation set.

    Step k means "after k epochs". `train` has the logs of the epoch, the network's graph and
    a histogram of each weight; the other run has the logs that begin with "val_", a
    histogram of the last LSTM output and, about five times in a training, the picture of
    predicted against actual. Persistence's losses are runs of their own,
    `train_persistence` and the like: lines in the chart of the losses.

    Values are kept in memory until `flush`. Pictures are drawn in a thread of their own, beside
    the training.

    Args:
        log_dir: logs/RUN.
        dataset: the newest of its monitored examples are shown; of several stocks those of one.
        max_epoch: epochs of the training, by which the pictures are spaced.
    """

    def __init__(self, log_dir: Path, dataset: StockDataSet, max_epoch: int) -> None:
        super().__init__()
        self._shown, self._row = dataset, UNSEEN_ROW
        if isinstance(dataset, StocksDataSet):
            self._shown = dataset.shown
            self._row = dataset.row(self._shown.symbol)
        self._picture_every = max(1, max_epoch // _PICTURES)
        self._max_epoch = max_epoch
        other = dataset.monitored_name
        names = ("train", other, "train_persistence", f"{other}_persistence")
        self._train, self._other, self._train_persistence, self._other_persistence = (
            EventFile(log_dir / name) for name in names
        )
        self._painter = ThreadPoolExecutor(max_workers=1)
        self._pictures: list[tuple[EventFile, str, int, Future[Picture]]] = []

    def set_model(self, model: keras.Model) -> None:
        """Prepare the outputs that are shown."""
        super().set_model(model)
        head = model.get_layer(LAST_OUTPUT).output
        both = keras.Model(model.inputs, [head, *model.outputs])
        data = self._shown
        x = data.inputs(data.monitored[-_HISTOGRAM_EXAMPLES:])
        inputs: Any = tf.constant(x, tf.float32)
        if len(model.inputs) > 1:
            inputs = [inputs, tf.fill([len(x)], self._row)]
        outputs = tf.function(lambda: both(inputs, training=False), autograph=False)
        self._outputs = outputs.get_concrete_function()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Add the graph of the forward pass."""
        forward = tf.function(lambda inputs: self.model(inputs, training=False))
        specs = [tf.TensorSpec(each.shape, each.dtype) for each in self.model.inputs]
        one = len(specs) == 1
        graph = forward.get_concrete_function(specs[0] if one else specs).graph
        self._train.graph(graph.as_graph_def())

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the logs, the histograms and, if it is due, the picture."""
        step = epoch + 1
        for name, value in (logs or {}).items():
            self._add_scalar(name, step, value)
        for weight in self.model.weights:
            self._train.histogram(f"{weight.path}/histogram", step, weight.numpy())
        last_output, predicted = self._outputs()
        self._other.histogram(LAST_OUTPUT, step, last_output.numpy())
        if step % self._picture_every == 0 or step == self._max_epoch:
            values = predicted.numpy()
            self._submit(self._other, "predicted_and_actual", step, lambda: self._draw(values))

    def add_picture(self, tag: str, step: int, draw: Callable[[], Figure]) -> None:
        """Add a figure to the run `train`; it is drawn in the thread of the pictures.

        Args:
            tag: its name.
            step: epochs done.
            draw: makes it, of values that do not change.
        """
        self._submit(self._train, tag, step, draw)

    def _submit(self, file: EventFile, tag: str, step: int, draw: Callable[[], Figure]) -> None:
        drawn = self._painter.submit(lambda: _picture(draw()))
        self._pictures.append((file, tag, step, drawn))

    def flush(self) -> None:
        """Write what was added, but pictures that are still being drawn.

        Raises:
            tf.errors.OpError: it cannot be written.
        """
        while self._pictures and self._pictures[0][-1].done():
            file, tag, step, picture = self._pictures.pop(0)
            file.image(tag, step, *picture.result())
        for file in self._files():
            file.flush()

    def close(self) -> None:
        """Write what was added, and close the event files.

        Raises:
            tf.errors.OpError: it cannot be written.
        """
        self._painter.shutdown(wait=True)
        self.flush()
        for file in self._files():
            file.close()

    def _files(self) -> list[EventFile]:
        return [self._train, self._other, self._train_persistence, self._other_persistence]

    def _add_scalar(self, name: str, step: int, value: float) -> None:
        # The run `hessian` has the curvature already.
        if name.startswith(f"{DEFAULT_NAME}_"):
            return
        quantity = name.removeprefix("val_")
        file = self._train if quantity == name else self._other
        if quantity == "persistence_loss":
            quantity = "loss"
            file = self._train_persistence if file is self._train else self._other_persistence
        file.scalar(f"epoch_{quantity}", step, value, _description(name))

    def _draw(self, predicted: NDArray[np.float32]) -> Figure:
        """The newest predictions beside what happened."""
        data = self._shown
        examples = data.monitored[-plots.SHOWN_DAYS :]
        return plots.prediction_figure(
            data.label_dates(examples).ravel(),
            data.labels(examples).ravel(),
            predicted[-len(examples) :].ravel(),
            persistence=data.persistence(examples).ravel(),
            kinds=data.label_kinds(examples).ravel(),
            title=f"{data.symbol}: newest {data.monitored_name} predictions",
            ylabel="change from the last known price" if data.normalized else "price",
        )


def _picture(figure: Figure) -> Picture:
    """A figure as a PNG, and its size in pixels."""
    width, height = (figure.get_size_inches() * figure.dpi).astype(int)
    return plots.png(figure), (int(width), int(height))


def _description(name: str) -> str | None:
    """What the chart of a name in the logs says."""
    by_layer = (text for start, text in _BY_LAYER.items() if name.startswith(start))
    return _DESCRIPTIONS.get(name) or next(by_layer, None)
