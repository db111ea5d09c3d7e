"""The page of an evaluation: it says what the files say, and can be read in a browser."""

import dataclasses
import html
import re
import shutil

import numpy as np
import pandas as pd
import pytest

import stock_rnn
from stock_rnn.config import Config, settings
from stock_rnn.data import prices_of
from stock_rnn.forecasting.evaluation import evaluate
from stock_rnn.forecasting.figures import losses_figure, skills_figure
from stock_rnn.forecasting.metrics import Score
from stock_rnn.forecasting.report import settings_section, training_sections
from stock_rnn.forecasting.tables import comparison_rows, score_rows
from stock_rnn.training.runs import read_record
from tests.browser import WIDTHS, look_at

pytestmark = pytest.mark.pictures


@pytest.fixture(scope="module")
def copied(small_run, tmp_path_factory):
    """A copy of the small run, for a test that changes it: its forecaster."""

    def copy():
        folder = tmp_path_factory.mktemp("copied")
        shutil.copytree(small_run.models_dir, folder / "models")
        return stock_rnn.load_run("small", models_dir=folder / "models")

    return copy


@pytest.fixture(scope="module")
def evaluated(copied):
    """An evaluation of the small run, and its page as text."""
    forecaster = copied()
    result = evaluate(forecaster, command="python evaluate.py 'my run'")
    return forecaster, result, page_of(result)


def page_of(result):
    assert result.files[-1].name == "report.html"
    return result.files[-1].read_text(encoding="utf-8")


def words_of(page):
    """The text of a page outside of its elements."""
    return html.unescape(re.sub(r"<[^>]*>", "\n", page))


@pytest.mark.parametrize("width", WIDTHS)
def test_in_a_browser_nothing_overflows_and_everything_can_be_read(width, evaluated, browser):
    _, result, _ = evaluated
    faults, pictures, texts = look_at(browser, result.files[-1], width)
    assert faults == []
    # Skills, two of predictions, losses, curvature.
    assert pictures == 5
    assert texts > 500


def test_the_page_says_what_the_evaluation_says(evaluated):
    _, result, page = evaluated
    words = words_of(page)
    first = re.search(r'<p class="sentence">(.*?)</p>', page)[1]
    assert html.unescape(first).lower() == f"{result.comparison.sentence}.".lower()
    assert result.comparison.shift[1:] in words
    assert result.dropout[1:] in words
    rows = score_rows(result.scores, result.price_errors) + comparison_rows(result.comparison)
    for cell in {cell for row in rows for cell in row} - {""}:
        assert f"\n{cell}\n" in words, cell


def test_pictures_tell_their_numbers(evaluated):
    forecaster, result, page = evaluated
    texts = [
        html.unescape(text) for text in re.findall(r'<svg role="img" aria-label="(.*?)"', page)
    ]
    skill = result.scores["test"].skill
    assert f"model {skill:+.2f} (" in texts[0]
    assert f"actual from {result.predictions.actual.min():.4g}" in texts[1]
    assert f"actual from {result.predictions.actual_price.min():.4g}" in texts[2]
    history = pd.read_csv(forecaster.run.history)
    assert f"train {history.loss[0]:.3g} to {history.loss[2]:.3g}" in texts[3]
    low = history.hessian_lambda_min[2]
    assert f"the smallest is {low:.4g} ± " in texts[4]


def test_the_page_tells_how_the_run_was_made(evaluated):
    forecaster, _, page = evaluated
    words, record = words_of(page), read_record(forecaster.run)
    for wanted in (
        record.made_by["command"],
        "python evaluate.py 'my run'",
        f"tensorflow {record.made_by['versions']['tensorflow']}",
        record.data["sha256"],
        f"{prices_of(forecaster.config).describe()}.",
    ):
        assert wanted in words


