"""Walk-forward backtests: train and test along time, fold after fold.

    plan -> fit (in worker processes) -> judge -> files, figure

`plan` says what trains and what tests; `fit` trains on nothing but the prices before its first
test example, and forecasts; `judge` puts baselines, tables and intervals together; `run` does
all of it, and goes on with what was interrupted.
"""
