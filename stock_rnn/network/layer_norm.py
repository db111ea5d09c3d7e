"""Layer normalization that can be differentiated twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="stock_rnn")
class LayerNormalization(keras.layers.Layer):
    """y = γ·(x - μ) / √(σ² + ε) + β, with μ and σ² the mean and the variance over the last axis.

    γ begins at one, β at zero. Keras's layer computes the same, but TensorFlow cuts its second
    derivative: it takes the mean as a constant. The Hessian would come out symmetric and wrong.

    Args:
        epsilon: ε; that of Keras's layer.
        options: as `keras.layers.Layer`.

    Source: Ba, Kiros, Hinton, "Layer Normalization", 2016, section 3.
    """

    def __init__(self, epsilon: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create γ and β."""
        width = (input_shape[-1],)
        self.gamma = self.add_weight(shape=width, name="gamma", initializer="ones")
        self.beta = self.add_weight(shape=width, name="beta", initializer="zeros")
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Normalize (..., width)."""
        centred = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        return self.gamma * centred / ops.sqrt(variance + self.epsilon) + self.beta

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "epsilon": self.epsilon}
