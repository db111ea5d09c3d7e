"""`evaluate`: a trained run in; losses, predictions, pictures and spectra out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stock_rnn.cli._command import (
    Parser,
    add_folders,
    add_run,
    add_settings,
    aligned,
    given_settings,
    run_command,
)
from stock_rnn.cli._intervals import add_intervals, interval_table, intervals_of, refuse_step
from stock_rnn.config import PRICE_SETTINGS, SPECTRA, Config, on_other_prices
from stock_rnn.errors import UserError
from stock_rnn.files import remove_old_part_files
from stock_rnn.settings import flag

if TYPE_CHECKING:
    from stock_rnn.forecasting.comparison import Comparison
    from stock_rnn.forecasting.evaluation import Evaluation
    from stock_rnn.forecasting.pooling import PooledComparison


def _parser(program: str = "evaluate.py") -> Parser:
    parser = Parser(
        prog=program,
        description="Evaluate a trained run on its own prices, or on others if any are named. "
        "Losses are mean squared errors with dropout off, beside those of persistence: the "
        "forecast that the price stays where it is. Skill is 1 - MSE / persistence's MSE. RMSE is "
        "the root of the mean squared error of the predicted prices. Of the run's settings those "
        "stay that are not given. docs/output.md explains every word.",
    )
    add_run(parser)
    parser.add_argument(
        "--spectrum",
        metavar="|".join(SPECTRA),
        help="also the Hessian of the training loss: all eigenvalues and the matrix, or their "
        "density with standard errors, for networks of any size",
    )
    parser.add_argument(
        "--gradient-flow",
        action="store_true",
        help="also the gradient of the training loss by layer, and its flow through time, at the "
        "initial and at the trained weights",
    )
    parser.add_argument(
        "--no-report", action="store_true", help="write no report.html, the page of all results"
    )
    add_intervals(
        parser,
        "also intervals around the newer half of the test forecasts, and how often they hold: "
        "conformal, from the test errors before; adaptive, wider after every miss; dropout, from "
        "forecasts with dropout on",
    )
    add_settings(parser, PRICE_SETTINGS)
    add_folders(parser)
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "evaluate.py") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)

    def command() -> None:
        from stock_rnn.data import one_stock
        from stock_rnn.terminal import quiet_import
        from stock_rnn.training import runs

        if arguments.spectrum not in (None, *SPECTRA):
            raise UserError(
                f"--spectrum must be one of {', '.join(SPECTRA)}. Received: {arguments.spectrum!r}"
            )
        given = intervals_of(arguments)
        refuse_step(given)
        if given and "method" not in given:
            raise UserError("--coverage and --interval-errors go with --intervals: give it too")
        others = given_settings(arguments)
        if others and given:
            raise UserError(
                "--intervals are those of the run's own test forecasts: leave out "
                f"{', '.join(flag(name) for name in others)}"
            )
        asked = {"--spectrum": arguments.spectrum, "--gradient-flow": arguments.gradient_flow}
        for name in (name for name, value in asked.items() if value and others):
            raise UserError(
                f"{name} is that of the loss on the run's own training prices: leave out "
                f"{', '.join(flag(other) for other in others)}"
            )
        # Before TensorFlow is imported: a wrong file is reported at once.
        run = runs.open_run(arguments.run, arguments.models_dir, arguments.logs_dir)
        config = runs.read_record(run).config
        # A killed evaluation leaves them.
        remove_old_part_files(run.folder)
        prices = one_stock(_others(config, others)) if others else None
        with quiet_import():
            from stock_rnn.forecasting.evaluation import evaluate
            from stock_rnn.forecasting.forecaster import load_run
            from stock_rnn.forecasting.interval_evaluation import evaluate_intervals
            from stock_rnn.forecasting.intervals import Intervals
            from stock_rnn.forecasting.pooling import PooledComparison
        forecaster = load_run(
            arguments.run or run.name,
            models_dir=arguments.models_dir,
            logs_dir=arguments.logs_dir,
            which=arguments.model,
        )
        kind = Intervals(**given)
        interval_scores = evaluate_intervals(forecaster, kind) if given else {}
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
        if result.unseen:
            print(result.unseen)
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
        if given:
            print("the newer half of the test forecasts, from the test errors before each:")
            print(interval_table(kind, interval_scores))
        if isinstance(result.comparison, PooledComparison):
            print(stocks_table(result.comparison))
        files = list(result.files)
        if arguments.spectrum is not None:
            from stock_rnn.forecasting.spectra import describe_spectrum

            lines, drawn = describe_spectrum(forecaster, arguments.spectrum)
            print("\n".join(lines))
            files += drawn
        if arguments.gradient_flow:
            from stock_rnn.forecasting.gradient_flow import describe_gradient_flow

            lines, drawn = describe_gradient_flow(forecaster)
            print("\n".join(lines))
            files += drawn
        print("\n".join(str(path) for path in files))

    return run_command(command, program)


def _others(config: Config, given: dict[str, Any]) -> Config:
    """The configuration of other prices.

    Raises:
        UserError: a value does not fit, or no stock is named where the run has several.
    """
    other = on_other_prices(config, given)
    if other.several:
        raise UserError(
            f"the run has {config.symbol}, and {', '.join(map(flag, given))} needs --symbol: other "
            "prices are those of one stock"
        )
    return other


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
    from stock_rnn.forecasting.tables import comparison_heading, comparison_rows

    return f"{comparison_heading(comparison)}\n{aligned(comparison_rows(comparison))}"


def stocks_table(comparison: PooledComparison) -> str:
    """The model on each of several stocks as aligned text, a row a stock."""
    from stock_rnn.forecasting.tables import stock_rows, stocks_heading

    return f"{stocks_heading(comparison)}\n{aligned(stock_rows(comparison))}"
