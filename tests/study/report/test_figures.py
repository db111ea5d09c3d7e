"""The figures, from made-up records."""

import dataclasses

import numpy as np
import pytest
from matplotlib.image import imread

from stock_rnn.study.plan import LEARNING_RATES
from stock_rnn.study.records import Study
from stock_rnn.study.report import figures, tables

pytestmark = pytest.mark.pictures


def test_every_record_alone_can_be_drawn(grid, saddle_record):
    for record in (grid[0], grid[-1], saddle_record):
        made = figures.all_figures(Study([record]))
        assert made
        for figure, shown in made.values():
            assert [r.key for r in shown] == [record.key]
            figure.canvas.draw()


def test_a_learning_rate_at_which_runs_diverge_has_a_note_and_no_mean(small_records, like):
    made = [
        like(small_records[0], f"{n:016x}", init_learning_rate=rate)
        for n, rate in enumerate(LEARNING_RATES)
    ]
    made[-1] = dataclasses.replace(made[-1], diverged=1)
    table = tables.rates(Study(made))
    assert table["diverged"].tolist() == [0] * 16 + [1] * 4
    figure, _ = figures.rates(Study(made))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 of 1\ndiverged"]
    everything = [dataclasses.replace(r, diverged=1) for r in made]
    assert figures.rates(Study(everything)) is None


def test_the_symbol_in_a_title_is_text_and_no_formula(grid):
    record = dataclasses.replace(grid[0], data={**grid[0].data, "symbol": "$A_$"})
    figure, _ = figures.predictions(Study([record]), "5.1")
    assert figure.axes[0].get_title() == r"Figure 5.1: sgd, 1 x 32, \$A_\$"
    figure.canvas.draw()


@pytest.mark.parametrize(
    "name",
    ["figure_5.1", "figure_5.4", "eigenvalues_appendix_1x32", "edge_of_stability", "escapes"],
)
def test_figures_are_pictures_of_a_readable_size(name, drawn):
    picture = imread(drawn.figures / f"{name}.png")
    assert picture.shape[1] >= 800
    assert len({tuple(pixel) for pixel in picture.reshape(-1, picture.shape[2])[::97]}) > 5


def test_the_line_of_stability_has_a_name_and_the_ticks_are_measured_epochs(grid):
    figure, shown = figures.edge_of_stability(Study(grid))
    (axes,) = figure.axes
    assert "stability line" in axes.get_legend_handles_labels()[1]
    epochs = shown[0].epochs["epoch"][np.isfinite(shown[0].epochs["preconditioned_max"])]
    assert list(axes.get_xticks()) == [epoch for epoch in epochs if epoch > 0]
