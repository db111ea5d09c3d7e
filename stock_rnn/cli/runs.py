"""`runs`: a table of the runs in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stock_rnn.cli._command import Parser, add_folders, aligned, run_command
from stock_rnn.config import settings
from stock_rnn.settings import switch

if TYPE_CHECKING:
    from stock_rnn.training.runs import Summary

#: The settings that have a column of their own where runs differ in them.
_MAIN = (
    *("symbol", "optimizer", "init_learning_rate", "cell", "lstm_size", "num_layers"),
    *("num_steps", "input_size", "batch_size", "max_epoch", "seed"),
)


#: The examples that a run may be watched on while it trains.
MONITORED = ("test", "validation")


def _parser(program: str = "python -m stock_rnn runs") -> Parser:
    parser = Parser(
        prog=program,
        description="List the runs, the one begun last at the end: the settings in which they "
        "differ, how far they came, and their losses after the last epoch (mean squared errors). "
        "best is the training loss of the epoch in best.keras; persistence is the test loss of "
        "guessing that the price stays where it is; skill is 1 - test / persistence. For runs "
        "with validation examples it is their loss in place of the test loss.",
    )
    add_folders(parser)
    parser.add_argument(
        "--json", action="store_true", help="all settings and numbers as JSON, a list of runs"
    )
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn runs") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)

    def command() -> None:
        from stock_rnn.training import runs

        found = runs.summaries(arguments.models_dir, arguments.logs_dir)
        if arguments.json:
            print(as_json(found))
        elif not found:
            print(f"no runs in {arguments.models_dir}")
        else:
            print(_table(found))
            for each in found:
                if each.detail:
                    print(f"{each.run.name} ({each.state}): {each.detail}")

    return run_command(command, program)


def as_json(found: Sequence[Summary]) -> str:
    """The runs as strict JSON."""
    content = [each.to_dict() for each in found]
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)


def differing_settings(found: Sequence[Summary]) -> list[str]:
    """The names of the settings in which runs differ, in the order of the flags."""
    known = [each.record.config.to_dict() for each in found if each.record]
    return [
        setting.name
        for setting in settings()
        if len({repr(values[setting.name]) for values in known}) > 1
    ]


def unmonitored(found: Sequence[Summary]) -> set[str]:
    """The names among `MONITORED` that are of none of the runs."""
    return set(MONITORED) - {each.monitored for each in found}


def numbers(each: Summary) -> dict[str, str]:
    """Column -> its cell, of the losses and the skill of a run."""
    return {
        "train": _number(each.last.train),
        "best": _number(each.best.train),
        **dict.fromkeys(MONITORED, "-"),
        each.monitored: _number(each.last.monitored),
        "persistence": _number(each.persistence[1]),
        "skill": f"{each.skill:+.3f}" if each.skill == each.skill else "-",
    }


def setting(each: Summary, name: str) -> str:
    """A setting of a run as text."""
    if each.record is None:
        return "-"
    value = each.record.config.to_dict()[name]
    words: dict[Any, str] = {None: "-", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _table(found: Sequence[Summary]) -> str:
    differing = differing_settings(found)
    main = [name for name in differing if name in _MAIN]
    others = [name for name in differing if name not in _MAIN]
    old = {each.version for each in found} - {None}
    unused = unmonitored(found)
    rows = []
    for each in found:
        row = {"run": each.run.name, "state": each.in_words}
        row |= {name.replace("_", "-"): setting(each, name) for name in main}
        row |= {name: cell for name, cell in numbers(each).items() if name not in unused}
        if len(old) > 1:
            row["version"] = each.version or "-"
        if others:
            row["other settings"] = _as_flags(each, others)
        rows.append(row)
    return aligned([list(rows[0]), *(list(row.values()) for row in rows)], left=_TEXTS)


# The columns that are no numbers.
_TEXTS = ("run", "state", "symbol", "optimizer", "cell", "version", "other settings")


def _as_flags(each: Summary, names: Sequence[str]) -> str:
    """The settings among `names` that are not the defaults, as flags."""
    if each.record is None:
        return "-"
    values = each.record.config.to_dict()
    words = []
    for setting in settings():
        value = values[setting.name]
        if setting.name in names and value != setting.default:
            boolean = isinstance(value, bool)
            words.append(switch(setting.name, value) if boolean else f"{setting.flag} {value}")
    return " ".join(words)


def _number(value: float) -> str:
    return f"{value:.3g}" if value == value else "-"
