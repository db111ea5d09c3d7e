"""A trained run: its predictions, their errors, its curvature."""

import stock_rnn.curvature  # noqa: F401  Says so if Keras has another backend than TensorFlow.
from stock_rnn.forecasting.evaluation import Evaluation, evaluate
from stock_rnn.forecasting.forecaster import Forecaster, load_run
from stock_rnn.forecasting.metrics import PriceError, Score, price_error, score

__all__ = [
    "Evaluation",
    "Forecaster",
    "PriceError",
    "Score",
    "evaluate",
    "load_run",
    "price_error",
    "score",
]
