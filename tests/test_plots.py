"""The pictures of predictions: what they are given is what they show."""

import numpy as np
import pytest

from stock_rnn import plots

pytestmark = pytest.mark.pictures


def drawn(kinds):
    count = len(kinds)
    dates = np.datetime64("2020-01-01", "s") + np.arange(count) * np.timedelta64(43200, "s")
    figure = plots.prediction_figure(
        dates,
        np.arange(count) + 0.5,
        np.arange(count) + 1.0,
        persistence=np.arange(count) + 0.0,
        title="t",
        ylabel="price",
        kinds=np.array(kinds),
    )
    return [
        {line.get_label(): line.get_ydata() for line in axes.get_lines()} for axes in figure.axes
    ]


def test_the_newest_values_are_shown():
    (panel,) = drawn(["close"] * 300)
    assert set(panel) == {"persistence", "actual", "predicted"}
    np.testing.assert_array_equal(panel["actual"], np.arange(200, 300) + 0.5)


def test_opening_and_closing_prices_have_panels_of_their_own():
    opens, closes = drawn(["open", "close"] * 150)
    np.testing.assert_array_equal(opens["predicted"], np.arange(100, 300, 2) + 1.0)
    np.testing.assert_array_equal(closes["predicted"], np.arange(101, 300, 2) + 1.0)
    assert len(opens["actual"]) == plots.SHOWN_DAYS


@pytest.mark.parametrize("kinds", [["open", "close"], ["close"]])
def test_each_line_is_in_one_legend_once(kinds):
    values = np.arange(4.0)
    figure = plots.prediction_figure(
        np.arange(4).astype("datetime64[D]"),
        *(values, values),
        persistence=values,
        title="t",
        ylabel="price",
        kinds=np.resize(kinds, 4),
    )
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["persistence", "actual", "predicted"]


def test_the_axis_of_dates_names_its_years():
    dates = np.arange("2018-07-01", "2018-12-28", dtype="datetime64[D]")
    values = np.zeros(len(dates))
    figure = plots.prediction_figure(
        dates, *(values, values), persistence=values, title="t", ylabel="price"
    )
    assert figure.axes[-1].get_xlabel() == "date, 2018-09-19 to 2018-12-27"
