"""A trained run: its predictions, their errors, its curvature."""

import stock_rnn.curvature  # noqa: F401  Says so if Keras has another backend than TensorFlow.
from stock_rnn.forecasting.accuracy import Accuracy, Direction, Scale, Shift, accuracy
from stock_rnn.forecasting.baselines import Predictor, fit_baselines
from stock_rnn.forecasting.comparison import Comparison, compare
from stock_rnn.forecasting.evaluation import Evaluation, evaluate
from stock_rnn.forecasting.forecaster import Forecaster, load_run
from stock_rnn.forecasting.horizon import NextPrices, predict_next, predict_stocks
from stock_rnn.forecasting.metrics import PriceError, Score, price_error, score
from stock_rnn.forecasting.pooling import PooledComparison, daily_losses
from stock_rnn.forecasting.significance import DieboldMariano, diebold_mariano, holm

__all__ = [
    "Accuracy",
    "Comparison",
    "DieboldMariano",
    "Direction",
    "Evaluation",
    "Forecaster",
    "NextPrices",
    "PooledComparison",
    "Predictor",
    "PriceError",
    "Scale",
    "Score",
    "Shift",
    "accuracy",
    "compare",
    "daily_losses",
    "diebold_mariano",
    "evaluate",
    "fit_baselines",
    "holm",
    "load_run",
    "predict_next",
    "predict_stocks",
    "price_error",
    "score",
]
