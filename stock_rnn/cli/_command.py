"""What all commands share: flags from the settings, one-line errors, logging."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from stock_rnn.config import groups, settings
from stock_rnn.errors import UserError
from stock_rnn.settings import Setting


class _DefaultsThatExist(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of each argument that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with one-line errors; it reads --lstm_size as --lstm-size."""

    def __init__(self, **options: Any) -> None:
        defaults = {"formatter_class": _DefaultsThatExist}
        super().__init__(**{**defaults, **options}, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print the message and where help is; exit with 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def parse(self, words: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse words, or the command line's; underscores in flags are read as dashes."""
        words = sys.argv[1:] if words is None else words
        arguments, unknown = self.parse_known_args([_dashed(word) for word in words])
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return arguments

    def _meant(self, unknown: Sequence[str]) -> str:
        """The flag that is spelled most like the first unknown one, as a question."""
        first = unknown[0].partition("=")[0]
        # Without the dashes: they make two short words look alike.
        known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        close = difflib.get_close_matches(first[2:], known, n=1) if first.startswith("--") else []
        return f". Did you mean --{close[0]}?" if close else ""


def _dashed(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def add_settings(parser: argparse.ArgumentParser, names: Sequence[str] | None = None) -> None:
    """Add a flag for each setting of `Config`, or for those named.

    A flag that is not given is absent from the parsed arguments: presets can then come
    between the defaults and what is given.
    """
    for title, members in groups().items():
        wanted = [setting for setting in members if names is None or setting.name in names]
        if wanted:
            group = parser.add_argument_group(title)
            for setting in wanted:
                _add_setting(group, setting)


def _add_setting(parser: argparse._ArgumentGroup, setting: Setting) -> None:
    help_text = setting.help.replace("%", "%%")
    if setting.default is not None:
        help_text += f" (default: {setting.default})"
    options: dict[str, Any] = (
        {"action": argparse.BooleanOptionalAction}
        if setting.kind is bool
        else {"type": setting.kind, "metavar": _metavar(setting)}
    )
    parser.add_argument(
        setting.flag, dest=setting.name, default=argparse.SUPPRESS, help=help_text, **options
    )


def _metavar(setting: Setting) -> str:
    words = {"csv": "FILE", "start": "DAY", "end": "DAY"}
    return "|".join(setting.choices) or words.get(setting.name, setting.kind.__name__.upper())


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags, by name."""
    names = {setting.name for setting in settings()}
    return {name: value for name, value in vars(arguments).items() if name in names}


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add RUN, which may be left out, and --model."""
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="a run's name or folder; the newest complete run if none is named",
    )
    parser.add_argument(
        "--model",
        metavar="last|best",
        default="last",
        help="the last epoch's model, or that of the epoch whose mean loss during training was "
        "lowest; its saved weights may be worse",
    )


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add --models-dir and --logs-dir."""
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="where runs are")
    parser.add_argument("--logs-dir", type=Path, default=Path("logs"), help="where event files are")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add --jobs: this machine's processors, unless another number is given."""
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes on this machine"
    )


def aligned(rows: Sequence[Sequence[str]], *, left: Sequence[str] = ()) -> str:
    """Rows of cells as text, with two spaces between columns.

    Args:
        rows: the first has the columns' names.
        left: names of columns whose cells begin at the left, as those of the first column do;
            the others end at the right.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    to_left = [i == 0 or name in left for i, name in enumerate(rows[0])]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if begins else cell.rjust(width)
            for cell, width, begins in zip(row, widths, to_left, strict=True)
        ).rstrip()
        for row in rows
    )


def goes_on() -> str:
    """What is said after "interrupted" of a command that keeps what is finished."""
    return "; the same command goes on where it stopped"


def run_command(
    command: Callable[[], None], program: str, *, interrupted: Callable[[], str] = str
) -> int:
    """Run a command. What a user can cause is told in one line on stderr.

    Args:
        command: what to run.
        program: what the user typed, with which the line begins.
        interrupted: at Ctrl-C it says what the line says after "interrupted".

    Returns:
        The exit code: 0; 2 after a user's error; 130 after Ctrl-C; 141 if the reader of
        stdout has gone.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        # As the scripts set it while they import.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _logging():
            command()
    except UserError as error:
        return _report(program, error)
    except ImportError as error:
        # TensorFlow is not installed, or Keras is set to another backend.
        if error.name != "tensorflow":
            raise
        return _report(program, error)
    except KeyboardInterrupt:
        _print_line(f"{program}: interrupted{_as_typed(interrupted(), program)}")
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has gone. Python would report it again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Show what the package logs on stderr, as plain lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("stock_rnn")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _report(program: str, error: Exception) -> int:
    message = _as_typed(" ".join(str(error).split()), program)
    _print_line(f"{program}: error: {message}")
    return 2


def _print_line(line: str) -> None:
    """Print a line on stderr in one piece: other processes may print at the same time."""
    print(f"{line}\n", end="", file=sys.stderr)


def _as_typed(message: str, program: str) -> str:
    """A message whose commands are spelled as the user typed this one.

    The package writes `python train.py` and `python -m stock_rnn runs`; the user may have
    typed `stock-rnn evaluate`.
    """
    if program.endswith(".py"):
        return message
    typed = program.rpartition(" ")[0]
    message = message.replace("python -m stock_rnn ", f"{typed} ")
    return re.sub(r"\bpython (train|evaluate|reproduce)\.py\b", rf"{typed} \1", message)
