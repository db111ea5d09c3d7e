"""Where a landscape is drawn from: a trained network, its loss, and what was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.analysis.planes import filter_normalized
from stock_rnn.curvature.operators.blocks import filter_blocks, flat_weights
from stock_rnn.curvature.operators.hessian import HessianOperator
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.forecasting.spectra import training_loss

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be drawn.

    Attributes:
        planes: among `PLANES`; None: all that there are weights for.
        grid: points of a plane in each coordinate, odd, so that the run is one of them.
        distance: how far along random directions, in lengths of the filters.
        seed: of the directions and the permutation.
        html: whether the page with the surfaces is written.
    """

    planes: Sequence[str] | None = None
    grid: int = 51
    distance: float = 1.0
    seed: int = 0
    html: bool = True


@dataclasses.dataclass(frozen=True)
class Place:
    """A trained network with its loss: what all parts of the landscape start from.

    Attributes:
        forecaster: the run and its model.
        loss: `training_loss` of it.
        weights: (n,), in the loss's order.
        request: what is to be drawn.
    """

    forecaster: Forecaster
    loss: HessianOperator
    weights: Array
    request: Request

    @classmethod
    def of(cls, forecaster: Forecaster, request: Request) -> Place:
        """The place of a run.

        Raises:
            UserError: the run's prices cannot be read or are damaged.
        """
        loss = training_loss(forecaster)
        return cls(forecaster, loss, flat_weights(loss.variables), request)


def random_directions(loss: HessianOperator, weights: Array, seed: int) -> Array:
    """Two random directions, filter-normalized: (2, n).

    Args:
        loss: whose weights they are.
        weights: (n,).
        seed: the same one gives the same directions.
    """
    normal = np.random.default_rng(seed).standard_normal((2, len(weights)))
    filters = filter_blocks(loss)
    return np.stack([filter_normalized(weights, each, filters) for each in normal])
