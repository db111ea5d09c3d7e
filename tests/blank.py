"""A blank picture in the place of a rendered one."""

import contextlib
import struct
import zlib
from pathlib import Path

import pytest
from matplotlib.figure import Figure

_savefig = Figure.savefig


@contextlib.contextmanager
def blank_pictures():
    """Write blank pictures meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", write_blank)
        yield


@contextlib.contextmanager
def rendered_pictures():
    """Render pictures meanwhile, wherever this is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _savefig)
        yield


def write_blank(figure, target, *, format=None, dpi=None, **kwargs):
    """Write a blank picture of the figure's size where `Figure.savefig` would write the figure.

    Args:
        figure: of Matplotlib.
        target: a path or a file that is open for writing.
        format: "png" or "svg"; by default the path's ending.
        dpi: dots per inch of a PNG; by default the figure's.
    """
    width, height = figure.get_size_inches()
    format = format or Path(target).suffix[1:]
    if format == "svg":
        size = f"{72 * width:g} {72 * height:g}"
        blank = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"></svg>'
    else:
        assert format == "png", format
        blank = _png(round(width * (dpi or figure.dpi)), round(height * (dpi or figure.dpi)))
    if not hasattr(target, "write"):
        Path(target).write_bytes(blank.encode() if isinstance(blank, str) else blank)
    else:
        target.write(blank)


def _png(width, height):
    """A white picture of a byte a pixel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\xff" * width) * height, 1)
    parts = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
