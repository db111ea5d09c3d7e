"""The run directory, models/RUN and logs/RUN. No TensorFlow."""

from stock_rnn.training.runs.deleting import delete, run_to_delete
from stock_rnn.training.runs.directory import Run, is_locked, locked
from stock_rnn.training.runs.finding import all_runs, begun_run, open_run
from stock_rnn.training.runs.names import run_name, series_name
from stock_rnn.training.runs.progress import check_resumable, epochs_done, faults, read_history
from stock_rnn.training.runs.record import (
    Record,
    create,
    describe_data,
    lengthen,
    mark_diverged,
    read_divergence,
    read_prices,
    read_record,
    refuse_diverged,
)
from stock_rnn.training.runs.summary import Losses, Summary, summaries, summarize

__all__ = [
    "Losses",
    "Record",
    "Run",
    "Summary",
    "all_runs",
    "begun_run",
    "check_resumable",
    "create",
    "delete",
    "describe_data",
    "epochs_done",
    "faults",
    "is_locked",
    "lengthen",
    "locked",
    "mark_diverged",
    "open_run",
    "read_divergence",
    "read_history",
    "read_prices",
    "read_record",
    "refuse_diverged",
    "run_name",
    "run_to_delete",
    "series_name",
    "summaries",
    "summarize",
]
