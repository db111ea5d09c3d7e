"""`landscape`: the loss around a trained run, and between it and another."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from stock_rnn.cli._command import Parser, add_folders, add_run, run_command
from stock_rnn.errors import UserError
from stock_rnn.files import remove_old_part_files
from stock_rnn.landscape import PLANES

_MOST_POINTS = 201


def _parser(program: str = "python -m stock_rnn landscape") -> Parser:
    parser = Parser(
        prog=program,
        description="Draw the training loss around a run: where its units are permuted, along "
        "random directions and eigenvectors, on planes, and along the path of its training. "
        "Dropout is off. docs/landscape.md explains every picture.",
    )
    add_run(parser)
    parser.add_argument(
        "--with",
        dest="other",
        metavar="OTHER",
        help="another run of the same network: the loss on the line to it, before and after its "
        "units are aligned",
    )
    parser.add_argument(
        "--planes",
        metavar="NAME,...",
        help=f"among {', '.join(PLANES)}; path needs a run that was trained with --keep-weights "
        "(default: all that can be drawn)",
    )
    parser.add_argument("--grid", type=int, default=51, help="points in each coordinate, odd")
    parser.add_argument(
        "--distance",
        type=float,
        default=1.0,
        help="how far along random directions, in lengths of the filters",
    )
    parser.add_argument("--seed", type=int, default=0, help="of directions and permutation")
    parser.add_argument(
        "--html",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also a page with surfaces that can be turned, by plotly",
    )
    add_folders(parser)
    return parser


def main(
    argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn landscape"
) -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)
    return run_command(lambda: _draw(arguments), program)


def _draw(arguments: argparse.Namespace) -> None:
    from stock_rnn.terminal import quiet_import
    from stock_rnn.training import runs

    planes = _planes(arguments.planes)
    _check(arguments)
    folders = {"models_dir": arguments.models_dir, "logs_dir": arguments.logs_dir}
    # Before TensorFlow is imported: a wrong name is reported at once.
    run = runs.open_run(arguments.run, **folders)
    if arguments.other is not None:
        runs.open_run(arguments.other, **folders)
    # A killed command leaves them.
    remove_old_part_files(run.folder)
    with quiet_import():
        from stock_rnn.forecasting.forecaster import load_run
        from stock_rnn.landscape.describe import describe_landscape
        from stock_rnn.landscape.place import Request
    folders["which"] = arguments.model
    forecaster = load_run(arguments.run or run.name, **folders)
    other = load_run(arguments.other, **folders) if arguments.other is not None else None
    request = Request(
        planes=planes,
        grid=arguments.grid,
        distance=arguments.distance,
        seed=arguments.seed,
        html=arguments.html,
    )
    lines, files = describe_landscape(forecaster, request, other)
    which = "" if forecaster.which == "last" else f", {forecaster.which} epoch's model"
    print(f"run {forecaster.run.folder}{which}")
    print("\n".join([*lines, *map(str, files)]))


def _planes(text: str | None) -> list[str] | None:
    """The planes of a list with commas.

    Raises:
        UserError: one is unknown or named twice.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PLANES:
            raise UserError(f"--planes must be among {', '.join(PLANES)}. Received: {name!r}")
        if names.count(name) > 1:
            raise UserError(f"--planes names {name} twice")
    return names


def _check(arguments: argparse.Namespace) -> None:
    """Check the numbers.

    Raises:
        UserError: one is out of range.
    """
    if not (3 <= arguments.grid <= _MOST_POINTS and arguments.grid % 2):
        raise UserError(
            f"--grid must be odd and from 3 to {_MOST_POINTS}. Received: {arguments.grid}"
        )
    if not (math.isfinite(arguments.distance) and 0 < arguments.distance <= 100):
        raise UserError(
            f"--distance must be above 0 and at most 100. Received: {arguments.distance}"
        )
    if arguments.seed < 0:
        raise UserError(f"--seed must be at least 0. Received: {arguments.seed}")
