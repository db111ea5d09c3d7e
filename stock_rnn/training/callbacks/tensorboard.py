"""A run's scalars, histograms, graph and pictures in TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stock_rnn import plots
from stock_rnn.curvature.keras_private import set_validation_folder, tensorboard_writer
from stock_rnn.curvature.tracking.callback import DEFAULT_NAME
from stock_rnn.data import StockDataSet
from stock_rnn.network import LAST_OUTPUT

# What `Persistence` adds to the logs -> the run in which it is a line.
_PERSISTENCE_RUNS = {
    "persistence_loss": "train_persistence",
    "val_persistence_loss": "test_persistence",
}

_PICTURES = 10
_HISTOGRAM_EXAMPLES = 4096


class RunTensorBoard(keras.callbacks.TensorBoard):
    """Keras's scalars, in the runs `train` and `test`.

    It adds to `train` the network's graph, which Keras 3 leaves out for subclassed
    models, and a histogram of each weight, by its path: older Keras gives the weights of
    all layers the same names. It adds to `test` a histogram of the last LSTM output and,
    about ten times in a training, the picture of predicted against actual. Persistence's
    losses are runs of their own, `train_persistence` and `test_persistence`: lines in the
    chart of the losses. Everything is on disk when the epoch ends.

    Args:
        log_dir: logs/RUN.
        dataset: its newest test examples are shown.
        max_epoch: epochs of the training, by which the pictures are spaced.
    """

    def __init__(self, log_dir: Path, dataset: StockDataSet, max_epoch: int) -> None:
        super().__init__(log_dir=str(log_dir), write_graph=False)
        self._dataset = dataset
        self._picture_every = max(1, max_epoch // _PICTURES)
        self._max_epoch = max_epoch
        self._persistence: dict[str, Any] = {}

    def set_model(self, model: keras.Model) -> None:
        """Name the run that Keras calls `validation` `test`."""
        super().set_model(model)
        set_validation_folder(self, str(Path(self.log_dir) / "test"))
        head = model.get_layer(LAST_OUTPUT).output
        self._outputs = keras.Model(model.inputs, [head, *model.outputs])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Write the graph of the forward pass."""
        super().on_train_begin(logs)
        for key, run in _PERSISTENCE_RUNS.items():
            folder = str(Path(self.log_dir) / run)
            self._persistence[key] = tf.summary.create_file_writer(folder)
        forward = tf.function(lambda windows: self.model(windows, training=False))
        shape = (None, self._dataset.num_steps, self._dataset.input_size)
        graph = forward.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
        with tensorboard_writer(self, "train").as_default(step=0):
            tf.summary.graph(graph)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write Keras's summaries, then those of this class."""
        # The run `hessian` has the curvature already.
        curvature = f"{DEFAULT_NAME}_"
        logs = {key: v for key, v in (logs or {}).items() if not key.startswith(curvature)}
        for key, writer in self._persistence.items():
            with writer.as_default(step=epoch):
                tf.summary.scalar("epoch_loss", logs.pop(key))
            writer.flush()
        super().on_epoch_end(epoch, logs)
        with tensorboard_writer(self, "train").as_default(step=epoch):
            for weight in self.model.weights:
                tf.summary.histogram(f"{weight.path}/histogram", weight)
        with tensorboard_writer(self, "val").as_default(step=epoch):
            last_output, predicted = self._predict()
            tf.summary.histogram(LAST_OUTPUT, last_output)
            if (epoch + 1) % self._picture_every == 0 or epoch + 1 == self._max_epoch:
                tf.summary.image(
                    "predicted_and_actual", self._picture(predicted[-plots.SHOWN_DAYS :])
                )
        for run in ("train", "val"):
            tensorboard_writer(self, run).flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the event files."""
        super().on_train_end(logs)
        for writer in self._persistence.values():
            writer.close()
        self._persistence = {}

    def _predict(self) -> tuple[np.ndarray, np.ndarray]:
        """The last LSTM output and the predictions of the newest test examples."""
        x = self._dataset.inputs(self._dataset.test[-_HISTOGRAM_EXAMPLES:])
        last_output, predicted = self._outputs(tf.constant(x, tf.float32), training=False)
        return last_output.numpy(), predicted.numpy()

    def _picture(self, predicted: np.ndarray) -> Any:
        data = self._dataset
        examples = data.test[-len(predicted) :]
        figure = plots.prediction_figure(
            data.label_dates(examples).ravel(),
            data.labels(examples).ravel(),
            predicted.ravel(),
            persistence=data.persistence(examples).ravel(),
            title=f"{data.symbol}: newest test predictions",
            ylabel="change since the window before" if data.normalized else "price",
        )
        return tf.image.decode_png(plots.png(figure), channels=3)[None]
