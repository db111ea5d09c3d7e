"""A strict saddle of the network, constructed, with its Hessian in closed form.

For one LSTM layer of S units under a linear head, let the head's weights and the
candidate's kernel, recurrent kernel and bias be zero, and the head's bias b the mean
of the labels. Then the cell's state and output are zero for every input, the
prediction is b, and every derivative of the loss vanishes: those of the head's weights
are residuals times zero outputs, those of the layer zero head weights times anything,
and that of b the mean residual. Of the second derivatives only two kinds remain:

    ∂²L/∂b²        = 2
    ∂²L/∂w_j∂p_j   = 2/n Σ_examples (b - y) · ∂h_j/∂p_j,   p_j one of unit j's candidate's
                     kernel and bias entries,

with the output to first order h_j = o_T Σ_t (Π_{s>t} f_s) i_t (k_j·x_t + β_j) and the
gates of unit j at zero state. Unit j's block is that of an arrow, with eigenvalues
±‖c_j‖ for the vector c_j of these entries. So

    λ_max = max(2, max_j ‖c_j‖),   λ_min = -max_j ‖c_j‖ < 0:

a strict saddle, however small the residuals' correlation with the past. (Labels of
one price; N = 1.) That such a start traps plain gradient descent for about 1/(ε|λ_min|)
steps is the argument of Dauphin et al. 2014.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Saddle:
    """A constructed saddle and what is known of it.

    Attributes:
        weights: in the order of `model.weights`: kernel (1, 4S), recurrent kernel (S, 4S),
            bias (4S,), head's weights (S, 1), head's bias (1,).
        eigenvalue: λ_min, in closed form.
        direction: the unit eigenvector of λ_min, in the same shapes.
    """

    weights: list[Array]
    eigenvalue: float
    direction: list[Array]

    def beside(self, radius: float) -> list[Array]:
        """The weights at a distance along the eigenvector of λ_min."""
        return [w + radius * d for w, d in zip(self.weights, self.direction, strict=True)]

    def displacement(self, weights: list[Array]) -> float:
        """How far weights lie from the saddle along the eigenvector, with its sign."""
        parts = zip(weights, self.weights, self.direction, strict=True)
        return float(sum(np.sum((w - s) * d) for w, s, d in parts))


def constructed_saddle(weights: list[Array], x: Array, y: Array) -> Saddle:
    """The saddle next to given weights: their gates kept, the rest as described above.

    Args:
        weights: of one Keras LSTM layer (gates in the order i, f, c, o) and a linear
            head, float64, in Keras's shapes; any that the seed draws.
        x: inputs (n, T, 1).
        y: labels (n, 1).

    Raises:
        ValueError: the weights are not of such a network, or there is no negative curvature.
    """
    kernel, recurrent, bias, head, head_bias = (np.array(w, np.float64) for w in weights)
    units = len(head)
    if kernel.shape != (1, 4 * units) or recurrent.shape != (units, 4 * units):
        raise ValueError(
            f"One LSTM layer on windows of one price is wanted. Received: kernel {kernel.shape}, "
            f"recurrent kernel {recurrent.shape}"
        )
    candidate = slice(2 * units, 3 * units)
    for part in (kernel, recurrent, bias):
        part[..., candidate] = 0.0
    head[:], head_bias[:] = 0.0, y.mean()

    couplings = _couplings(kernel, bias, units, x, y)
    sizes = np.linalg.norm(couplings, axis=0)
    unit = int(sizes.argmax())
    if not sizes[unit] > 0.0:
        raise ValueError("The labels do not depend on the past at all: there is no strict saddle.")
    direction = [np.zeros_like(part) for part in (kernel, recurrent, bias, head, head_bias)]
    direction[3][unit, 0] = -np.sqrt(0.5)
    direction[0][0, 2 * units + unit] = np.sqrt(0.5) * couplings[0, unit] / sizes[unit]
    direction[2][2 * units + unit] = np.sqrt(0.5) * couplings[1, unit] / sizes[unit]
    saddle = [kernel, recurrent, bias, head, head_bias]
    return Saddle(saddle, -float(sizes[unit]), direction)


def _couplings(kernel: Array, bias: Array, units: int, x: Array, y: Array) -> Array:
    """∂²L/∂w_j∂k_j and ∂²L/∂w_j∂β_j of every unit: (2, S)."""
    # (n, T, 4S): what the gates see at zero state.
    gates = 1.0 / (1.0 + np.exp(-(x * kernel[0] + bias)))
    entry, forget, _, output = (gates[..., k * units : (k + 1) * units] for k in range(4))
    # Π_{s>t} f_s: what is left at the end of what came in at t.
    left = np.ones_like(forget)
    left[:, :-1] = np.cumprod(forget[:, :0:-1], axis=1)[:, ::-1]
    share = output[:, -1:] * left * entry
    residual = 2.0 * (y.mean() - y)[:, :, None] / len(y)
    return np.stack([(residual * share * x).sum((0, 1)), (residual * share).sum((0, 1))])
