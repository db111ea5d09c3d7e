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
    add_run,
    add_settings,
    aligned,
    given_settings,
    run_command,
)
from stock_rnn.config import INTERVAL_STEP, INTERVALS, PRICE_SETTINGS, Config, on_other_prices
from stock_rnn.errors import UserError

if TYPE_CHECKING:
    from stock_rnn.forecasting.horizon import NextPrices

# Prices that end longer ago are not the newest ones: no holidays are so long.
_OLD = datetime.timedelta(days=10)

_LONG_AGO = "long ago: --source yahoo or --csv FILE may have newer ones"

_SPAN = {"period", "start", "end"}


def _parser(program: str = "python -m stock_rnn predict") -> Parser:
    parser = Parser(
        prog=program,
        description="Predict the prices of the next trading days from the newest prices, with "
        "persistence beside them: the forecast that the price stays where it is. Intervals come "
        "from the errors on the run's test examples. docs/forecasting.md explains the rest.",
    )
    add_run(parser)
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
        from stock_rnn.prices import Stocks
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
            from stock_rnn.forecasting.horizon import predict_next, predict_stocks
        forecaster = load_run(
            arguments.run or run.name,
            models_dir=arguments.models_dir,
            logs_dir=arguments.logs_dir,
            which=arguments.model,
        )
        names = ("horizon", "coverage", "intervals", "calendar")
        asked = {name: getattr(arguments, name) for name in names}
        asked["step"] = vars(arguments).get("interval_step", INTERVAL_STEP)
        if isinstance(prices, Stocks):
            several = predict_stocks(forecaster, prices, **asked)
            content = {"run": run.name, "stocks": [found.to_dict() for found in several]}
            text = stocks_as_text(several, datetime.date.today())
        else:
            found = predict_next(forecaster, prices, **asked)
            content, text = found.to_dict(), as_text(found, datetime.date.today())
        if arguments.json:
            print(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False))
        else:
            which = "" if forecaster.which == "last" else f", {forecaster.which} epoch's model"
            print(f"run {forecaster.run.folder}{which}")
            print(text)

    return run_command(command, program)


def _newest(config: Config, given: dict[str, Any]) -> Config:
    """The run's settings on the newest prices, unless a span is named."""
    if (config.start or config.end) and not given.keys() & _SPAN:
        given = {**given, "period": Config().period}
    return on_other_prices(config, given)


def as_text(found: NextPrices, today: datetime.date) -> str:
    """The predictions for the terminal.

    Args:
        found: what was predicted.
        today: prices that end long before it are told.
    """
    from stock_rnn.forecasting.horizon import NOTICE

    last = found.prices.dates[-1].item().date()
    newest = f"newest price of {found.prices.symbol}: {_price(found, found.last_price)} of {last}"
    if today - last > _OLD:
        newest += f", {_LONG_AGO}"
    rows: list[tuple[str, ...]] = [
        ("date", "", "predicted", f"{100 * found.coverage:g} % interval", "persistence"),
        *_rows(found),
    ]
    lines = [newest, aligned(rows), found.days.note, found.intervals, found.verdict, NOTICE]
    if found.unseen:
        lines.insert(1, found.unseen)
    return "\n".join(lines)


def stocks_as_text(several: Sequence[NextPrices], today: datetime.date) -> str:
    """The predictions of several stocks for the terminal, with the skill of each.

    Args:
        several: what was predicted, of one or more.
        today: prices that end long before it are told.
    """
    from stock_rnn.forecasting.horizon import NOTICE

    last = [found.prices.dates[-1].item().date() for found in several]
    span = f"{min(last)}" if min(last) == max(last) else f"{min(last)} to {max(last)}"
    newest = f"newest prices of {len(several)} stocks: of {span}"
    if today - max(last) > _OLD:
        newest += f", {_LONG_AGO}"
    interval = f"{100 * several[0].coverage:g} % interval"
    rows: list[tuple[str, ...]] = [
        ("", "date", "", "predicted", interval, "persistence", "test skill, 95 %")
    ]
    for found in several:
        skill, (low, high) = found.score.skill, found.score.interval
        ends = f" [{low:+.2f}, {high:+.2f}]" if low == low else ""
        told = "undefined" if skill != skill else f"{skill:+.2f}{ends}"
        rows += [(found.prices.symbol, *cells, told) for cells in _rows(found)]
    notes = dict.fromkeys(found.days.note for found in several)
    better = sum(found.score.interval[0] > 0 for found in several)
    lines = (
        newest,
        aligned(rows, left=("date",)),
        *notes,
        "intervals from the errors on the test examples of each stock, measured at each step ahead",
        f"{better} of {len(several)} stocks: better than guessing no change, by the test skill's "
        "95 % interval",
        NOTICE,
    )
    return "\n".join(lines)


def _rows(found: NextPrices) -> list[tuple[str, ...]]:
    """Date, kind, prediction, interval and persistence of each step."""
    rows: list[tuple[str, ...]] = []
    for row in found.to_dict()["predictions"]:
        low, high = row["low"], row["high"]
        interval = "-" if low is None else f"[{_price(found, low)}, {_price(found, high)}]"
        prices = _price(found, row["predicted"]), interval, _price(found, row["persistence"])
        rows.append((row["date"], row["kind"], *prices))
    return rows


def _price(found: NextPrices, price: float) -> str:
    """A price with four digits of the newest one, and two decimals at least."""
    decimals = max(2, 3 - math.floor(math.log10(found.last_price)))
    return f"{price:,.{decimals}f}"
