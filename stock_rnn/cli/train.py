"""`train`: prices in, a run directory out."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from stock_rnn.cli._command import (
    Parser,
    add_folders,
    add_settings,
    given_settings,
    run_command,
)
from stock_rnn.config import DEFAULT_PRESET, PRESETS, Config, resolve
from stock_rnn.errors import UserError
from stock_rnn.settings import flag


def _parser(program: str = "train.py") -> Parser:
    parser = Parser(
        prog=program,
        description="Train a stacked LSTM on stock prices. Leaves a run in models/ and logs/.",
    )
    parser.add_argument(
        "--preset",
        metavar="|".join(PRESETS),
        default=argparse.SUPPRESS,
        help="settings of the report's experiments; any other flag overrides them "
        f"(default: {DEFAULT_PRESET})",
    )
    add_settings(parser)
    parser.add_argument(
        "--run-name",
        default=argparse.SUPPRESS,
        help="another name than the one made from the settings",
    )
    add_folders(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        metavar="RUN",
        const=True,
        default=argparse.SUPPRESS,
        help="go on with a run by its name or folder, with its own settings; without RUN: with "
        "the run of the flags, or start it",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        default=argparse.SUPPRESS,
        help="replace an existing run",
    )
    return parser


@dataclasses.dataclass
class _Training:
    """What the flags ask for, as `train` takes it."""

    config: Config
    run_name: str | None
    models_dir: Path
    logs_dir: Path
    resume: bool
    overwrite: bool


def main(argv: Sequence[str] | None = None, *, program: str = "train.py") -> int:
    """Run the command.

    Args:
        argv: the words after the program's name; None for the command line's.
        program: what the user typed before them, for help texts and error lines.

    Returns:
        The exit code.
    """
    arguments = _parser(program).parse(argv)
    asked: list[_Training] = []

    def command() -> None:
        training = _training(arguments)
        asked.append(training)
        from stock_rnn.training.train import train

        run = train(**vars(training))
        print(f"model    {run.model}")
        print(f"history  {run.history}")
        print(f"logs     {run.logs}    (tensorboard --logdir {run.logs_dir})")

    return run_command(command, program, interrupted=lambda: _hint(*asked))


def _training(arguments: argparse.Namespace) -> _Training:
    """What the flags ask for.

    Raises:
        UserError: a setting is out of range or ignored, or there is no run to resume.
    """
    given = vars(arguments)
    resume = given.get("resume", False)
    if isinstance(resume, str):
        return _resumed(resume, arguments)
    return _Training(
        config=resolve(given.get("preset", DEFAULT_PRESET), given_settings(arguments)),
        run_name=given.get("run_name"),
        models_dir=arguments.models_dir,
        logs_dir=arguments.logs_dir,
        resume=resume,
        overwrite=given.get("overwrite", False),
    )


def _resumed(name: str, arguments: argparse.Namespace) -> _Training:
    """A training that goes on with a run, with the settings that the run has recorded.

    Raises:
        UserError: there is no such run, or flags beside it say otherwise.
    """
    from stock_rnn.training import runs

    given = given_settings(arguments)
    others = [other for other in ("preset", "run_name", "overwrite") if other in vars(arguments)]
    if refused := [flag(other) for other in (*given, *others) if other != "max_epoch"]:
        raise UserError(
            f"--resume {name} goes on with the run's own settings, but for --max-epoch: leave out "
            f"{', '.join(refused)}"
        )
    run = runs.open_run(name, arguments.models_dir, arguments.logs_dir)
    config = runs.read_record(run).config
    if (epochs := given.get("max_epoch", config.max_epoch)) < config.max_epoch:
        raise UserError(
            f"run {run.folder} is one of {config.max_epoch} epochs: --max-epoch must be at least "
            f"that to go on with it. Received: {epochs}"
        )
    return _Training(
        config=dataclasses.replace(config, max_epoch=epochs),
        run_name=run.name,
        models_dir=run.models_dir,
        logs_dir=run.logs_dir,
        resume=True,
        overwrite=False,
    )


def _hint(training: _Training | None = None) -> str:
    """How to go on after Ctrl-C."""
    from stock_rnn.training import runs

    if training is not None:
        name = training.run_name or runs.run_name(training.config)
        run = runs.Run(name, training.models_dir, training.logs_dir)
        if not run.config.exists() and training.resume:
            run = runs.begun_run(training.config, training.models_dir, training.logs_dir) or run
        if run.config.exists():
            return f"; {run.resume_command()} goes on with the run"
    return "; nothing was begun, and the same command begins it"
