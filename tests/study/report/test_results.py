"""Tables, figures and the page from records: what is there is shown, what is not is left out."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest

from stock_rnn.errors import UserError
from stock_rnn.study import records
from stock_rnn.study.judge.claims import Study
from stock_rnn.study.plan import LEARNING_RATES, NETWORKS
from stock_rnn.study.report import figures, results, tables


@pytest.fixture(scope="module")
def grid(small_records):
    """Records of a whole grid, three seeds, made from a few real ones."""
    made = []
    for number, record in enumerate(small_records[:4]):
        for network in NETWORKS:
            for seed in range(3):
                made.append(_like(record, f"{len(made):016x}", network, seed, 1 + 0.1 * number))
    return made


def _like(record, key, network, seed, factor, **settings):
    optimizer = ("sgd", "rmsprop", "adam", "rmsprop-tf1")[round((factor - 1) * 10) % 4]
    config = dataclasses.replace(
        record.config,
        num_layers=network[0],
        lstm_size=network[1],
        seed=seed,
        **{"optimizer": optimizer, **settings},
    )
    epochs = {
        name: values * (factor + 0.01 * seed) if "loss" in name else values
        for name, values in record.epochs.items()
    }
    task = dataclasses.replace(record.task, config=config)
    return dataclasses.replace(record, key=key, task=task, epochs=epochs)


def write(folder, found):
    place = results.Folder(folder)
    results.write_study(place, "python reproduce.py", found[0].data, [r.key for r in found])
    place.runs.mkdir(exist_ok=True)
    for record in found:
        records.save(place.runs / f"{record.key}.json", record)
    command, again = results.read_study(place)
    return results.write_results(place, command, again)


def test_the_table_is_the_mean_of_its_runs_and_stands_beside_the_report(grid):
    table = tables.report_table(Study(grid), "5.1")
    rows = table[(table["optimizer"] == "sgd") & (table["dropout"] == "on")]
    assert rows["report"].tolist() == [0.0097, 0.0108]
    for _, row in rows.iterrows():
        of = [r for r in grid if r.key in row["runs"].split()]
        assert len(of) == row["seeds"] == 3
        assert row["mean"] == pytest.approx(
            np.mean([r.last(f"{row['set']}_loss_dropout") for r in of])
        )
        assert row["persistence"] == pytest.approx(of[0].persistence[row["set"]])
        # Three seeds are too few for an interval.
        assert np.isnan(row["low"])


def test_improvement_uses_the_seeds_that_all_networks_have(grid):
    table = tables.improvement(Study(grid))
    assert (table["networks"] == 3).all()
    assert (table["seeds"] == 3).all()
    fewer = [r for r in grid if (r.config.num_layers, r.config.seed) != (5, 0)]
    assert (tables.improvement(Study(fewer))["seeds"] == 2).all()
    # One network has seed 0 only, another seed 1 only: there is nothing to compare.
    apart = [
        r
        for r in grid
        if (r.config.num_layers, r.config.lstm_size, r.config.seed) in {(1, 32, 0), (1, 128, 1)}
    ]
    assert len(tables.improvement(Study(apart))) == 0


def test_every_part_of_a_study_can_be_drawn_alone(grid):
    for record in grid[::5]:
        study = Study([record])
        for table in tables.all_tables(study).values():
            assert set(" ".join(table["runs"]).split()) == {record.key}
        for figure, shown in figures.all_figures(study).values():
            assert [r.key for r in shown] == [record.key]
            figure.canvas.draw()


@pytest.mark.parametrize("symbol", ["$A_$", "<script>alert(1)</script>", "a\\b"])
def test_a_symbol_is_text_wherever_it_stands(symbol, grid, tmp_path):
    data = {**grid[0].data, "symbol": symbol}
    write(tmp_path, [dataclasses.replace(r, data=data) for r in grid[:2]])
    assert "<script>alert" not in (tmp_path / "report.html").read_text()


def test_prices_that_stand_still_have_no_skill_but_a_table(grid):
    still = [dataclasses.replace(r, persistence={"train": 0.0, "test": 0.0}) for r in grid]
    assert (tables.optimizers(Study(still))["test_skill_iqm"] == -np.inf).all()


def test_a_rate_at_which_runs_diverge_is_marked_and_the_line_broken(small_records):
    made = [
        _like(small_records[0], f"{n:016x}", (1, 32), 0, 1.0, init_learning_rate=rate)
        for n, rate in enumerate(LEARNING_RATES)
    ]
    made[-1] = dataclasses.replace(made[-1], diverged=1)
    table = tables.rates(Study(made))
    assert table["diverged"].tolist() == [0] * 8 + [1] * 2
    figure, _ = figures.rates(Study(made))
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["1 of 1\ndiverged"]
    everything = [dataclasses.replace(r, diverged=1) for r in made]
    assert figures.rates(Study(everything)) is None


def test_what_an_earlier_study_drew_does_not_pass_as_this_ones(grid, tmp_path):
    write(tmp_path, grid)
    assert (tmp_path / "figures" / "figure_5.4.svg").exists()
    (tmp_path / "notes.csv").write_text("mine")
    write(tmp_path, [r for r in grid if r.config.num_layers == 1])
    for name in ("figures/figure_5.4.svg", "figures/figure_5.4.png", "tables/table_5.4.csv"):
        assert not (tmp_path / name).exists()
    assert (tmp_path / "figures" / "figure_5.3.svg").exists()
    assert (tmp_path / "notes.csv").read_text() == "mine"


def test_the_kind_of_point_is_that_of_the_classification(small_records):
    for record in small_records[:4]:
        assert record.critical_point() == "descending"  # The gradient has not become small.
    at_rest = {**small_records[0].epochs, "gradient_norm": np.array([1.0, 1.0, 1.0, 1e-3])}
    at_rest["lambda_min"] = np.array([-1.0, -1.0, -1.0, -0.5])
    record = dataclasses.replace(small_records[0], epochs=at_rest)
    assert record.critical_point() == "strict saddle"
    assert dataclasses.replace(record, diverged=2).critical_point() == ""


def test_a_study_without_runs_says_so(grid, tmp_path):
    place = results.Folder(tmp_path)
    results.write_study(place, "python reproduce.py", grid[0].data, [grid[0].key])
    with pytest.raises(UserError, match="no finished run"):
        results.read_study(place)


def test_the_markdown_table_has_a_row_a_claim_and_the_json_all_procedures(grid, tmp_path):
    verdicts = write(tmp_path, grid)
    lines = (tmp_path / "verdicts.md").read_text().splitlines()
    assert len(lines) == 2 + len(verdicts)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    content = json.loads((tmp_path / "verdicts.json").read_text())
    assert {len(of) for of in content["variants"].values()} == {len(verdicts)}
    assert len(content["variants"]) == 5
    rows = pd.read_csv(tmp_path / "runs.csv")
    assert len(rows) == len(grid)
