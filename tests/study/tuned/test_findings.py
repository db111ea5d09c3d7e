"""Verdicts, tables and figures from records whose truth is known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from stock_rnn.study import records
from stock_rnn.study.folder import Folder
from stock_rnn.study.judge.claims import claims_of
from stock_rnn.study.judge.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from stock_rnn.study.tuned import findings
from stock_rnn.study.tuned.findings import _unlucky
from stock_rnn.study.tuned.plan import Subject
from stock_rnn.study.tuned.procedures import ONE_SHOT, TUNED, reruns_of
from tests.study.tuned.cases import run_at


def verdict_of(found, name, claim):
    return next(v for v in found.verdicts if v.claim.id == claim and v.variant.name == name)


def test_every_claim_is_judged_on_both_procedures(finished):
    _, _, found = finished
    claims = [claim.id for claim in claims_of("tuned-1")]
    assert [v.claim.id for v in found.verdicts] == 2 * claims
    names = [v.variant.name for v in found.verdicts]
    assert names == [name for name in ("tuned", "one-shot") for _ in claims]
    assert len({str(v.variant) for v in found.verdicts}) == 2


def test_the_statistic_is_that_of_the_procedures_own_runs(finished):
    _, _, found = finished
    # At the report's rate SGD is a decade from its best one. There its training loss is twice
    # RMSProp's, and its test loss, as these records are made, half of it.
    for name, train, test in (("tuned", 1.0, 1.0), ("one-shot", 2.0, 0.5)):
        assert verdict_of(found, name, "sgd-train-loss").value == pytest.approx(train)
        assert verdict_of(found, name, "sgd-test-loss").value == pytest.approx(test)


def test_a_rate_turns_a_verdict(finished):
    _, _, found = finished
    assert verdict_of(found, "one-shot", "rmsprop-is-faster").verdict == REPRODUCED
    # Equal is not better: the lower end is excluded.
    assert verdict_of(found, "tuned", "rmsprop-is-faster").verdict == NOT_REPRODUCED
    assert any("turns the verdict on" in words for words in found.words)


def test_verdicts_have_ten_seeds_and_rules_older_than_the_runs(finished):
    _, _, found = finished
    judged = [v for v in found.verdicts if v.claim.id != "rmsprop-nears-the-optimum"]
    assert {v.seeds for v in judged} == {10}
    assert not any(v.younger for v in judged)
    # The small protocol has not all optimizers.
    assert verdict_of(found, "tuned", "rmsprop-nears-the-optimum").verdict == UNDECIDED


def test_runs_at_other_rates_and_of_the_search_are_not_judged():
    found = [run_at("sgd", rate, seed) for rate in (1e-3, 1e-2) for seed in (0, 1000, 1001)]
    sgd = {"protocol": "appendix", "network": (1, 32), "optimizer": "sgd"}
    tuned = reruns_of(TUNED, found, {})
    assert tuned.runs(**sgd) == {}
    for procedure, chosen, rate in ((TUNED, 1e-2, 1e-2), (ONE_SHOT, 1e-2, 1e-3)):
        study = reruns_of(procedure, found, {Subject((1, 32), "sgd"): chosen})
        assert list(study.runs(**sgd)) == [1000, 1001]
        assert {r.config.init_learning_rate for r in study.runs(**sgd).values()} == {rate}


def test_tables_hold_what_the_records_hold(finished):
    _, _, found = finished
    rates = found.tables["rates"]
    chosen = rates[rates["chosen"] == "yes"].set_index(["network", "optimizer"])["rate"]
    assert chosen["1 x 32", "sgd"] == 1e-2
    assert chosen["1 x 32", "rmsprop"] == 1e-3
    losses = found.tables["losses"]
    of = losses[(losses["set"] == "test") & (losses["network"] == "1 x 32")]
    of = of.set_index(["procedure", "optimizer", "dropout"])
    assert of["loss"]["one-shot", "sgd", "off"] == pytest.approx(
        0.5 * of["loss"]["tuned", "sgd", "off"]
    )
    assert of["loss"]["tuned", "sgd", "on"] == pytest.approx(
        1.1 * of["loss"]["tuned", "sgd", "off"]
    )
    many = losses[losses["seeds"] == 10]
    assert (many["low"] <= many["loss"]).all()
    assert (many["loss"] <= many["high"]).all()
    # Two seeds have no interval.
    assert losses[losses["seeds"] == 2]["low"].isna().all()
    np.testing.assert_allclose(losses["skill"], 1.0 - losses["loss"] / losses["persistence"])
    known = {path.stem for path in finished[0].runs.iterdir()}
    for table in found.tables.values():
        assert {key for cell in table["runs"] for key in cell.split()} <= known


def test_a_rate_at_the_end_of_the_grid_is_reported(finished):
    _, _, found = finished
    edges = found.tables["choices"].set_index(["network", "optimizer"])["edge"]
    assert edges["1 x 32", "sgd"] == "highest"
    assert edges["1 x 32", "rmsprop"] == ""
    assert any("sgd at 1 x 32 (0.01)" in words for words in found.words)


def test_a_choice_that_fresh_seeds_do_not_bear_out_is_told():
    rows = [
        {"set": "validation", "dropout": "off", "network": "1 x 32"}
        | {"optimizer": name, "procedure": procedure, "loss": loss}
        for name, of in (("sgd", (1.05, 1.0)), ("rmsprop", (1.5, 1.0)))
        for procedure, loss in zip(("tuned", "one-shot"), of, strict=True)
    ]
    (words,) = _unlucky(pd.DataFrame(rows))
    assert "rmsprop at 1 x 32 (1.50 against 1.00)" in words
    assert "sgd" not in words
    assert _unlucky(pd.DataFrame(rows[:2])) == []


def test_time_to_the_target_tells_which_runs_get_there(finished):
    _, _, found = finished
    targets = found.tables["targets"].set_index(["procedure", "network", "optimizer"])
    tuned, one_shot = (targets.loc[(p, "1 x 32", "sgd")] for p in ("tuned", "one-shot"))
    assert tuned["reached"] == tuned["seeds"] == 10
    assert tuned["epochs"] < one_shot["epochs"]
    assert tuned["seconds"] == pytest.approx(0.01 * tuned["epochs"])
    assert tuned["first"] <= tuned["epochs"] <= tuned["last"]


def test_every_table_and_figure_has_a_caption(finished):
    _, _, found = finished
    assert set(found.tables) | set(found.figures) == set(found.captions)


def test_figures_say_symbol_network_and_persistence(finished):
    _, _, found = finished
    for figure in found.figures.values():
        assert "^GSPC" in figure.get_suptitle()
    curves = found.figures["rate_curves"]
    assert [axes.get_title() for axes in curves.axes] == [
        *("1 x 32, 2 seeds a rate", "1 x 128, 1 seed a rate"),
        *("5 x 128, 1 seed a rate", "1 x 512, 1 seed a rate"),
    ]
    labels = curves.axes[0].get_legend_handles_labels()[1]
    assert labels == ["sgd", "rmsprop", "persistence", "the report's rate"]


def test_a_part_that_was_stopped_shows_what_it_has(finished, small_protocol, tmp_path):
    folder, _, _ = finished
    some = Folder(tmp_path)
    some.runs.mkdir()
    (tmp_path / "tuned").mkdir()
    content = (folder.path / "tuned" / "study.json").read_text(encoding="utf-8")
    (tmp_path / "tuned" / "study.json").write_text(content, encoding="utf-8")
    for path in folder.runs.iterdir():
        record = records.load(path)
        if record.config.seed < 1000 and record.network == (1, 32):
            records.save(some.runs / path.name, record)
    found = findings(some)
    assert {v.verdict for v in found.verdicts} == {UNDECIDED}
    assert set(found.figures) == {"rate_curves"}
    diverged = dataclasses.replace(record, diverged=1)
    assert diverged.last("validation_loss") == np.inf
