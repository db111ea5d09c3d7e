"""The gradient by layer, after every epoch, and its flow through time."""

from __future__ import annotations

import keras

from stock_rnn import plots
from stock_rnn.data import StockDataSet
from stock_rnn.network.gradient_flow import GradientFlow, GradientProbe, reach
from stock_rnn.training.callbacks.tensorboard import RunTensorBoard

#: Training examples, evenly spaced, that the gradient is measured on.
EXAMPLES = 256


class Gradients(keras.callbacks.Callback):
    """Measures the gradient of the training loss, dropout off, after each epoch.

    To the logs it adds, by layer (`layer_names`), "gradient_norm_layer_1", the norm of the
    gradient of its weights, and of recurrent layers "gradient_flow_layer_1", ‖∂L/∂h_1‖ /
    ‖∂L/∂h_T‖. Training is not changed by it: see `GradientProbe`.

    Put it before the callbacks that write the logs.

    Args:
        dataset: the gradient is that on `EXAMPLES` of its training examples.
        board: gets a picture of ‖∂L/∂h_t‖ over t.
        every: epochs between pictures.
        title: of the pictures.
    """

    def __init__(
        self, dataset: StockDataSet, board: RunTensorBoard, *, every: int, title: str
    ) -> None:
        super().__init__()
        self._sample = dataset.curvature_sample(EXAMPLES)
        self._board, self._every, self._title = board, every, title

    def set_model(self, model: keras.Model) -> None:
        """Prepare the measurement."""
        super().set_model(model)
        self._probe = GradientProbe(model, *self._sample)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure; add to the logs and, if it is due, the picture."""
        flow = self._probe.measure()
        if logs is not None:
            logs |= columns(flow)
        if (epoch + 1) % self._every == 0:
            title = f"{self._title}, after epoch {epoch + 1}"
            self._board.add_picture(
                "gradient_flow", epoch + 1, lambda: plots.gradient_flow_figure({title: flow})
            )


def columns(flow: GradientFlow) -> dict[str, float]:
    """What `Gradients` adds to the logs."""
    norms = {f"gradient_norm_{name}": norm for name, norm in flow.norms.items()}
    return {**norms, **{f"gradient_flow_{name}": reach(of) for name, of in flow.states.items()}}
