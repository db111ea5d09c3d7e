"""A model beside the baselines on the same examples, and whether it beats the best of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stock_rnn.data import StockDataSet
from stock_rnn.forecasting.accuracy import Accuracy, Scale, accuracies
from stock_rnn.forecasting.significance import MIN_LOSSES, DieboldMariano, diebold_mariano, holm

#: The name of the trained run's model among the forecasts.
MODEL = "model"

_LEVEL = 0.05
_NO_TEST = f"fewer than {MIN_LOSSES} examples, or all differences are equal"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The forecasts of one set of examples.

    Attributes:
        name: the set, e.g. "test".
        accuracies: `MODEL`, then each baseline -> its accuracy.
        tests: baseline -> the Diebold-Mariano test of the model's squared errors against its.
        adjusted: baseline -> the test's p-value by Holm's correction over all baselines; nan
            where there is no test.
    """

    name: str
    accuracies: dict[str, Accuracy]
    tests: dict[str, DieboldMariano]
    adjusted: dict[str, float]

    @property
    def best(self) -> str:
        """The baseline of the lowest mean squared error; the first one of several."""
        return min(self.tests, key=lambda name: self.accuracies[name].score.mse)

    @property
    def sentence(self) -> str:
        """Whether the model beats the best baseline at 5 %."""
        best, test = self.best, self.tests[self.best]
        model, other = (self.accuracies[name].score.mse for name in (MODEL, best))
        if not math.isfinite(model):
            return f"{self.name}: no comparison with baselines: the forecast is not finite"
        if other == 0:
            return f"{self.name}: no comparison with baselines: {best} makes no error"
        ratio = f"MSE {model / other - 1:+.1%}"
        if math.isnan(test.p_value):
            return f"{self.name}: no test against the best baseline, {best} ({ratio}): {_NO_TEST}"
        adjusted = self.adjusted[best]
        significant = adjusted < _LEVEL
        beats = "beats" if test.difference < 0 and significant else "does not beat"
        worse = ", and is worse" if test.difference > 0 and significant else ""
        return (
            f"{self.name}: the model {beats} the best baseline, {best}, at 5 %{worse} "
            f"({ratio}, p {_p_value(adjusted)})"
        )

    @property
    def shift(self) -> str:
        """In words: whether the model's predictions are yesterday's price."""
        return self.accuracies[MODEL].shift.in_words

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON: null where a number is undefined."""
        forecasts = {name: _fields(each) for name, each in self.accuracies.items()}
        for name, test in self.tests.items():
            forecasts[name]["diebold_mariano"] = {
                **{key: _finite(value) for key, value in dataclasses.asdict(test).items()},
                "p_value_holm": _finite(self.adjusted[name]),
            }
        return {
            "set": self.name,
            "best_baseline": self.best,
            "sentence": self.sentence,
            "shift": self.shift,
            "forecasts": forecasts,
        }

    def to_frame(self) -> pd.DataFrame:
        """A row a forecast; the columns are those of the JSON, one level deep."""
        rows = []
        for name, fields in self.to_dict()["forecasts"].items():
            row: dict[str, Any] = {"set": self.name, "forecast": name}
            for key, value in fields.items():
                row |= _flat(key, value)
            rows.append(row)
        frame = pd.DataFrame(rows)
        # Whole numbers with a gap: the model has no test against itself.
        whole = ["shift", "diebold_mariano_lags"]
        return frame.astype(dict.fromkeys(whole, "Int64"))


def compare(
    name: str,
    dataset: StockDataSet,
    examples: NDArray[np.integer],
    predictions: Mapping[str, NDArray[np.floating]],
    scale: Scale,
) -> Comparison:
    """Compare a model with baselines on the same examples.

    Args:
        name: what the examples are called, e.g. "test".
        dataset: what was predicted.
        examples: (k,), k >= 1, in order of time.
        predictions: `MODEL` and each baseline -> (k, N), in the units of the labels.
        scale: of the training's prices.
    """
    measured = accuracies(dataset, examples, predictions, scale)
    model = measured[MODEL].losses
    tests = {
        which: diebold_mariano(model, each.losses)
        for which, each in measured.items()
        if which != MODEL
    }
    adjusted = holm([test.p_value for test in tests.values()])
    return Comparison(name, measured, tests, dict(zip(tests, adjusted, strict=True)))


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _fields(each: Accuracy) -> dict[str, Any]:
    """The numbers of an accuracy for JSON, in the order of the table."""
    score, direction = each.score, each.direction
    return {
        "examples": score.examples,
        "mse": _finite(score.mse),
        "mae": _finite(each.mae),
        "rmse_price": _finite(each.rmse_price),
        "mape": _finite(each.mape),
        "mase": _finite(each.mase),
        "rmsse": _finite(each.rmsse),
        "skill": _finite(score.skill),
        "skill_interval": [_finite(end) for end in score.interval],
        "direction_share": _finite(direction.share),
        "direction_interval": [_finite(end) for end in direction.interval],
        "direction_count": direction.count,
        "shift": each.shift.best,
        "shift_correlations": [_finite(value) for value in each.shift.correlations],
    }


def _flat(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"{key}_{name}": each for name, each in value.items()}
    if isinstance(value, list):
        ends = ("low", "high") if len(value) == 2 else range(len(value))
        return {f"{key}_{end}": each for end, each in zip(ends, value, strict=True)}
    return {key: value}
