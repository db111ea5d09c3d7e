"""`evaluate`: a trained run in; losses, predictions, pictures and spectra out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stock_rnn.cli._command import (
    Parser,
    add_folders,
    add_settings,
    aligned,
    given_settings,
    run_command,
)
from stock_rnn.config import PRICE_SETTINGS, SPECTRA
from stock_rnn.errors import UserError
from stock_rnn.files import remove_old_part_files
from stock_rnn.settings import flag

if TYPE_CHECKING:
    from stock_rnn.forecasting.comparison import Comparison
    from stock_rnn.forecasting.evaluation import Evaluation


def _parser(program: str = "evaluate.py") -> Parser:
    parser = Parser(
        prog=program,
        description="Evaluate a trained run on its own prices, or on others if any are named. "
        "Losses are mean squared errors with dropout off, beside those of persistence: the "
        "forecast that the price stays where it is. Skill is 1 - MSE / persistence's MSE. RMSE is "
        "the root of the mean squared error of the predicted prices. Of the run's settings those "
        "stay that are not given. docs/output.md explains every word.",
    )
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="a run's name or folder; the newest if none is named"
    )
    parser.add_argument(
        "--model",
        metavar="last|best",
        default="last",
        help="the last epoch's model, or that of the lowest training loss",
    )
    parser.add_argument(
        "--spectrum",
        metavar="|".join(SPECTRA),
        help="also the Hessian of the training loss: all eigenvalues and the matrix, or their "
        "density with standard errors, for networks of any size",
    )
    parser.add_argument(
        "--no-report", action="store_true", help="write no report.html, the page of all results"
    )
    add_settings(parser, PRICE_SETTINGS)
    add_folders(parser)
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "evaluate.py") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)

    def command() -> None:
        from stock_rnn.data import prices_of
        from stock_rnn.terminal import quiet_import
        from stock_rnn.training import runs

        if arguments.spectrum not in (None, *SPECTRA):
            raise UserError(
                f"--spectrum must be one of {', '.join(SPECTRA)}. Received: {arguments.spectrum!r}"
            )
        others = given_settings(arguments)
        if others and arguments.spectrum is not None:
            raise UserError(
                f"--spectrum is that of the loss on the run's own training prices: leave out "
                f"{', '.join(flag(name) for name in others)}"
            )
        # Before TensorFlow is imported: a wrong file is reported at once.
        run = runs.open_run(arguments.run, arguments.models_dir, arguments.logs_dir)
        config = runs.read_record(run).config
        # A killed evaluation leaves them.
        remove_old_part_files(run.folder)
        prices = prices_of(config.on_other_prices(others)) if others else None
        with quiet_import():
            from stock_rnn.forecasting.evaluation import evaluate
            from stock_rnn.forecasting.forecaster import load_run
        forecaster = load_run(
            arguments.run or run.name,
            models_dir=arguments.models_dir,
            logs_dir=arguments.logs_dir,
            which=arguments.model,
        )
        result = evaluate(
            forecaster,
            prices,
            report=not arguments.no_report,
            command=_typed(program, sys.argv[1:] if argv is None else argv),
        )
        which = "" if forecaster.which == "last" else f", {forecaster.which} epoch's model"
        print(f"run {forecaster.run.folder}{which}")
        if prices:
            print(prices.describe())
        if result.overlap:
            print(result.overlap)
        print(table(result))
        print(result.verdict)
        if result.dropout:
            print(result.dropout)
        if result.comparison:
            print(comparison_table(result.comparison))
        if result.comparison and result.baseline_verdict:
            print(result.baseline_verdict)
            print(result.comparison.shift)
        files = list(result.files)
        if arguments.spectrum is not None:
            from stock_rnn.forecasting.spectra import describe_spectrum

            lines, drawn = describe_spectrum(forecaster, arguments.spectrum)
            print("\n".join(lines))
            files += drawn
        print("\n".join(str(path) for path in files))

    return run_command(command, program)


def _typed(program: str, words: Sequence[str]) -> str:
    """The command line that was typed."""
    python = "python " if program.endswith(".py") else ""
    return f"{python}{program} {shlex.join(words)}".rstrip()


def table(result: Evaluation) -> str:
    """The scores as aligned text, a row a set of examples, one number format a column."""
    from stock_rnn.forecasting.tables import score_rows

    return aligned(score_rows(result.scores, result.price_errors))


def comparison_table(comparison: Comparison) -> str:
    """The forecasts of one set as aligned text, a row a forecast, 100 columns wide at most."""
    from stock_rnn.forecasting.tables import COMPARISON, comparison_rows

    return f"{comparison.name}: {COMPARISON}\n{aligned(comparison_rows(comparison))}"
