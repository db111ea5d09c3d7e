"""What a session of tests makes once, for all of pytest-xdist's processes."""

import contextlib
import os

import filelock


@contextlib.contextmanager
def shared_folder(tmp_path_factory, name):
    """Hold a folder of all processes: the first to come fills it, the others find it filled.

    What is made in it must be left alone where it is there already, and is not changed later.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= name
    with filelock.FileLock(f"{folder}.lock"):
        folder.mkdir(exist_ok=True)
        yield folder
