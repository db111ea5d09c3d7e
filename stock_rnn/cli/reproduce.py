"""`reproduce`: the report's experiments over seeds, and a verdict on each claim."""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stock_rnn.cli._command import Parser, add_settings, given_settings, run_command
from stock_rnn.config import PRICE_SETTINGS, Config, refuse_ignored
from stock_rnn.errors import UserError
from stock_rnn.settings import flag, switch
from stock_rnn.study.parts import PACKAGES, REPORT, names
from stock_rnn.terminal import quiet_import


def _parser(program: str = "reproduce.py") -> Parser:
    parser = Parser(
        prog=program,
        description="Run the report's experiments over seeds and judge its claims. What is "
        "finished is kept: the same command goes on where it stopped.",
    )
    add_settings(parser, PRICE_SETTINGS)
    parser.add_argument(
        "--parts",
        default=REPORT,
        help=f"of the study: {', '.join(names())}, with commas between, or all",
    )
    parser.add_argument(
        "--seeds", type=int, default=20, help="runs of each kind; further parts have fewer"
    )
    parser.add_argument(
        "--protocols",
        default="appendix,text",
        help="appendix: the code's chronological split; text: section 5.1's random 10 %% to train",
    )
    parser.add_argument(
        "--sweeps",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="sizes, learning rates and starts beside a saddle too, not only the tables' grid",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="2 seeds of a small grid: shows that all works, too little to decide anything",
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder for the results"
    )
    parser.add_argument(
        "--from-results",
        metavar="DIR",
        type=Path,
        help="draw a study's results again; train nothing",
    )
    parser.add_argument(
        "--against",
        metavar="DIR",
        type=Path,
        help="compare the verdicts with those of another study, such as docs/study",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes on this machine"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler: tcp://HOST:PORT")
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "reproduce.py") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = _parser(program)
    arguments = parser.parse(words)

    def command() -> None:
        _check(arguments, parser)
        if arguments.from_results is not None:
            _draw(arguments.from_results)
            _compare(arguments.from_results, arguments.against)
        else:
            python = "python " if program.endswith(".py") else ""
            _run(arguments, f"{python}{program} {shlex.join(words)}".rstrip())

    return run_command(
        command, program, interrupted=lambda: "; the same command goes on where it stopped"
    )


def _parts(arguments: argparse.Namespace) -> list[str]:
    """The parts that are asked for, in their order.

    Raises:
        UserError: one is unknown.
    """
    wanted = set(arguments.parts.split(","))
    if wanted == {"all"}:
        return names()
    if wanted - set(names()):
        known = ", ".join(names())
        raise UserError(f"--parts must be of {known}, or all. Received: {arguments.parts!r}")
    return [name for name in names() if name in wanted]


def _typed_flag(name: str, arguments: argparse.Namespace) -> str:
    """A flag as it was typed: `--no-sweeps`, not `--sweeps`."""
    return switch(name, vars(arguments)[name] is not False)


def _check(arguments: argparse.Namespace, parser: Parser) -> None:
    from stock_rnn.study.plan import PROTOCOLS, QUICK

    quick = f"{QUICK.seeds} seeds of the protocol {', '.join(QUICK.protocols)}, without sweeps"
    given = {name for name, value in vars(arguments).items() if value != parser.get_default(name)}
    of_report = set() if REPORT in _parts(arguments) else {"protocols", "sweeps"}
    fixed = {"parts", "seeds", "protocols", "sweeps"}
    for name, conflicts, reason in (
        ("quick", given & fixed, f"is one fixed study, {quick}"),
        ("from_results", given - {"from_results", "against"}, "draws the study that is there"),
        ("parts", given & of_report, f"leaves out {REPORT}, to which alone they belong"),
    ):
        if name in given and conflicts:
            words = ", ".join(_typed_flag(other, arguments) for other in sorted(conflicts))
            raise UserError(
                f"{flag(name)} cannot be combined with {words}: it {reason}; give one or the other"
            )
    for name in ("seeds", "jobs"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} must be at least 1. Received: {getattr(arguments, name)}")
    other = arguments.against
    if other is not None and not _judged(other):
        # Not only after hours of training.
        raise UserError(f"--against {other}: there is no verdicts.json; give a study's folder")
    unknown = set(arguments.protocols.split(",")) - set(PROTOCOLS)
    if unknown:
        raise UserError(
            f"--protocols must be of {', '.join(PROTOCOLS)}. Received: {arguments.protocols!r}"
        )


