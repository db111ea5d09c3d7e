"""Keeping the terminal free of what is not a result."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Hide what TensorFlow's libraries write to stderr while they are imported.

    They write a dozen lines about hardware from C++, which none of their settings turns
    off. If the import fails, all of it is shown.

    Python's garbage collector rests meanwhile, and leaves what was imported out of later
    collections: else it takes a third of the import, and half of a second at the end.

    Raises:
        ImportError: Keras has another backend than TensorFlow.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with _without_collection(), tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        failed = True
        try:
            # First of all: it checks the Keras backend.
            import stock_rnn.curvature  # noqa: F401

            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                captured.seek(0)
                os.write(2, captured.read())


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Switch the garbage collector off while TensorFlow is imported; keep all there is then."""
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
