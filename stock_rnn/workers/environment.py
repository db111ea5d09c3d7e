"""What the numbers of a task depend on beside its input: versions, and threads."""

from __future__ import annotations

import importlib.metadata

#: Environment of a process that computes on one thread; NumPy and TensorFlow read it when
#: they are imported.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}

_PACKAGES = ("tensorflow", "keras", "numpy")


def versions() -> dict[str, str]:
    """The installed versions that a task's numbers depend on: package -> version."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def use_one_thread() -> None:
    """Set TensorFlow to one thread: the same task then gives the same bits.

    Raises:
        RuntimeError: TensorFlow already runs with several threads.
    """
    import tensorflow as tf

    threads = tf.config.threading
    if threads.get_intra_op_parallelism_threads() == 1:
        return
    try:
        threads.set_intra_op_parallelism_threads(1)
        threads.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise RuntimeError(
            "A task needs TensorFlow on one thread, and this process already runs it on "
            "several. Use a new worker process."
        ) from error
