"""`delete`: remove runs with their logs, after asking."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stock_rnn.cli._command import Parser, add_folders, run_command
from stock_rnn.errors import UserError

if TYPE_CHECKING:
    from stock_rnn.training.runs import Run


def _parser(program: str = "python -m stock_rnn delete") -> Parser:
    parser = Parser(
        prog=program,
        description="Delete runs: their folders in models/ and logs/, with all that is in them. "
        "It asks first. All of the named runs are deleted, or none.",
    )
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="runs by their names, or by folders in models/"
    )
    add_folders(parser)
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn delete") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)

    def command() -> None:
        from stock_rnn.training import runs

        names = dict.fromkeys(arguments.run)
        found = {
            run.name: run
            for run in (
                runs.run_to_delete(name, arguments.models_dir, arguments.logs_dir) for name in names
            )
        }
        if not arguments.yes and not _agreed(list(found.values())):
            print("nothing was deleted")
            return
        runs.delete(list(found.values()))
        for run in found.values():
            print(f"deleted {run.folder} and {run.logs}")

    return run_command(
        command,
        program,
        interrupted=lambda: (
            "; every run is there or gone, and the next delete removes what is "
            "left of those that are gone"
        ),
    )


def _agreed(runs: Sequence[Run]) -> bool:
    """Ask whether to delete the runs.

    Raises:
        UserError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UserError("delete asks first, and stdin is no terminal: --yes deletes without asking")
    for run in runs:
        files = [path for top in (run.folder, run.logs) for path in _files(top)]
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"{run.folder} and {run.logs}: {len(files)} files, {size:.1f} MB")
    try:
        answer = input(f"delete {len(runs)} run{'s' * (len(runs) > 1)}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _files(top: Path) -> list[Path]:
    return [path for path in top.rglob("*") if path.is_file() and not path.is_symlink()]
