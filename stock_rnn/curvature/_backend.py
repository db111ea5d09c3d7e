"""Importing this module checks that Keras runs on TensorFlow, before Keras is imported.

Under another backend Keras may not import at all, and second derivatives are taken by
TensorFlow here.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def keras_backend() -> str:
    """The backend that Keras has, or will have when it is imported.

    As Keras decides it: by the environment variable KERAS_BACKEND, else by the file
    keras.json in KERAS_HOME or ~/.keras, else TensorFlow.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        settings = json.loads((folder / "keras.json").read_text(encoding="utf-8"))
        return settings.get("backend", "tensorflow")
    except (OSError, ValueError):
        return "tensorflow"


def check_backend() -> None:
    """Check that Keras runs on TensorFlow.

    Raises:
        ImportError: it has another backend; `name` is "tensorflow".
    """
    if (backend := keras_backend()) != "tensorflow":
        raise ImportError(
            f"stock_rnn needs Keras on TensorFlow, and the Keras backend is {backend!r}: "
            "set the environment variable KERAS_BACKEND to tensorflow before starting Python",
            name="tensorflow",
        )


check_backend()
