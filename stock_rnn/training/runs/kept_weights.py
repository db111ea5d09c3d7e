"""The weights of a training by epoch, in models/RUN/weights."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stock_rnn.errors import UserError
from stock_rnn.files import atomic_write
from stock_rnn.training.runs.directory import Run
from stock_rnn.training.runs.reading import TRAIN_AGAIN, reading

Weights = NDArray[np.float32]

#: At most so many epochs are kept, evenly spaced, and at most so many bytes of them.
MOST_EPOCHS, MOST_BYTES = 200, 2**30

_NAME = re.compile(r"epoch([0-9]+)\.npy")


def kept_every(max_epoch: int, parameters: int) -> int:
    """Of how many epochs one is kept.

    Args:
        max_epoch: epochs of the training; the initial weights, and the last ones if their number
            is not due, come on top.
        parameters: float32 numbers in the weights.
    """
    bytes_of_all = 4 * parameters * max_epoch
    return max(1, math.ceil(max_epoch / MOST_EPOCHS), math.ceil(bytes_of_all / MOST_BYTES))


def write_weights(folder: Path, epoch: int, weights: Weights) -> None:
    """Write the weights after an epoch, whole or not at all.

    Args:
        folder: `Run.weights`; made if it is not there.
        epoch: epochs done; 0 for the initial weights.
        weights: (n,) float32.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(exist_ok=True)
    content = io.BytesIO()
    np.save(content, weights, allow_pickle=False)
    with atomic_write(folder / f"epoch{epoch:07d}.npy") as part:
        part.write_bytes(content.getbuffer())


def kept_epochs(folder: Path) -> dict[int, Path]:
    """Epoch -> the file of its weights, by epoch; empty if there is no such folder."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("epoch*.npy"))
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def read_weights(run: Run, parameters: int) -> tuple[NDArray[np.int64], Weights]:
    """The weights that a run kept.

    Args:
        run: trained with --keep-weights.
        parameters: n, as its network has.

    Returns:
        The epochs (k,), ascending, and the weights after each: (k, n) float32.

    Raises:
        UserError: it kept none, or a file cannot be read or is of another network.
    """
    files = kept_epochs(run.weights)
    if not files:
        raise UserError(
            f"run {run.folder} kept no weights by epoch: train it with --keep-weights "
            "(--overwrite starts it again)"
        )
    weights = np.empty((len(files), parameters), np.float32)
    for row, path in zip(weights, files.values(), strict=True):
        with reading(path, TRAIN_AGAIN):
            found = np.load(path, allow_pickle=False)
            if found.shape != row.shape or not np.isfinite(found).all():
                raise ValueError(f"no {parameters:,} finite numbers in it")
            row[:] = found
    return np.array(list(files)), weights
