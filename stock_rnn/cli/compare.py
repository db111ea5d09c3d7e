"""`compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stock_rnn.cli._command import Parser, add_folders, aligned, run_command
from stock_rnn.cli.runs import as_json, differing_settings, numbers, setting, unmonitored
from stock_rnn.errors import UserError
from stock_rnn.settings import flag

if TYPE_CHECKING:
    from stock_rnn.training.runs import Summary


def _parser(program: str = "python -m stock_rnn compare") -> Parser:
    parser = Parser(
        prog=program,
        description="Compare runs, a column each: the settings in which they differ, then losses "
        "and skill as `runs` shows them. No settings are listed if the runs have the same.",
    )
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="two runs or more, by their names or folders"
    )
    add_folders(parser)
    parser.add_argument(
        "--json", action="store_true", help="all settings and numbers as JSON, a list of runs"
    )
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn compare") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)

    def command() -> None:
        from stock_rnn.training import runs

        if len(arguments.run) < 2:
            raise UserError(f"compare needs two runs or more. Received: {arguments.run[0]}")
        found = [
            runs.summarize(runs.open_run(name, arguments.models_dir, arguments.logs_dir))
            for name in arguments.run
        ]
        print(as_json(found) if arguments.json else _table(found))
        for each in found:
            if each.detail and not arguments.json:
                print(f"{each.run.name} ({each.state}): {each.detail}")

    return run_command(command, program)


def _table(found: Sequence[Summary]) -> str:
    rows = [["", *(each.run.name for each in found)]]
    for name in differing_settings(found):
        rows.append([flag(name), *(setting(each, name) for each in found)])
    texts = {
        "prices": [_prices(each) for each in found],
        "version": [each.version or "-" for each in found],
    }
    rows += [[name, *values] for name, values in texts.items() if len(set(values)) > 1]
    rows.append(["state", *(each.in_words for each in found)])
    columns = [numbers(each) for each in found]
    names = [name for name in columns[0] if name not in unmonitored(found)]
    rows += [[name, *(column[name] for column in columns)] for name in names]
    return aligned(rows)


def _prices(each: Summary) -> str:
    """Which prices a run was trained on: count, span, sha256."""
    if each.record is None:
        return "-"
    data = each.record.data
    return f"{data['count']:,}, {data['first'][:10]} to {data['last'][:10]}, {data['sha256'][:8]}"