def _run(arguments: argparse.Namespace, command: str) -> None:
    from stock_rnn.data import one_stock
    from stock_rnn.study import folder, parts
    from stock_rnn.study.run import sweep, workers

    data = given_settings(arguments)
    config = Config(**data)
    refuse_ignored(config, data)
    prices = one_stock(config)
    wanted = _parts(arguments)
    tasks = _tasks(data, arguments, prices) if REPORT in wanted else []
    place = folder.Folder(arguments.results)
    pool: contextlib.AbstractContextManager[workers.Submit] = (
        workers.dask_cluster(arguments.scheduler)
        if arguments.scheduler
        else workers.local_processes(arguments.jobs)
    )
    with folder.locked(place):
        if tasks:
            _write_study(place, command, prices, tasks)
        with pool as submit:
            if tasks:
                sweep.sweep(tasks, prices, place.runs, submit)
            for name in wanted:
                if name in PACKAGES:
                    place.part(name).path.mkdir(exist_ok=True)
                    parts.package(name).run(data, prices, place, submit, arguments.seeds)
    _draw(arguments.results)
    _compare(arguments.results, arguments.against)


def _tasks(data: dict[str, Any], arguments: argparse.Namespace, prices: Any) -> list[Any]:
    """The tasks of the report's own experiments.

    Raises:
        UserError: there are too few prices for one of them; nothing was run.
    """
    from stock_rnn.data import dataset_of
    from stock_rnn.study import plan

    tasks = plan.plan(data, _scope(arguments))
    for task in tasks:
        dataset_of(task.config, prices)
    return tasks


def _write_study(place: Any, command: str, prices: Any, tasks: Sequence[Any]) -> None:
    from stock_rnn.study import folder, records
    from stock_rnn.training import runs

    keys = [task.key(prices.sha256, records.versions()) for task in tasks]
    folder.write_study(place, command, runs.describe_data(prices), keys)


def _judged(path: Path) -> list[str]:
    """The folders below one that have verdicts, "" for itself, in the order of the parts."""
    places = ["", *PACKAGES]
    return [place for place in places if (path / place / "verdicts.json").is_file()]


def _compare(path: Path, other: Path | None) -> None:
    """Print where the verdicts agree with another study's, if one is given."""
    from stock_rnn.study.folder import Folder
    from stock_rnn.study.report.against import compare

    if other is None:
        return
    both = [place for place in _judged(path) if place in _judged(other)]
    if not both:
        raise UserError(f"--against {other}: it has no part of {path}; give a study that has")
    for place in both:
        ours, theirs = (Folder(root / place).verdicts for root in (path, other))
        print("\n".join(compare(ours, theirs)))


def _scope(arguments: argparse.Namespace) -> Any:
    from stock_rnn.study import plan

    if arguments.quick:
        return plan.QUICK
    return plan.Scope(
        seeds=arguments.seeds,
        protocols=tuple(name for name in plan.PROTOCOLS if name in arguments.protocols.split(",")),
        sweeps=arguments.sweeps,
        saddle_starts=arguments.sweeps,
    )


def _draw(path: Path) -> None:
    from stock_rnn.study.folder import Folder, locked, read_study

    folder = Folder(path)
    with quiet_import():
        from stock_rnn.study.report import further, results
        from stock_rnn.study.report.tensorboard import write_event_files
    parts = further.found_in(folder)
    # Without the report's own experiments, the parts; without any, an error.
    command, found = read_study(folder) if folder.study.exists() or not parts else ("", [])
    try:
        with locked(folder):
            verdicts, runs = results.write_results(folder, command, found, parts)
            write_event_files(folder.logs, runs)
    except OSError as error:
        raise UserError(
            f"cannot write to {path}: {error.strerror}; make it writable or make room, or copy "
            "the study elsewhere and draw it with --from-results"
        ) from error
    _print_verdicts(verdicts)
    for part in parts:
        print(f"{part.name}: {part.title}")
        _print_verdicts(part.verdicts)
    print(f"page     {folder.page}")
    print(f"tables   {folder.tables}, figures {folder.figures}, runs {folder.table}")
    print(f"logs     {folder.logs}    (tensorboard --logdir {folder.logs})")


def _print_verdicts(verdicts: Sequence[Any]) -> None:
    """A line a verdict, and how many there are of each."""
    for verdict in verdicts:
        print(f"{verdict.claim.id:28} {verdict.sentence}")
    counts = collections.Counter(verdict.verdict for verdict in verdicts)
    if counts:
        print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
