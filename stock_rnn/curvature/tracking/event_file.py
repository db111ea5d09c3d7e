"""Event files for TensorBoard, written without TensorFlow's eager operations."""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.util import tensor_util

_BUCKETS = 30

_numbers = itertools.count()


class EventFile:
    """One event file: values are kept until `flush`.

    An event through `tf.summary` costs as much as an epoch of a small network. These cost a
    tenth: the values are laid out in NumPy, and TensorFlow writes the bytes.

    Args:
        folder: where TensorBoard looks for it, a run; made at the first flush.
    """

    def __init__(self, folder: Path) -> None:
        # As TensorFlow names its own.
        self._path = folder / (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}."
            f"{os.getpid()}.{next(_numbers)}.v2"
        )
        self._events = [Event(wall_time=time.time(), file_version="brain.Event:2")]
        self._writer: Any = None

    def scalar(self, tag: str, step: int, value: float, description: str | None = None) -> None:
        """Add a scalar; TensorBoard shows the description, Markdown, beside its chart."""
        self._add(step, scalar_pb(tag, value, description=description))

    def text(self, tag: str, step: int, text: str, description: str = "") -> None:
        """Add a text, Markdown."""
        self._add(step, text_pb(tag, text, description=description))

    def histogram(self, tag: str, step: int, values: ArrayLike, description: str = "") -> None:
        """Add a histogram of the finite ones among the values, if any: 30 buckets of one width."""
        values = np.asarray(values, np.float64).ravel()
        finite = values[np.isfinite(values)]
        if not finite.size:
            return
        # NumPy widens the range of equal values by a half, which is nothing beside 1e20.
        equal = np.ptp(finite) == 0
        counts, edges = ([finite.size], finite[[0, 0]]) if equal else np.histogram(finite, _BUCKETS)
        buckets = np.column_stack([edges[:-1], edges[1:], counts])
        metadata = histogram_metadata.create_summary_metadata(None, description)
        self._add(step, _summary(tag, metadata, buckets))

    def image(
        self, tag: str, step: int, png: bytes, size: tuple[int, int], description: str = ""
    ) -> None:
        """Add a picture, an encoded PNG of a width and a height in pixels."""
        metadata = image_metadata.create_summary_metadata(None, description)
        width, height = (str(pixels).encode() for pixels in size)
        self._add(step, _summary(tag, metadata, np.array([width, height, png], object)))

    def graph(self, graph_def: Any) -> None:
        """Add a graph, a `GraphDef`."""
        self._events.append(Event(wall_time=time.time(), graph_def=graph_def.SerializeToString()))

    def flush(self) -> None:
        """Write what was added.

        Raises:
            tf.errors.OpError: it cannot be written.
        """
        if self._writer is None:
            tf.io.gfile.makedirs(str(self._path.parent))
            self._writer = tf.io.TFRecordWriter(str(self._path))
        for event in self._events:
            self._writer.write(event.SerializeToString())
        self._events = []
        self._writer.flush()

    def close(self) -> None:
        """Write what was added, and close the file.

        Raises:
            tf.errors.OpError: it cannot be written.
        """
        self.flush()
        self._writer.close()

    def _add(self, step: int, summary: Any) -> None:
        self._events.append(Event(wall_time=time.time(), step=step, summary=summary))


def _summary(tag: str, metadata: SummaryMetadata, values: Any) -> Any:
    tensor = tensor_util.make_tensor_proto(values)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
