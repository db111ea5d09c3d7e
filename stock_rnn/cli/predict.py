"""`predict`: a trained run in; the prices of the next trading days out."""

from __future__ import annotations

import argparse
import datetime
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stock_rnn.cli._command import (
    Parser,
    add_folders,
    add_settings,
    aligned,
    given_settings,
    run_command,
)
from stock_rnn.config import INTERVAL_STEP, INTERVALS, PRICE_SETTINGS, Config
from stock_rnn.errors import UserError

if TYPE_CHECKING:
    from stock_rnn.forecasting.horizon import NextPrices

# Prices that end longer ago are not the newest ones: no holidays are so long.
_OLD = datetime.timedelta(days=10)

_SPAN = {"period", "start", "end"}


def _parser(program: str = "python -m stock_rnn predict") -> Parser:
    parser = Parser(
        prog=program,
        description="Predict the prices of the next trading days from the newest prices, with "
        "persistence beside them: the forecast that the price stays where it is. Intervals come "
        "from the errors on the run's test examples. docs/forecasting.md explains the rest.",
    )
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
    parser.add_argument(
        "--horizon",
        type=int,
        metavar="DAYS",
        help="trading days to predict; beyond the first window from the predictions before. "
        "Without it the next window",
    )
    parser.add_argument(
        "--coverage", type=float, default=0.9, metavar="SHARE", help="that intervals aim at"
    )
    parser.add_argument(
        "--intervals",
        metavar="|".join(INTERVALS),
        default="conformal",
        help="conformal: from the test errors; adaptive: from the same, wider after misses; "
        "dropout: from predictions with dropout on",
    )
    parser.add_argument(
        "--interval-step",
        type=float,
        metavar="STEP",
        default=argparse.SUPPRESS,
        help=f"of the adaptive ones: how much a miss changes (default: {INTERVAL_STEP})",
    )
    parser.add_argument(
        "--calendar",
        metavar="NAME",
        help="code of the exchange, such as XNYS, XLON, XETR or 24/7, or weekdays; without it the "
        "symbol tells",
    )
    parser.add_argument("--json", action="store_true", help="all of it as JSON")
    add_settings(parser, PRICE_SETTINGS)
    add_folders(parser)
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn predict") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)

    def command() -> None:
        from stock_rnn.data import prices_of
        from stock_rnn.terminal import quiet_import
        from stock_rnn.training import runs

        if "interval_step" in vars(arguments) and arguments.intervals != "adaptive":
            raise UserError("--interval-step is of --intervals adaptive alone: leave it out")
        # Before TensorFlow is imported: a wrong file is reported at once.
        run = runs.open_run(arguments.run, arguments.models_dir, arguments.logs_dir)
        config = runs.read_record(run).config
        prices = prices_of(_newest(config, given_settings(arguments)))
        with quiet_import():
            from stock_rnn.forecasting.forecaster import load_run
            from stock_rnn.forecasting.horizon import predict_next
        forecaster = load_run(
            arguments.run or run.name,
            models_dir=arguments.models_dir,
            logs_dir=arguments.logs_dir,
            which=arguments.model,
        )
        found = predict_next(
            forecaster,
            prices,
            horizon=arguments.horizon,
            coverage=arguments.coverage,
            intervals=arguments.intervals,
            step=vars(arguments).get("interval_step", INTERVAL_STEP),
            calendar=arguments.calendar,
        )
        if arguments.json:
            print(json.dumps(found.to_dict(), indent=2, allow_nan=False, ensure_ascii=False))
        else:
            which = "" if forecaster.which == "last" else f", {forecaster.which} epoch's model"
            print(f"run {forecaster.run.folder}{which}")
            print(as_text(found, datetime.date.today()))

    return run_command(command, program)


def _newest(config: Config, given: dict[str, Any]) -> Config:
    """The run's settings on the newest prices, unless a span is named."""
    if (config.start or config.end) and not given.keys() & _SPAN:
        given = {**given, "period": Config().period}
    return config.on_other_prices(given)


def as_text(found: NextPrices, today: datetime.date) -> str:
    """The predictions for the terminal.

    Args:
        found: what was predicted.
        today: prices that end long before it are told.
    """
    from stock_rnn.forecasting.horizon import NOTICE

    last = found.prices.dates[-1].item().date()
    # Four digits of the newest price, and two decimals at least.
    decimals = max(2, 3 - math.floor(math.log10(found.last_price)))

    def cell(price: float) -> str:
        return f"{price:,.{decimals}f}"

    newest = f"newest price of {found.prices.symbol}: {cell(found.last_price)} of {last}"
    if today - last > _OLD:
        newest += ", long ago: --source yahoo or --csv FILE may have newer ones"
    rows: list[tuple[str, ...]] = [
        ("date", "", "predicted", f"{100 * found.coverage:g} % interval", "persistence")
    ]
    for row in found.to_dict()["predictions"]:
        low, high = row["low"], row["high"]
        interval = "-" if low is None else f"[{cell(low)}, {cell(high)}]"
        prices = cell(row["predicted"]), interval, cell(row["persistence"])
        rows.append((row["date"], row["kind"], *prices))
    lines = (newest, aligned(rows), found.days.note, found.intervals, found.verdict, NOTICE)
    return "\n".join(lines)
