"""The loss between a run's weights and others: its own units permuted, another run's aligned."""

from __future__ import annotations

import logging
import math

import numpy as np

from stock_rnn.curvature.analysis.planes import LossSegment, loss_between
from stock_rnn.curvature.operators.blocks import flat_weights
from stock_rnn.errors import UserError
from stock_rnn.forecasting.forecaster import Forecaster
from stock_rnn.landscape.permutations import Units
from stock_rnn.landscape.place import Place

_log = logging.getLogger("stock_rnn.landscape.segments")


def refuse_other_shape(forecaster: Forecaster, other: Forecaster) -> None:
    """Refuse another run whose weights have no line to a run's own.

    Raises:
        UserError: it is the run itself, or its network has another shape.
    """
    if other.run.folder.resolve() == forecaster.run.folder.resolve():
        raise UserError(f"--with must name another run than {forecaster.run.name}")
    ours, theirs = (_shapes(each) for each in (forecaster, other))
    if ours != theirs:
        raise UserError(
            f"--with {other.run.name}: its network is {_words(other)}, and that of "
            f"{forecaster.run.name} is {_words(forecaster)}; the line between them needs weights "
            "of the same shapes"
        )


def _shapes(forecaster: Forecaster) -> list[tuple[str, tuple[int, ...]]]:
    config = forecaster.config
    inputs = ("input", (config.num_steps, config.input_size))
    variables = forecaster.model.trainable_variables
    return [inputs, *((config.cell, tuple(v.shape)) for v in variables)]


def _words(forecaster: Forecaster) -> str:
    c = forecaster.config
    return f"{c.num_layers} x {c.lstm_size} {c.cell} on {c.num_steps} windows of {c.input_size}"


def segments_of(
    place: Place, other: Forecaster | None
) -> dict[str, tuple[list[str], dict[str, LossSegment]]]:
    """The loss on the lines to other weights.

    Args:
        place: where the lines begin.
        other: another run of the same network, if there is one.

    Returns:
        Name of the picture -> lines for the terminal, and what a line leads to -> the loss on it.
        Empty, with a line in the log, if the network's units are not known.

    Raises:
        UserError: the units are not known, and another run is to be aligned.
    """
    try:
        units = Units(place.forecaster.model)
    except UserError as error:
        if other is not None:
            raise
        # All else of the landscape needs no units.
        _log.info("%s", error)
        return {}
    found = {"permuted": _permuted(place, units)}
    if other is not None:
        found["aligned"] = _aligned(place, units, other)
    return found


def _permuted(place: Place, units: Units) -> tuple[list[str], dict[str, LossSegment]]:
    rng = np.random.default_rng([place.request.seed, 1])
    layer = len(units.sizes) - 1
    orders = {"all units permuted": units.random_orders(rng)}
    if units.sizes[layer] > 1:
        one, other = rng.choice(units.sizes[layer], 2, replace=False)
        orders["two units of the last layer exchanged"] = units.exchange(layer, one, other)
    segments = {
        name: loss_between(place.loss, units.permuted(place.weights, order) - place.weights)
        for name, order in orders.items()
    }
    return [_sentence(name, segment) for name, segment in segments.items()], segments


def _aligned(
    place: Place, units: Units, other: Forecaster
) -> tuple[list[str], dict[str, LossSegment]]:
    theirs = flat_weights(other.model.trainable_variables)
    orders = units.aligned(place.weights, theirs)
    ways = {
        f"to {other.run.name}": theirs - place.weights,
        "its units aligned": units.permuted(theirs, orders) - place.weights,
    }
    segments = {name: loss_between(place.loss, step) for name, step in ways.items()}
    before, after = (float(np.linalg.norm(step)) for step in ways.values())
    lines = [_sentence(name, segment) for name, segment in segments.items()]
    return [*lines, f"distance of the weights {before:.4g}, aligned {after:.4g}"], segments


def _sentence(name: str, segment: LossSegment) -> str:
    """The ends, the barrier, and whether the average is worse than both ends."""
    start, end = float(segment.losses[0]), float(segment.losses[-1])
    worse = "worse than both" if segment.average > max(start, end) else "not worse than both"
    return (
        f"{name}: loss {start:.4g} and {end:.4g} (relative difference "
        f"{abs(end - start) / start if start else math.nan:.1g}), of their average "
        f"{segment.average:.4g}, {worse}; barrier {segment.barrier:.3g}"
    )
