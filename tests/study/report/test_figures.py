"""The figures, from made-up records."""

import dataclasses

import numpy as np
import pytest
from matplotlib.image import imread

from stock_rnn.study.judge.claims import REPORT_TABLES
from stock_rnn.study.plan import LEARNING_RATES
from stock_rnn.study.records import Study
from stock_rnn.study.report import figures, tables
from stock_rnn.study.report.style import new_figure, use_log_axis

pytestmark = pytest.mark.pictures


def test_a_record_alone_can_be_drawn(grid, saddle_record):
    for record in (grid[-1], saddle_record):
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
    assert figure.get_suptitle() == r"Figure 5.1: sgd, 1 x 32, \$A_\$"
    figure.canvas.draw()


@pytest.mark.parametrize("name", ["losses", "figure_5.4", "eigenvalues", "escapes"])
def test_figures_are_pictures_of_a_readable_size(name, drawn):
    picture = imread(drawn.figures / f"{name}.png")
    assert picture.shape[1] >= 800
    assert len({tuple(pixel) for pixel in picture.reshape(-1, picture.shape[2])[::97]}) > 5


def points(axes):
    """All values that a panel's lines have."""
    return np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()])


def test_the_losses_have_a_dot_a_seed_with_dropout_on_and_the_reports_numbers(grid):
    figure, shown = figures.losses(Study(grid))
    assert {r.key for r in shown} == {r.key for r in grid}
    for axes, which, report in zip(figure.axes, ("train", "test"), (0.0097, 0.0108), strict=True):
        dots = [line for line in axes.get_lines() if line.get_marker() == "."]
        seen = sorted(np.concatenate([line.get_ydata() for line in dots]))
        assert seen == pytest.approx(sorted(r.last(f"{which}_loss_dropout") for r in grid))
        stars = [line.get_ydata()[0] for line in axes.get_lines() if line.get_marker() == "*"]
        assert report in stars
        assert len(stars) == len(REPORT_TABLES)
        assert "dropout on" in axes.get_ylabel()


def test_a_curve_says_of_how_many_seeds_it_is(grid):
    fewer = [r for r in grid if (r.config.optimizer, r.config.seed) != ("adam", 2)]
    figure, _ = figures.epochs(Study(fewer), "appendix")
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert {"sgd, 3 seeds", "adam, 2 seeds"} <= set(labels)
    sgd = next(line for line in figure.axes[0].get_lines() if line.get_label() == "sgd, 3 seeds")
    runs = [r for r in grid if r.network == (1, 32) and r.config.optimizer == "sgd"]
    middle = np.median([r.epochs["train_loss_dropout"] for r in runs], axis=0)
    np.testing.assert_allclose(sgd.get_ydata(), middle)


def test_the_predictions_are_those_with_dropout_on(grid):
    figure, runs = figures.predictions(Study(grid), "5.1")
    drawn = 100 * np.array(runs[0].predictions["predicted_dropout"][-100:])
    labels = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(labels["predicted, one seed"], drawn)


def test_a_run_that_escapes_is_seen_to_cross_the_line(saddle_record):
    steps = np.arange(5.0)
    epochs = {"epoch": steps, "step": steps, "displacement": 1e-3 * np.exp(steps / 2)}
    figure, _ = figures.escapes(Study([dataclasses.replace(saddle_record, epochs=epochs)]))
    above, below = figure.axes
    np.testing.assert_allclose(above.get_lines()[0].get_ydata(), np.exp(steps / 2))
    assert np.e in points(above)
    assert "rmsprop, 1 seed" in above.get_legend_handles_labels()[1]
    # Observed at the second step.
    assert 2.0 in points(below)


def test_the_line_of_stability_has_a_name_and_a_dot_a_seed(grid):
    figure, shown = figures.edge_of_stability(Study(grid))
    (axes,) = figure.axes
    assert "stability line" in axes.get_legend_handles_labels()[1]
    shares = [r.last("preconditioned_max") / r.last("stability_line") for r in shown]
    dots = [line.get_ydata() for line in axes.get_lines() if line.get_marker() == "."]
    assert sorted(np.concatenate(dots)) == pytest.approx(sorted(shares))


def test_numbers_at_a_logarithmic_axis_have_no_small_exponents():
    figure, (axes,) = new_figure(5, 3)
    axes.set(yscale="log", ylim=(1e-6, 1e6))
    use_log_axis(axes.yaxis)
    figure.canvas.draw()
    said = [label.get_text() for label in axes.get_yticklabels()]
    assert {"1e-5", "0.001", "1", "1000", "1e+5"} & set(said)
    assert not any("$" in text for text in said)