def test_settings_that_differ_come_first_and_all_of_them_are_there():
    config = Config(lstm_size=4, normalized=False, csv="<my>.csv")
    differ, others = settings_section(config).parts
    assert [row[0] for row in differ.rows] == ["--symbol", "--csv", "--normalized", "--lstm-size"]
    assert differ.rows[1:] == [
        ("--csv", "<my>.csv", "none"),
        ("--normalized", "no", "yes"),
        ("--lstm-size", "4", "32"),
    ]
    assert others.folded
    flags = {row[0] for table in (differ, others) for row in table.rows}
    assert flags == {setting.flag for setting in settings()}
    assert settings_section(Config()).parts[0] == "All settings are the default."


def test_a_symbol_is_shown_as_text(copied):
    forecaster = copied()
    symbol = "<script>alert('1')</script>"
    prices = dataclasses.replace(prices_of(Config(period="1y")), symbol=symbol)
    page = page_of(evaluate(forecaster, prices, command=f"python evaluate.py {symbol}"))
    assert "<script" not in page
    assert f"<title>{html.escape(symbol).replace('&#x27;', '&#39;')}: small" in page
    assert f"python evaluate.py {symbol}" in words_of(page)


def test_without_a_report_there_is_none(copied):
    forecaster = copied()
    # Another test may have evaluated the run that is copied.
    (forecaster.run.folder / "report.html").unlink(missing_ok=True)
    result = evaluate(forecaster, report=False)
    assert not (forecaster.run.folder / "report.html").exists()
    assert result.files[-1].name == "comparison.csv"


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        ("a,b\n1,two\n", "no column epoch, loss, val_loss"),
        ("epoch,loss,val_loss\n", "no epoch is in it"),
        ("epoch,loss,val_loss\n1,one,two\n", "could not convert"),
    ],
)
def test_a_history_that_cannot_be_read_is_told(history, fault, copied, caplog):
    run = copied().run
    run.spectrum.unlink()
    run.history.write_text(history)
    # Without a spectrum there is no section on curvature.
    (section,) = training_sections(run, read_record(run))
    (told,) = section.parts
    assert f"history.csv is damaged ({fault}" in told
    assert f"report.html has no losses by epoch: {run.history} is damaged" in caplog.text


def test_results_need_neither_the_history_nor_the_spectrum(copied, caplog):
    forecaster = copied()
    forecaster.run.history.unlink()
    np.savez(forecaster.run.spectrum, epochs=np.zeros(0))
    page = page_of(evaluate(forecaster))
    assert page.count("<svg role") == 3
    for told in ("history.csv is missing", "spectrum.npz is damaged"):
        assert told in words_of(page)
        assert told in caplog.text


def test_skills_are_drawn_with_their_intervals(evaluated):
    comparison = evaluated[1].comparison
    (axes,) = skills_figure(comparison).axes
    skills = [each.score.skill for each in comparison.accuracies.values()]
    assert [container[0].get_xdata()[0] for container in axes.containers] == skills
    for container, each in zip(axes.containers, comparison.accuracies.values(), strict=True):
        ((start, end),) = container[2][0].get_segments()
        np.testing.assert_allclose([start[0], end[0]], each.score.interval, atol=1e-12)


def test_forecasts_without_a_skill_are_not_drawn(evaluated):
    comparison = evaluated[1].comparison
    undefined = Score(10, 1.0, 0.0, np.nan, (np.nan, np.nan))
    accuracies = {
        name: dataclasses.replace(each, score=undefined)
        for name, each in comparison.accuracies.items()
    }
    assert skills_figure(dataclasses.replace(comparison, accuracies=accuracies)) is None


def test_losses_are_drawn_beside_persistence_where_the_history_has_it():
    history = pd.DataFrame({"epoch": [1, 2], "loss": [3.0, 2.0], "val_loss": [5.0, 4.0]})
    (axes,) = losses_figure(history, monitored="validation").axes
    assert [line.get_label() for line in axes.lines] == ["train", "validation"]
    (axes,) = losses_figure(history.assign(persistence_loss=1.0), monitored="test").axes
    assert [line.get_label() for line in axes.lines] == ["train", "persistence, train", "test"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [3.0, 2.0])
