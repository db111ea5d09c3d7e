"""The .npz files of measurements: written whole or not at all, read without pickles."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from boltons.fileutils import atomic_save


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays by their names; under the file's own name only when it is whole.

    The package has the same in `stock_rnn.files`, which imports nothing, as this folder imports
    nothing of the rest.

    Args:
        path: its folder is made if there is none.
        arrays: one of them is "format", the version of the layout.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = f".{path.name}.{os.getpid()}.part"
    # In memory first: after a write that failed, NumPy 1 leaves its zip file open, and Python
    # prints a second error when it is closed.
    content = io.BytesIO()
    np.savez(content, **arrays)
    with atomic_save(str(path), part_file=part, overwrite_part=True) as file:
        assert file is not None
        file.write(content.getbuffer())


def read_arrays(path: str | os.PathLike[str], newest: int) -> dict[str, Any]:
    """What `write_arrays` wrote, by name.

    Args:
        path: the file.
        newest: the last version of the layout that is known here. One without a version has 1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, damaged, or of a later version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{Path(path).name} is no whole .npz file: {error}") from error
    version = int(arrays.get("format", 1))
    if version > newest:
        raise ValueError(
            f"{path} has format {version}, and this version of the package reads up to "
            f"{newest}: upgrade it."
        )
    return arrays
