"""`explain`: what did the report measure? Candidate procedures against its losses."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stock_rnn.cli._command import (
    Parser,
    add_jobs,
    add_settings,
    given_settings,
    goes_on,
    run_command,
)
from stock_rnn.config import PRICE_SETTINGS, Config, refuse_ignored
from stock_rnn.errors import UserError
from stock_rnn.settings import flag, switch
from stock_rnn.terminal import quiet_import

_log = logging.getLogger("stock_rnn.cli.explain")

# What the data are is tried: these settings are not the user's to choose.
_SETTINGS = tuple(name for name in PRICE_SETTINGS if name != "open_and_close")


def _parser(program: str = "explain") -> Parser:
    parser = Parser(
        prog=program,
        description="Try what the report may have measured: procedures and constant forecasts, "
        "with their distance to its tables. What is finished is kept: the same command goes on "
        "where it stopped.",
    )
    add_settings(parser, _SETTINGS)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind")
    parser.add_argument(
        "--network-seeds",
        type=int,
        default=1,
        help="trainings of each larger network, of tables 5.3 and 5.4; 0: none",
    )
    parser.add_argument(
        "--pairs",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pair departures that change the training too, not only those of the measurement",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one seed, no such pairs, the smallest network",
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results/explained"), help="folder for the results"
    )
    add_jobs(parser)
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "explain") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = _parser(program)
    arguments = parser.parse(words)

    def command() -> None:
        _check(arguments, parser)
        _run(arguments, f"python -m stock_rnn explain {shlex.join(words)}".rstrip())

    return run_command(command, program, interrupted=goes_on)


def _check(arguments: argparse.Namespace, parser: Parser) -> None:
    for name, least in (("seeds", 1), ("network_seeds", 0), ("jobs", 1)):
        if (value := getattr(arguments, name)) < least:
            raise UserError(f"{flag(name)} must be at least {least}. Received: {value}")
    fixed = ("seeds", "network_seeds", "pairs")
    changed = [n for n in fixed if getattr(arguments, n) != parser.get_default(n)]
    # As it was typed: --no-pairs, not --pairs.
    given = [switch(n, getattr(arguments, n) is not False) for n in changed]
    if arguments.quick and given:
        raise UserError(
            f"--quick cannot be combined with {' or '.join(given)}: it is one fixed scope; "
            "give one or the other"
        )


def _run(arguments: argparse.Namespace, command: str) -> None:
    from stock_rnn.study.folder import Folder, locked

    prices = _prices(given_settings(arguments))
    with quiet_import():
        from stock_rnn.study.explain import results, run
    scope = (
        run.QUICK
        if arguments.quick
        else run.Scope(
            seeds=arguments.seeds, pairs=arguments.pairs, network_seeds=arguments.network_seeds
        )
    )
    with locked(Folder(arguments.results)):
        explained = run.explain(prices, scope, arguments.results / "trials", arguments.jobs)
        paths = results.write_results(
            arguments.results, explained, command=command, data=run.describe(prices)
        )
    for row in explained.rows[:5]:
        print(f"{row.distance:.3f}  {row.candidate.says}")
    print(f"{len(explained.rows)} candidates; nearest by chance {100 * explained.chance:.1f} %")
    print("\n".join(map(str, paths)))


def _prices(given: dict[str, Any]) -> Any:
    """The prices, with opening prices if the source has them; else a line says what is left out."""
    from stock_rnn.data import one_stock

    config = Config(**given)
    refuse_ignored(config, given)
    try:
        return one_stock(Config(**given, open_and_close=True))
    except UserError as error:
        # Whatever else is wrong is raised again by this.
        prices = one_stock(config)
        _log.info("without opening prices two kinds of data are left out: %s", error)
        return prices
