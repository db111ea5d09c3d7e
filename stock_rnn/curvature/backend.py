"""The one Keras backend that has second derivatives here."""

import os


def require_tensorflow() -> None:
    """Check Keras's backend before anything is imported that needs TensorFlow's.

    Raises:
        ImportError: Keras is set to another one.
    """
    name = os.environ.get("KERAS_BACKEND", "tensorflow")
    if name == "tensorflow":
        import keras

        name = keras.config.backend()
    if name != "tensorflow":
        raise ImportError(
            f"stock_rnn needs Keras's TensorFlow backend, and Keras is set to {name}: set "
            "KERAS_BACKEND=tensorflow before Keras is imported."
        )
