"""Tasks of minutes in other processes: of this machine, or of a Dask cluster.

Nothing here knows what a task is. The study and the backtest bring their own.
"""
