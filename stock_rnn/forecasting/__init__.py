"""A trained run: its predictions, their errors, its curvature."""

import stock_rnn.curvature  # noqa: F401  Says so if Keras has another backend than TensorFlow.
from stock_rnn.forecasting.forecaster import Forecaster, load_run
from stock_rnn.forecasting.metrics import Score, score

__all__ = ["Forecaster", "Score", "load_run", "score"]
