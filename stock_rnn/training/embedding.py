"""The embedding of stocks after a training: its row for unseen stocks, and TensorBoard's view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from stock_rnn.data.stocks import UNSEEN_ROW
from stock_rnn.files import atomic_write
from stock_rnn.network import EMBEDDING

#: What the row for stocks that were not trained on is called.
UNSEEN = "(unseen)"

_CONFIG, _TENSORS, _METADATA = "projector_config.pbtxt", "tensors.tsv", "metadata.tsv"

# TensorBoard's `ProjectorConfig` as text.
_PROJECTOR = f"""\
embeddings {{
  tensor_name: "{EMBEDDING}"
  tensor_path: "{_TENSORS}"
  metadata_path: "{_METADATA}"
}}
"""


def embedding_of(model: keras.Model) -> NDArray[np.float32] | None:
    """A network's embedding (n + 1, E), float32; None if it has none."""
    if all(layer.name != EMBEDDING for layer in model.layers):
        return None
    return np.asarray(model.get_layer(EMBEDDING).get_weights()[0])


def set_unseen_row(model: keras.Model) -> None:
    """Set the row for unseen stocks to the mean of the trained ones; without embedding, nothing.

    No training example reads the row, so that training leaves it where it began. The mean of all
    vectors is what the authors of GloVe advise for a word that was not in the training.

    Args:
        model: its weights are changed.
    """
    embedding = embedding_of(model)
    if embedding is None:
        return
    trained = np.delete(embedding, UNSEEN_ROW, axis=0)
    embedding = embedding.copy()
    embedding[UNSEEN_ROW] = trained.mean(axis=0, dtype=np.float64)
    model.get_layer(EMBEDDING).set_weights([embedding])


def write_projector(
    folder: Path, model: keras.Model, symbols: Sequence[str], sectors: Sequence[str]
) -> None:
    """Write a network's embedding for TensorBoard's projector; without embedding, nothing.

    TensorBoard looks for the three files in the folder of a run with event files.

    Args:
        folder: logs/RUN.
        model: the network.
        symbols, sectors: of each stock, in the order of the rows after the first.

    Raises:
        OSError: a file cannot be written.
    """
    embedding = embedding_of(model)
    if embedding is None:
        return
    points = "".join("\t".join(map(repr, row)) + "\n" for row in embedding.tolist())
    names = [(UNSEEN, ""), *zip(symbols, sectors, strict=True)]
    lines = "".join(f"{_cell(symbol)}\t{_cell(sector)}\n" for symbol, sector in names)
    # The configuration last: it names the others.
    contents = {
        _TENSORS: points,
        _METADATA: f"symbol\tsector\n{lines}",
        _CONFIG: _PROJECTOR,
    }
    for name, text in contents.items():
        with atomic_write(folder / name) as part:
            part.write_text(text, encoding="utf-8", newline="")


def _cell(text: str) -> str:
    """A text as a cell of a table with tabs."""
    return " ".join(text.split())
