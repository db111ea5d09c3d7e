"""`train`: prices in, a run directory out."""

from __future__ import annotations

from collections.abc import Sequence

from stock_rnn.cli._command import (
    Parser,
    add_folders,
    add_settings,
    given_settings,
    run_command,
)
from stock_rnn.config import DEFAULT_PRESET, PRESETS, resolve


def _parser(program: str = "train.py") -> Parser:
    parser = Parser(
        prog=program,
        description="Train a stacked LSTM on stock prices. Leaves a run in models/ and logs/.",
    )
    parser.add_argument(
        "--preset",
        metavar="|".join(PRESETS),
        default=DEFAULT_PRESET,
        help="settings of the report's experiments; any other flag overrides them",
    )
    add_settings(parser)
    parser.add_argument("--run-name", help="another name than the one made from the settings")
    add_folders(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on with an interrupted run, or start a new one"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing run")
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "train.py") -> int:
    """Run the command.

    Args:
        argv: the words after the program's name; None for the command line's.
        program: what the user typed before them, for help texts and error lines.

    Returns:
        The exit code.
    """
    arguments = _parser(program).parse(argv)

    def command() -> None:
        config = resolve(arguments.preset, given_settings(arguments))
        from stock_rnn.training.train import train

        run = train(
            config,
            run_name=arguments.run_name,
            models_dir=arguments.models_dir,
            logs_dir=arguments.logs_dir,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
        )
        print(f"model    {run.model}")
        print(f"history  {run.history}")
        print(f"logs     {run.logs}    (tensorboard --logdir {run.logs_dir})")

    return run_command(
        command, program, interrupted="; the same command with --resume goes on with the run"
    )
