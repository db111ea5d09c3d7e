"""The pictures show what they are given: values, signs, error bars, labels."""

import dataclasses
import re

import numpy as np
import pytest
import scipy.integrate

from stock_rnn.curvature import figures
from stock_rnn.curvature.algorithms.density import spectral_density
from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.algorithms.extreme import extreme_eigenpairs
from stock_rnn.curvature.analysis.critical_point import KINDS
from stock_rnn.curvature.analysis.landscape import LossSlice
from stock_rnn.curvature.tracking.measurement import Measurement

pytestmark = pytest.mark.pictures


def measurement(epoch, low, high, kind):
    extremes = ExtremeEigenpairs(
        np.array([low, high]), np.empty((0, 2)), np.array([0.01, 0.02]), 5, True, np.empty(0), 0.001
    )
    return Measurement(epoch, 0.1, 0.2, 0.3, extremes, 6, 0.1, float(KINDS.index(kind)))


@pytest.fixture
def by_epoch():
    return figures.epochs_figure(
        [measurement(0, -3.0, 20.0, "descending"), measurement(1, -0.5, 10.0, "strict saddle")],
        title="a run",
    )


def texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_both_ends_have_panels_scales_and_error_bars_of_their_own(by_epoch):
    loss, high, low = by_epoch.axes
    assert loss.get_yscale() == "log"
    assert low.get_ylim()[0] < -3 < 0 <= low.get_ylim()[1] < 10
    assert 0 < high.get_ylim()[0] < 10 < 20 < high.get_ylim()[1]
    ((low_line, _, (bars,)),) = low.containers
    ((high_line, *_),) = high.containers
    np.testing.assert_allclose(low_line.get_ydata(), [-3.0, -0.5])
    np.testing.assert_allclose(high_line.get_ydata(), [20.0, 10.0])
    # The bar is residual plus rounding, on both sides.
    first = bars.get_segments()[0]
    np.testing.assert_allclose(first[:, 1], [-3.011, -2.989])


def test_bounds_on_the_outside_are_drawn_where_they_are():
    rows = [
        dataclasses.replace(
            measurement(0, -3.0, 20.0, "descending"), lower_bound=-4.0, upper_bound=21.0
        ),
        measurement(1, -0.5, 10.0, "descending"),
    ]
    figure = figures.epochs_figure(rows)
    _, high, low = figure.axes
    for axes, value, bound in ((low, -3.0, -4.0), (high, 20.0, 21.0)):
        (lines,) = [c for c in axes.collections if c not in axes.containers[0][2]]
        np.testing.assert_allclose(lines.get_segments(), [[[0, value], [0, bound]]])
        (marks,) = [line for line in axes.lines if "beyond" in str(line.get_label())]
        np.testing.assert_allclose(marks.get_ydata(), [bound])
    assert low.get_ylim()[0] < -4
    (legend,) = [axes for axes in figure.axes if axes.get_legend()]
    assert "no eigenvalue beyond (p = 1e-06)" in texts(legend)


def test_a_density_shows_the_bounds_of_a_search_from_a_random_start():
    matrix = np.diag(np.linspace(-1, 3, 40))
    density, ends = spectral_density(matrix), extreme_eigenpairs(matrix)
    (left, _) = figures.density_figure(density, extremes=ends).axes
    at = [line.get_xdata()[0] for line in left.lines]
    assert ends.lower_bound(1e-6) in at
    assert ends.upper_bound(1e-6) in at
    warm = extreme_eigenpairs(matrix, warm_start=ends)
    (left, _) = figures.density_figure(density, extremes=warm).axes
    assert not [text for text in texts(left) if "beyond" in text]


def test_kinds_are_told_by_colour_and_by_shape(by_epoch):
    # One legend, each kind in it once.
    (legend,) = [axes for axes in by_epoch.axes if axes.get_legend()]
    assert texts(legend) == ["descending", "strict saddle"]
    styles = list(figures.spectra._STYLES.values())
    assert set(figures.spectra._STYLES) == set(KINDS)
    assert len({color for color, _ in styles}) == len({marker for _, marker in styles}) == 5


def test_values_of_many_sizes_and_both_signs_get_a_logarithmic_scale():
    rows = [measurement(k, low, 10.0, "flat") for k, low in enumerate([-90.0, -0.1, 0.2, -0.3])]
    _, high, low = figures.epochs_figure(rows).axes
    assert (high.get_yscale(), low.get_yscale()) == ("linear", "symlog")


@pytest.mark.parametrize("title", ["a run " * 60, "GSPC_rmsprop_lr0.001_" * 12, "x" * 300])
def test_a_long_title_is_seen_whole(title):
    figure = figures.eigenvalues_figure(np.array([-1.0, 1.0]), title=title)
    figure.canvas.draw()
    (shown,) = figure.texts
    box, page = shown.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1
    # Below it the panel begins.
    assert figure.axes[0].get_tightbbox().y1 <= box.y0
    assert re.sub(r"\s", "", shown.get_text()) == re.sub(r"\s", "", title)


def test_eigenvalues_are_counted_by_sign():
    figure = figures.eigenvalues_figure(np.array([-5.0, -1e-9, 0.0, 1e-9, 2.0, 3.0]), zero=1e-6)
    assert texts(figure.axes[0]) == ["negative: 1", "within ±1e-06 of zero: 3", "positive: 2"]


def test_the_density_integrates_to_one_and_its_tails_count_eigenvalues():
    values = np.concatenate([np.full(6, -2.0), np.zeros(190), np.full(4, 10.0)])
    density = spectral_density(np.diag(values), probes=40, steps=10)
    figure = figures.density_figure(density)
    curve, tails = figure.axes
    x, y = curve.lines[0].get_data()
    assert scipy.integrate.trapezoid(y, x) == pytest.approx(1.0, abs=0.05)
    below, above = (line.get_ydata() for line in tails.lines)
    assert below[100] == pytest.approx(6 / 200, abs=0.01)
    assert above[100] == pytest.approx(4 / 200, abs=0.01)


def test_every_variable_of_the_matrix_is_labelled_and_every_sign_is_seen():
    matrix = np.zeros((101, 101))
    matrix[:100, :100] = np.diag(np.full(100, 2.0))
    matrix[100, 3] = matrix[3, 100] = -7.0
    blocks = {"dense/kernel": slice(0, 100), "dense/bias": slice(100, 101)}
    axes = figures.matrix_figure(matrix, blocks).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["dense/kernel (100)", "dense/bias (1)"]
    image = axes.images[0].get_array()
    assert (image.min(), image.max()) == (-7.0, 2.0)
    np.testing.assert_array_equal(image, image.T)


def test_a_large_matrix_loses_no_lone_entry():
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, 3000, 2)
    matrix = np.zeros((3000, 3000))
    matrix[i, j] = matrix[j, i] = -1.0
    image = figures.matrix_figure(matrix, {"w": slice(0, 3000)}).axes[0].images[0].get_array()
    assert image.shape == (900, 900)
    assert image.min() == -1.0


def test_slices_draw_the_loss_beside_its_quadratic_model():
    t = np.linspace(-1, 1, 5)
    piece = LossSlice(t, t**4, t**2, 0.0, 0.0, 2.0)
    axes = figures.slices_figure({"v_min": piece}).axes[0]
    assert texts(axes) == ["loss", "quadratic model"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), t**4)
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), t**2)
    assert "v_min" in axes.get_xlabel()
