"""The run directory, models/RUN and logs/RUN. No TensorFlow."""

from stock_rnn.training.runs.directory import (
    Run,
    locked,
    open_run,
    run_name,
    series_name,
    shorter_run,
)
from stock_rnn.training.runs.record import (
    Record,
    create,
    describe_data,
    lengthen,
    mark_diverged,
    read_prices,
    read_record,
    refuse_diverged,
)

__all__ = [
    "Record",
    "Run",
    "create",
    "describe_data",
    "lengthen",
    "locked",
    "mark_diverged",
    "open_run",
    "read_prices",
    "read_record",
    "refuse_diverged",
    "run_name",
    "series_name",
    "shorter_run",
]
