"""`backtest`: train and test along time; tables, intervals and a picture out."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_rnn.backtest.plan import MODELS, WINDOWS, Walk
from stock_rnn.cli._command import (
    Parser,
    add_jobs,
    add_settings,
    aligned,
    given_settings,
    run_command,
)
from stock_rnn.cli._intervals import add_intervals, interval_table, intervals_of, refuse_step
from stock_rnn.cli.evaluate import comparison_table
from stock_rnn.config import DEFAULT_PRESET, PRESETS, resolve, settings
from stock_rnn.errors import UserError
from stock_rnn.settings import flag
from stock_rnn.terminal import quiet_import

if TYPE_CHECKING:
    from stock_rnn.backtest.run import Backtest

# The folds are the split, and curvature is not measured.
_UNUSED = (
    *("split", "test_ratio", "train_ratio"),
    *("hessian_every", "hessian_samples", "hessian_tol", "hessian_split"),
    *("hessian_verify", "hessian_track", "gradient_every", "keep_weights"),
    *("symbols", "symbols_file", "embed_size"),
)


def _parser(program: str = "python -m stock_rnn backtest") -> Parser:
    parser = Parser(
        prog=program,
        description="Walk-forward backtest: cut time into folds, train on what lies before each "
        "and forecast it, with baselines beside. Leaves tables and a picture in models/. Its flags "
        "are those of train, but for the split, which the folds are, and the curvature, which is "
        "not measured. docs/forecasting.md explains what comes out.",
    )
    parser.add_argument(
        "--preset",
        metavar="|".join(PRESETS),
        default=argparse.SUPPRESS,
        help="settings of the report's experiments; any other flag overrides them "
        f"(default: {DEFAULT_PRESET})",
    )
    _add_walk(parser)
    add_intervals(
        parser,
        "conformal: from the newest errors before the fold; adaptive: the same, wider after every "
        "miss; dropout: from forecasts with dropout on (default: conformal)",
    )
    add_settings(parser, [each.name for each in settings() if each.name not in _UNUSED])
    parser.add_argument(
        "--run-name",
        default=argparse.SUPPRESS,
        help="another name of the folder than the one made from the settings",
    )
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="where it goes")
    add_jobs(parser)
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler: tcp://HOST:PORT")
    parser.add_argument(
        "--resume",
        nargs="?",
        metavar="NAME",
        const=True,
        default=argparse.SUPPRESS,
        help="go on with a backtest by its name, with its own settings; other intervals may be "
        "given. Without NAME: with the backtest of the flags, or start it",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        default=argparse.SUPPRESS,
        help="replace an existing backtest",
    )
    return parser


def _add_walk(parser: Parser) -> None:
    walk = Walk()

    def add(name: str, help_text: str, **options: Any) -> None:
        default = getattr(walk, name)
        if not isinstance(default, bool):
            help_text += f" (default: {default})"
            options = {"type": type(default), "metavar": type(default).__name__.upper()} | options
        parser.add_argument(flag(name), default=argparse.SUPPRESS, help=help_text, **options)

    add("folds", "stretches of time that are tested, of equal length")
    add("initial", "share of the examples that lie before the first fold")
    add(
        "window",
        "expanding: train on all that lies before a fold; rolling: on as many of the newest "
        "examples as lie before the first one",
        metavar="|".join(WINDOWS),
    )
    add("refit_every", "train anew before every so many folds")
    add(
        "warm_start",
        "start each training from the weights of the one before, not anew",
        action="store_true",
    )
    add(
        "model",
        "forecast with the last epoch's weights, or with those of the lowest validation loss or, "
        "without --validation-ratio, training loss",
        metavar="|".join(MODELS),
    )


def main(
    argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn backtest"
) -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)
    begun: list[str] = []

    def command() -> None:
        if arguments.jobs < 1:
            raise UserError(f"--jobs must be at least 1. Received: {arguments.jobs}")
        asked = _asked(arguments)
        with quiet_import():
            from stock_rnn.backtest import run
            from stock_rnn.backtest.folder import Folder, default_name
        name = asked["run_name"] or default_name(asked["config"], asked["walk"])
        begun.append(Folder(name, arguments.models_dir).resume_command())
        found = run.walk_forward(
            **asked,
            models_dir=arguments.models_dir,
            jobs=arguments.jobs,
            scheduler=arguments.scheduler,
        )
        print(as_text(found))

    def hint() -> str:
        return f"; {begun[0]} goes on" if begun else "; nothing was begun"

    return run_command(command, program, interrupted=hint)


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags ask for, as `walk_forward` takes it.

    Raises:
        UserError: a setting is out of range or ignored, or there is nothing to resume.
    """
    given = vars(arguments)
    walk = {name: given[name] for name in _walk_names() if name in given}
    intervals = intervals_of(arguments)
    resume = given.get("resume", False)
    if isinstance(resume, str):
        return _resumed(resume, arguments, walk, intervals)
    config = resolve(given.get("preset", DEFAULT_PRESET), given_settings(arguments))
    refuse_step(intervals)
    with quiet_import():
        from stock_rnn.forecasting.intervals import Intervals
    return {
        "config": dataclasses.replace(config, hessian_every=0),
        "walk": Walk(**walk),
        "intervals": Intervals(**intervals),
        "run_name": given.get("run_name"),
        "resume": resume,
        "overwrite": given.get("overwrite", False),
    }


def _resumed(
    name: str, arguments: argparse.Namespace, walk: dict[str, Any], intervals: dict[str, Any]
) -> dict[str, Any]:
    """A backtest that goes on with its own settings.

    Raises:
        UserError: there is no such backtest, or flags beside it say otherwise.
    """
    others = [other for other in ("preset", "run_name", "overwrite") if other in vars(arguments)]
    if refused := [flag(other) for other in (*given_settings(arguments), *walk, *others)]:
        raise UserError(
            f"--resume {name} goes on with the backtest's own settings: leave out "
            f"{', '.join(refused)}"
        )
    with quiet_import():
        from stock_rnn.backtest.folder import Folder, read_asked
    asked = read_asked(Folder(name, arguments.models_dir))
    refuse_step({"method": asked.intervals.method, **intervals})
    return {
        "config": asked.config,
        "walk": asked.walk,
        "intervals": dataclasses.replace(asked.intervals, **intervals),
        "run_name": name,
        "resume": True,
        "overwrite": False,
    }


def _walk_names() -> list[str]:
    return [field.name for field in dataclasses.fields(Walk)]


def as_text(found: Backtest) -> str:
    """The result for the terminal: folds, all folds together, intervals, sentences, files."""
    from stock_rnn.backtest.tables import fold_rows, how

    judged = found.judged
    lines = [
        f"backtest {found.path}",
        how(found.config, found.walk),
        aligned(fold_rows(found.judged), left=("first", "last", "start", "best baseline")),
        comparison_table(judged.comparison),
        interval_table(found.intervals, judged.intervals),
        *judged.sentences,
        *map(str, found.files),
    ]
    return "\n".join(lines)
