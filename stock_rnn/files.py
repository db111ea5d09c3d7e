"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import time
from typing import Any

import numpy as np
from boltons.fileutils import atomic_save

#: How the name of every unfinished file begins. A killed process may leave one.
PART_PREFIX = ".tmp-"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """The path of an empty part file beside `path`; renamed to `path` if the block succeeds.

    Readers see the old file or the whole new one. After an exception, or a kill at any
    moment, `path` is as it was. Each writer has a part file of its own, so that writers
    of one path do not mix: the last one to finish wins. The part file has the suffix of
    `path`, by which Keras, NumPy and Matplotlib choose the format.

    Args:
        path: in an existing folder. An existing file keeps its permissions; a new one
            has those of `open`.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    part = path.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}{path.suffix}")
    try:
        with atomic_save(str(path), part_file=part.name):
            yield part
    finally:
        # boltons leaves it if the disk cannot take what was written.
        part.unlink(missing_ok=True)


# Those of `atomic_write`, and those of the curvature's own writer.
_PART_FILES = (f"{PART_PREFIX}*", ".*.part")

# No file takes that long to write, in seconds.
_OLD = 3600.0


def remove_part_files(folder: Path) -> None:
    """Remove what killed writers left. Only for a folder that nobody else writes to."""
    for pattern in _PART_FILES:
        for part in folder.glob(pattern):
            part.unlink(missing_ok=True)


def remove_old_part_files(folder: Path) -> None:
    """Remove what killed writers left an hour ago or more, in a folder and all below it."""
    for pattern in _PART_FILES:
        for part in folder.rglob(pattern):
            with contextlib.suppress(OSError):
                # A folder that may only be read keeps them.
                if part.is_file() and time() - part.stat().st_mtime > _OLD:
                    part.unlink()


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON (no NaN) as UTF-8, whole or not at all.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    with atomic_write(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as an .npz file, whole or not at all.

    Raises:
        OSError: as `atomic_write`.
    """
    # In memory first: after a write that failed, NumPy 1 leaves its zip file open, and Python
    # prints a second error when it is closed.
    content = io.BytesIO()
    np.savez(content, **arrays)
    with atomic_write(path) as part:
        part.write_bytes(content.getbuffer())
