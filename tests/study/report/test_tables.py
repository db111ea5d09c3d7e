"""The tables, from made-up records."""

import dataclasses

import numpy as np
import pytest

from stock_rnn.study.records import Study
from stock_rnn.study.report import tables
from tests.study.cases import INF, made_record, study_of_ratios


def test_a_row_is_the_mean_of_its_runs_and_has_the_reports_number(grid):
    table = tables.report_table(Study(grid), "5.1")
    rows = table[(table["optimizer"] == "sgd") & (table["dropout"] == "on")]
    assert rows["report"].tolist() == [0.0097, 0.0108]
    for _, row in rows.iterrows():
        of = [r for r in grid if r.key in row["runs"].split()]
        assert len(of) == row["seeds"] == 3
        losses = [r.last(f"{row['set']}_loss_dropout") for r in of]
        assert row["mean"] == pytest.approx(np.mean(losses))
        assert row["persistence"] == pytest.approx(of[0].persistence[row["set"]])
        # Three seeds are too few for an interval.
        assert np.isnan(row["low"])
    others = table[table["optimizer"] != "sgd"]
    assert len(others) == 12
    assert others["report"].isna().all()


def test_the_table_of_runs_does_not_depend_on_the_order_of_records():
    # Keys are hashes, in another order than the seeds.
    runs = [
        dataclasses.replace(r, key=f"{9 - r.config.seed}-{r.config.optimizer}")
        for r in study_of_ratios([1.0, 2.0, 3.0]).records
    ]
    table = tables.runs_table(runs)
    assert table.equals(tables.runs_table(runs[::-1]))
    assert table["run"].tolist() == [
        f"{9 - s}-{name}" for name in ("rmsprop", "sgd") for s in range(3)
    ]
    assert table["test_loss_dropout"].tolist() == pytest.approx(
        [1e-4, 2e-4, 3e-4, 1e-4, 4e-4, 9e-4]
    )


def test_the_table_of_runs_tells_which_diverged():
    rows = tables.runs_table([made_record(test_loss=1.0, diverged=4), made_record(seed=1)])
    assert rows["test_loss"][0] == INF
    assert rows["diverged"].tolist() == [4, ""]


def test_improvement_uses_the_seeds_that_all_networks_have(grid):
    table = tables.improvement(Study(grid))
    assert (table["networks"] == 3).all()
    assert (table["seeds"] == 3).all()
    fewer = [r for r in grid if (r.config.num_layers, r.config.seed) != (5, 0)]
    assert (tables.improvement(Study(fewer))["seeds"] == 2).all()
    # One network has only seed 0, another only seed 1: there is nothing to compare.
    disjoint = [r for r in grid if (r.network, r.config.seed) in {((1, 32), 0), ((1, 128), 1)}]
    assert len(tables.improvement(Study(disjoint))) == 0


def test_constant_prices_have_a_skill_of_minus_infinity(grid):
    still = [dataclasses.replace(r, persistence={"train": 0.0, "test": 0.0}) for r in grid]
    assert (tables.optimizers(Study(still))["test_skill_iqm"] == -np.inf).all()


def test_every_record_alone_gives_tables(grid, saddle_record):
    for record in (*grid[::5], saddle_record):
        made = tables.all_tables(Study([record]))
        assert made
        for table in made.values():
            assert set(" ".join(table["runs"]).split()) == {record.key}
