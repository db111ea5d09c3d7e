"""A strict saddle of the network, constructed, with its Hessian in closed form.

Take one LSTM layer of S units under a linear head. Set the head's weights and the
candidate's kernel, recurrent kernel and bias to zero, and the head's bias b to the mean
label. Then cell state and output are zero for every input, and the prediction is b. The
gradient of the loss vanishes:

- by the head's weights, it is a sum of residuals times zero outputs;
- by the layer's weights, it is proportional to zero head weights;
- by b, it is proportional to the mean residual, which is zero.

Only two kinds of second derivatives remain:

    ∂²L/∂b²        = 2
    ∂²L/∂w_j∂p_j   = 2/n Σ_examples (b - y) · ∂h_j/∂p_j

where w_j is unit j's head weight, and p_j an entry of its candidate's kernel or bias. To
first order, with unit j's gates i, f, o at zero state, its output is

    h_j = o_T Σ_t (Π_{s>t} f_s) i_t (k_j·x_t + β_j).

Let c_j be the vector of the derivatives ∂²L/∂w_j∂p_j. Unit j's block of the Hessian is an
arrow matrix with eigenvalues ±‖c_j‖. So

    λ_max = max(2, max_j ‖c_j‖),   λ_min = -max_j ‖c_j‖ < 0:

a strict saddle, however weakly the residuals are correlated with the past. Labels are of
one price, N = 1. Dauphin et al. 2014 argue that plain gradient descent stays near such a
point for about 1/(ε|λ_min|) steps.

With the head's bias frozen at any b, it is no weight, and its row of the Hessian falls away. The
prediction is b for every example, and each example's gradient vanishes by itself, because h = 0
and w = 0: mini-batches have no noise there. The residuals b - y have a mean, so the couplings are
larger than where the bias is free: at the report's first bias of 0.1, c_j is about
0.2·Σ_t o_T (Π_{s>t} f_s) i_t in the entry of the candidate's bias. All of H is the residual's
part; it is proportional to the residuals.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Saddle:
    """A constructed saddle with its most negative eigenvalue and eigenvector.

    Attributes:
        weights: in the order of `model.weights`: kernel (1, 4S), recurrent kernel (S, 4S),
            bias (4S,), head's weights (S, 1), head's bias (1,).
        eigenvalue: λ_min, in closed form.
        direction: the unit eigenvector of λ_min, in the shapes of the weights.
    """

    weights: list[Array]
    eigenvalue: float
    direction: list[Array]

    def weights_at(self, displacement: float) -> list[Array]:
        """The weights at this signed distance along the eigenvector of λ_min."""
        return [w + displacement * d for w, d in zip(self.weights, self.direction, strict=True)]

    def displacement(self, weights: list[Array]) -> float:
        """The signed distance of weights from the saddle along the eigenvector of λ_min."""
        parts = zip(weights, self.weights, self.direction, strict=True)
        return float(sum(np.sum((w - s) * d) for w, s, d in parts))


def constructed_saddle(
    weights: list[Array], x: Array, y: Array, *, frozen_bias: float | None = None
) -> Saddle:
    """The saddle with the gates of given weights, as described above.

    Args:
        weights: of one Keras LSTM layer (gates in the order i, f, c, o) and a linear head,
            in Keras's order and shapes, float64. They are not changed.
        x: inputs (n, T, 1).
        y: labels (n, 1).
        frozen_bias: of the head, which is then no weight to be trained; None: the mean label.

    Raises:
        ValueError: the network is another one, or the Hessian has no negative eigenvalue.
    """
    kernel, recurrent, bias, head, head_bias = (np.array(w, np.float64) for w in weights)
    units = len(head)
    if kernel.shape != (1, 4 * units) or recurrent.shape != (units, 4 * units):
        raise ValueError(
            "The network must be one LSTM layer on windows of one price. "
            f"Received: kernel {kernel.shape}, recurrent kernel {recurrent.shape}"
        )
    candidate = slice(2 * units, 3 * units)
    for part in (kernel, recurrent, bias):
        part[..., candidate] = 0.0
    head[:], head_bias[:] = 0.0, y.mean() if frozen_bias is None else frozen_bias

    couplings = _couplings(kernel, bias, units, x, head_bias - y)
    sizes = np.linalg.norm(couplings, axis=0)
    unit = int(sizes.argmax())
    if not sizes[unit] > 0.0:
        raise ValueError("There is no strict saddle: the labels are uncorrelated with the past.")
    direction = [np.zeros_like(part) for part in (kernel, recurrent, bias, head, head_bias)]
    direction[3][unit, 0] = -np.sqrt(0.5)
    direction[0][0, 2 * units + unit] = np.sqrt(0.5) * couplings[0, unit] / sizes[unit]
    direction[2][2 * units + unit] = np.sqrt(0.5) * couplings[1, unit] / sizes[unit]
    saddle = [kernel, recurrent, bias, head, head_bias]
    return Saddle(saddle, -float(sizes[unit]), direction)


def _couplings(kernel: Array, bias: Array, units: int, x: Array, residuals: Array) -> Array:
    """∂²L/∂w_j∂k_j and ∂²L/∂w_j∂β_j of every unit: (2, S); residuals (n, 1): prediction - label."""
    # (n, T, 4S): gates at zero state.
    gates = 1.0 / (1.0 + np.exp(-(x * kernel[0] + bias)))
    entry, forget, _, output = (gates[..., k * units : (k + 1) * units] for k in range(4))
    # Π_{s>t} f_s: the share of the input at t that the last state keeps.
    kept = np.ones_like(forget)
    kept[:, :-1] = np.cumprod(forget[:, :0:-1], axis=1)[:, ::-1]
    share = output[:, -1:] * kept * entry
    weighted = 2.0 * residuals[:, :, None] / len(residuals)
    return np.stack([(weighted * share * x).sum((0, 1)), (weighted * share).sum((0, 1))])
