"""The run directory, models/RUN and logs/RUN. No TensorFlow."""

from stock_rnn.training.runs.directory import Run, locked, open_run, run_name, series_name
from stock_rnn.training.runs.record import (
    Record,
    create,
    describe_data,
    read_prices,
    read_record,
)

__all__ = [
    "Record",
    "Run",
    "create",
    "describe_data",
    "locked",
    "open_run",
    "read_prices",
    "read_record",
    "run_name",
    "series_name",
]
