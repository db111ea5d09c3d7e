"""The one exception that a user can cause."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class UserError(Exception):
    """Something outside the program is wrong and its user can mend it.

    The message is one line: what is wrong, where, and what to do. The command
    line prints it to stderr and exits with code 2, without a traceback.
    """


@contextlib.contextmanager
def writing_to(folder: Path, advice: str) -> Iterator[None]:
    """Tell in one line that what the block writes cannot be written.

    Args:
        folder: where it writes.
        advice: what to do.

    Raises:
        UserError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        fault = error.strerror or error
        raise UserError(f"cannot write to {folder}: {fault}; {advice}") from error
