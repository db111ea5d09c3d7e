"""The forest plot: what is drawn where."""

import dataclasses
import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from stock_rnn.curvature import palette
from stock_rnn.study.judge.claims import claims_of
from stock_rnn.study.stretches.figures import forest
from stock_rnn.study.stretches.judge import judge
from stock_rnn.study.stretches.plan import REGISTRY
from tests.study.stretches.cases import made_stretch


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(1)
    stretches = [
        made_stretch(year, symbol, sgd=math.exp(0.2 * rng.standard_normal()))
        for year in range(1999, 2006)
        for symbol in ("^GSPC", "^IXIC")
    ]
    stretches.append(made_stretch(2015, "^DJI", sgd=2.0, own=True))
    (found, *_) = judge(stretches)
    assert found.verdict.claim == claims_of(REGISTRY)[0]
    return found


def marks(figure):
    """(x, y, colour) of each mark."""
    (axes,) = figure.axes
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), to_hex(line.get_color()))
        for line in axes.lines
        if line.get_marker() in ("o", "s", "D")
    ]


def test_there_is_a_line_a_stretch_and_the_mean_at_the_foot(judged):
    figure = forest(judged)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [*(of.stretch.name for of in judged.effects), "mean of 15 stretches"]
    *stretches, foot = marks(figure)
    assert [x for x, _, _ in stretches] == pytest.approx([of.value for of in judged.effects])
    assert foot[0] == pytest.approx(judged.verdict.value)
    # Downwards, the mean below all others.
    assert axes.yaxis_inverted()
    assert foot[1] > max(y for _, y, _ in stretches)


def test_the_own_prices_and_each_index_have_a_colour(judged):
    *stretches, foot = marks(forest(judged))
    colours = [colour.upper() for _, _, colour in stretches]
    assert colours[:2] == [palette.BLUE, palette.ORANGE]
    assert colours[-1] == palette.GREEN
    assert foot[2] == palette.BLACK


def test_the_region_of_the_claim_is_shaded(judged):
    (axes,) = forest(judged).axes
    (span,) = axes.patches
    left, right = span.get_x(), span.get_x() + span.get_width()
    assert (left, right) == pytest.approx((5.0, 20.0))


def test_all_values_and_the_intervals_of_the_mean_are_inside_the_panel(judged):
    (axes,) = forest(judged).axes
    low, high = axes.get_xlim()
    shown = [*(of.value for of in judged.effects), *judged.verdict.deciding, 5.0, 20.0]
    assert low < min(shown)
    assert high > max(shown)
    assert axes.get_xscale() == "log"


def test_an_interval_that_leaves_the_panel_ends_in_an_arrow(judged):
    (axes,) = forest(judged).axes
    assert not [line for line in axes.lines if line.get_marker() in "<>"]
    wide = dataclasses.replace(judged.effects[3], interval=(1e-9, 1e9))
    effects = [*judged.effects[:3], wide, *judged.effects[4:]]
    (axes,) = forest(dataclasses.replace(judged, effects=effects)).axes
    arrows = [line for line in axes.lines if line.get_marker() in ("<", ">")]
    assert [line.get_marker() for line in arrows] == ["<", ">"]
    assert [line.get_xdata()[0] for line in arrows] == pytest.approx(list(axes.get_xlim()))
    assert {line.get_ydata()[0] for line in arrows} == {3}


def test_a_mean_without_an_interval_is_drawn_as_a_mark():
    (found, *_) = judge([made_stretch(1999), made_stretch(1999, "^IXIC")])
    assert math.isnan(found.verdict.interval[0])
    figure = forest(found)
    *_, (_, foot, _) = marks(figure)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines if foot in line.get_ydata()] == [
        1
    ]
