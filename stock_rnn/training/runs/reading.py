"""What is said of a run's file that cannot be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from stock_rnn.errors import UserError

#: The advice where nothing less helps.
TRAIN_AGAIN = "train the run again with --overwrite"


@contextlib.contextmanager
def reading(path: Path, advice: str, *, fault: str = "is damaged") -> Iterator[None]:
    """Turn what goes wrong while a file is read into one line.

    Args:
        path: the file.
        advice: what to do if its content is not what it should be.
        fault: what is then said of it.

    Raises:
        UserError: the file is missing, may not be read, or is damaged. Only of damage it is
            said that it is damaged.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; {advice}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; {advice}") from error
    # A damaged archive can raise anything.
    except Exception as error:
        # Only the system's own errors have a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(
                f"cannot read {path}: {error.strerror}; the file may be whole, and the run with it"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} {fault} ({reason}); {advice}") from error
