"""The gradient by layer, and its flow through time: measured, and predicted from the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stock_rnn.curvature.keras_private import forgotten_gradients
from stock_rnn.network.tt_lstm import TTLSTMCell

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class GradientFlow:
    """The gradient of a loss at the network's present weights, dropout off.

    L is the mean over B examples of their losses L_b, the squared errors. Names of layers are
    those of `layer_names`.

    Attributes:
        norms: layer -> ‖∂L/∂θ‖ over all its weights, in units of the loss.
        states: recurrent layer -> (T,), √(mean_b ‖∂L_b/∂h_t‖²) for t = 1..T: the root mean
            square over the examples, with all later steps and layers taken into account.
        memories: the same of the LSTM's c_t; empty for other cells.
        prediction: what `predicted` is the product of: "Jacobians", "forget gates" or "update
            gates".
        predicted: (T,), `predicted_flow` of the last recurrent layer: of its c_t where that has
            any, else of its h_t.
    """

    norms: dict[str, float]
    states: dict[str, Array]
    memories: dict[str, Array]
    prediction: str
    predicted: Array


def reach(flow: Array) -> float:
    """‖∂L/∂h_1‖ / ‖∂L/∂h_T‖: how much of the gradient reaches the first step; NaN for 0/0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(flow[0]) / flow[-1])


def layer_names(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Name -> layer, of those with weights: "layer_1" .. for the recurrent ones, then Keras's.

    Keras's name of a recurrent layer says something else where it is the last output.
    """
    named, recurrent = {}, 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.RNN):
            recurrent += 1
            named[f"layer_{recurrent}"] = layer
        elif layer.trainable_weights:
            named[layer.name] = layer
    return named


class GradientProbe:
    """Measures the gradient of a network's mean squared error on fixed examples.

    To every state of every step a displacement of zero is added. The gradient with respect to
    it is ∂L_b/∂h_t, and one backward pass has them all, beside those of the weights. Nothing of
    the network is changed, and no random number is drawn.

    Args:
        model: a chain of layers, as `build_model` makes it.
        inputs: (B, T, N).
        labels: (B, N).
    """

    def __init__(
        self, model: keras.Model, inputs: NDArray[np.floating], labels: NDArray[np.floating]
    ) -> None:
        self._model, self._layers = model, layer_names(model)
        self._recurrent = {
            name: layer
            for name, layer in self._layers.items()
            if isinstance(layer, keras.layers.RNN)
        }
        self._probes = {name: _displaced(layer) for name, layer in self._recurrent.items()}
        self._x, self._y = (tf.constant(values, tf.float32) for values in (inputs, labels))
        graph = tf.function(self._gradients, autograph=False)
        with forgotten_gradients():
            self._graph = graph.get_concrete_function()

    def measure(self) -> GradientFlow:
        """The gradient at the model's present weights."""
        weights, displaced, sequences = self._graph()
        examples = float(self._x.shape[0])
        states, memories = {}, {}
        for name, layer in self._recurrent.items():
            x, h = map(_float64, sequences[name])
            gradient = _float64(displaced[name])
            if _has_memory(layer.cell):
                of_h, gradient = np.split(gradient, 2, axis=-1)
                # The displacement of c_t comes after h_t, which c_t moves, too.
                gradient = gradient + of_h * _output_slopes(layer.cell, x, h)
                memories[name] = _root_mean_square(gradient)
            states[name] = _root_mean_square(of_h if name in memories else gradient)
        predicted = predicted_flow(layer.cell, x, h, gradient[:, -1])
        norms = {
            name: float(np.sqrt(sum(np.sum(np.square(_float64(g) / examples)) for g in gradients)))
            for name, gradients in weights.items()
        }
        factors = "update gates" if isinstance(layer.cell, keras.layers.GRUCell) else "Jacobians"
        factors = "forget gates" if _has_memory(layer.cell) else factors
        return GradientFlow(norms, states, memories, factors, _root_mean_square(predicted))

    def _gradients(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, tuple[Any, Any]]]:
        """By layer: Σ_b of ∂L_b/∂θ; (B, T, states) of ∂L_b/∂(states); x and h."""
        displacements = {
            name: tf.zeros((*self._x.shape[:2], sum(_sizes(layer.cell))))
            for name, layer in self._recurrent.items()
        }
        weights = {name: layer.trainable_weights for name, layer in self._layers.items()}
        with tf.GradientTape() as tape:
            tape.watch(displacements)
            predicted, sequences = self._forward(displacements)
            loss = tf.reduce_sum(tf.reduce_mean(tf.square(predicted - self._y), axis=-1))
        values = {name: [w.value for w in own] for name, own in weights.items()}
        found, displaced = tape.gradient(loss, (values, displacements))
        return found, displaced, sequences

    def _forward(self, displacements: dict[str, Any]) -> tuple[Any, dict[str, tuple[Any, Any]]]:
        """The predictions, and by recurrent layer what it reads and its states."""
        x, names, sequences = self._x, iter(self._recurrent), {}
        for layer in self._model.layers[1:]:
            if isinstance(layer, keras.layers.RNN):
                name = next(names)
                h = self._probes[name](tf.concat([x, displacements[name]], axis=-1))
                sequences[name] = (x, h)
                x = h if layer.return_sequences else h[:, -1]
            elif not isinstance(layer, keras.layers.Dropout):
                x = layer(x, training=False)
        return x, sequences


def predicted_flow(cell: keras.layers.Layer, x: Array, h: Array, last: Array) -> Array:
    """What the gradient of a recurrent layer without a layer above does on its way back.

    - SimpleRNN, h_t = φ(a_t), a_t = x_t·W + h_{t-1}·U + b: the product of the Jacobians,
      ∂L/∂h_{t-1} = (∂L/∂h_t · φ'(a_t))·Uᵀ. It is exact.
    - LSTM: ∂L/∂c_{t-1} = ∂L/∂c_t · f_t, the forget gates alone: the report's ∂C_j/∂C_{j-1}.
    - GRU: ∂L/∂h_{t-1} = ∂L/∂h_t · z_t, the share of the state that is kept, alone.

    The last two leave out that gates and candidates depend on the state, too.

    Args:
        cell: that of the layer.
        x: (B, T, D), what it reads.
        h: (B, T, S), its states.
        last: (B, S), ∂L_b/∂h_T, of the LSTM ∂L_b/∂c_T.

    Returns:
        (B, T, S).

    Sources: the report, section 4.3.2; Pascanu, Mikolov, Bengio, "On the difficulty of training
    recurrent neural networks", ICML 2013, equations 5 and 7.
    """
    if isinstance(cell, keras.layers.SimpleRNNCell):
        slopes, back = _slopes(cell, h), _float64(cell.recurrent_kernel).T
    else:
        # Of the LSTM f, of the GRU z.
        slopes, back = _gates(cell, x, h)[1 if _has_memory(cell) else 0], None
    found = [last]
    for t in range(h.shape[1] - 1, 0, -1):
        through = found[-1] * slopes[:, t]
        found.append(through if back is None else through @ back)
    return np.stack(found[::-1], axis=1)


def _has_memory(cell: keras.layers.Layer) -> bool:
    """Whether a cell has c beside h."""
    return isinstance(cell, keras.layers.LSTMCell | TTLSTMCell)


def _slopes(cell: keras.layers.Layer, values: Array) -> Array:
    """φ' of a cell's activation where φ has these values."""
    name = keras.activations.serialize(cell.activation)
    slopes = {
        "tanh": lambda: 1.0 - values**2,
        "sigmoid": lambda: values * (1.0 - values),
        "relu": lambda: (values > 0.0).astype(np.float64),
        "leaky_relu": lambda: np.where(values > 0.0, 1.0, 0.2),
        "elu": lambda: np.where(values > 0.0, 1.0, values + 1.0),
        "linear": lambda: np.ones_like(values),
    }
    return slopes[name]()


def _gates(cell: keras.layers.Layer, x: Array, h: Array) -> list[Array]:
    """(B, T, S) each, in Keras's order: i, f, φ's argument, o of the LSTM; z, r, - of the GRU.

    Keras's z is the share of the state that stays.
    """
    if isinstance(cell, TTLSTMCell):
        (w, u), bias = cell.kernels(), _float64(cell.bias)
    else:
        w, u, bias = map(_float64, (cell.kernel, cell.recurrent_kernel, cell.bias))
    before = np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1)
    # Keras's GRU has a bias for the inputs and one for the state.
    sums = x @ w + before @ u + bias.reshape(-1, w.shape[1]).sum(axis=0)
    parts = np.split(sums, w.shape[1] // h.shape[2], axis=-1)
    return [part if at == 2 else 1.0 / (1.0 + np.exp(-part)) for at, part in enumerate(parts)]


def _output_slopes(cell: keras.layers.Layer, x: Array, h: Array) -> Array:
    """(B, T, S): ∂h_t/∂c_t = o_t·φ'(c_t) of an LSTM."""
    i, f, candidate, o = _gates(cell, x, h)

    def activated(values: Array) -> Array:
        return _float64(cell.activation(tf.constant(values)))

    c, slopes = np.zeros_like(h[:, 0]), np.empty_like(h)
    for t in range(h.shape[1]):
        c = f[:, t] * c + i[:, t] * activated(candidate[:, t])
        slopes[:, t] = o[:, t] * _slopes(cell, activated(c))
    return slopes


def _displaced(layer: keras.layers.RNN) -> keras.layers.RNN:
    """A recurrent layer that reads its inputs and displacements of its states side by side."""
    return keras.layers.RNN(_Displaced(layer.cell), return_sequences=True, unroll=layer.unroll)


class _Displaced(keras.layers.Layer):
    """A cell whose new states are displaced by the last of its inputs."""

    def __init__(self, cell: keras.layers.Layer) -> None:
        super().__init__(trainable=False)
        self.cell, self._sizes = cell, _sizes(cell)
        self.state_size, self.output_size = self._sizes, self._sizes[0]

    def call(
        self, inputs: Any, states: Sequence[Any], training: bool | None = None
    ) -> tuple[Any, list[Any]]:
        width = inputs.shape[-1] - sum(self._sizes)
        x, *moved = tf.split(inputs, [width, *self._sizes], axis=-1)
        _, new = self.cell(x, list(states))
        displaced = [state + by for state, by in zip(new, moved, strict=True)]
        return displaced[0], displaced


def _sizes(cell: keras.layers.Layer) -> list[int]:
    """The width of each state: of h and, of the LSTM, of c."""
    size = cell.state_size
    return [size] if isinstance(size, int) else list(size)


def _root_mean_square(gradients: Array) -> Array:
    """(B, T, S) -> (T,)."""
    return np.asarray(np.sqrt(np.mean(np.sum(np.square(gradients), axis=-1), axis=0)))


def _float64(values: Any) -> Array:
    return np.asarray(tf.convert_to_tensor(values).numpy(), np.float64)
