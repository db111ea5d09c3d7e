"""The registry of claims, against the report's tables and the plan."""

import dataclasses

import numpy as np
import pytest

from stock_rnn.study.judge.claims import CLAIMS, REPORT_TABLES
from stock_rnn.study.judge.statistics import family_level, least_seeds, summarize_share
from stock_rnn.study.judge.variants import PRIMARY
from stock_rnn.study.judge.verdicts import NOT_REPRODUCED, REPRODUCED, decide, judge_all
from stock_rnn.study.plan import SEEDS, Scope, plan
from stock_rnn.study.records import Study
from tests.study.cases import INF, crossing_predictions, made_record

CLAIM = {claim.id: claim for claim in CLAIMS}
FAMILY = len(CLAIMS)


def test_claims_are_distinct_and_well_formed():
    assert len(CLAIM) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.scale in ("log", "linear", "share")
        assert claim.region[0] < claim.region[1]
        assert claim.scale != "log" or claim.region[0] >= 0
        assert claim.scale != "share" or (claim.region[0] >= 0 and claim.region[1] <= 1)
        assert claim.section
        assert claim.says
        assert claim.statistic


def test_a_claim_of_better_excludes_equal():
    assert all(claim.strict for claim in CLAIMS if claim.region[1] == INF)


def test_the_seeds_of_the_plan_can_decide_all_claims_at_once():
    assert least_seeds(family_level(len(CLAIMS))) <= SEEDS
    everyone = summarize_share(np.ones(SEEDS, dtype=bool), claims=len(CLAIMS))
    for claim in CLAIMS:
        if claim.scale == "share":
            assert decide(everyone.simultaneous, claim.region) == REPRODUCED


def test_the_reports_statistics_are_those_of_its_tables():
    train, test = ({t: row[i] for t, row in REPORT_TABLES.items()} for i in (2, 3))
    expected = {
        "sgd-test-loss-tenfold": test["5.1"] / test["5.2"],
        "sgd-train-loss": train["5.1"] / train["5.2"],
        "rmsprop-beats-sgd": test["5.1"] / test["5.2"],
        "sgd-underfits": test["5.1"] / train["5.1"],
        "width-tenfold": test["5.2"] / test["5.3"],
        "wider-is-better": min(test["5.2"] / test["5.3"], train["5.2"] / train["5.3"]),
        "deeper-is-better": test["5.3"] / test["5.4"],
        **{f"table-{table}-test-loss": loss for table, loss in test.items()},
    }
    assert {id: CLAIM[id].report for id in expected} == pytest.approx(expected)
    for table, loss in test.items():
        assert CLAIM[f"table-{table}-test-loss"].region == pytest.approx((loss / 2, loss * 2))
    low, high = CLAIM["sgd-train-loss"].region
    assert low < train["5.1"] / train["5.2"] < high


def test_the_regions_are_those_of_the_words():
    tenfold, better, mostly = (5.0, 20.0), (1.0, INF), (0.5, 1.0)
    expected = {
        "sgd-test-loss-tenfold": tenfold,
        "rmsprop-beats-sgd": better,
        "sgd-underfits": tenfold,
        "width-tenfold": tenfold,
        "wider-is-better": better,
        "deeper-is-better": better,
        "wide-tests-worse": better,
        "wide-trains-well": (0.0, 1.25),
        "sgd-ends-at-a-saddle": mostly,
        "rmsprop-passes-the-saddle": mostly,
        "rmsprop-escapes-first": mostly,
        "sgd-never-intersects": (0.0, 1.0),
        "rmsprop-intersects-more": (0.0, INF),
        "gradient-falls-at-the-rate": (-INF, -0.25),
    }
    assert {id: CLAIM[id].region for id in expected} == expected
    # The others are checked with the report's tables.
    others = {"sgd-train-loss", *(f"table-{table}-test-loss" for table in REPORT_TABLES)}
    assert CLAIM.keys() == expected.keys() | others


def test_the_claim_of_a_table_names_its_optimizer_and_network():
    named = {table: CLAIM[f"table-{table}-test-loss"].statistic for table in REPORT_TABLES}
    assert named == {
        "5.1": "test loss of sgd, 1 x 32",
        "5.2": "test loss of rmsprop, 1 x 32",
        "5.3": "test loss of rmsprop, 1 x 128",
        "5.4": "test loss of rmsprop, 5 x 128",
    }


def record_of(task):
    """A record of a planned task in which all losses are one."""
    ones = dict.fromkeys(
        ("train_loss", "test_loss", "train_loss_dropout", "test_loss_dropout"), np.ones(3)
    )
    norms = {"gradient_norm": np.ones(3), "certified_negative": np.ones(3)}
    made = made_record(
        predictions=crossing_predictions(2), displacement=np.ones(3), **ones, **norms
    )
    return dataclasses.replace(made, key=task.key("0", {}), task=task)


def test_the_plan_has_the_runs_of_every_claim_on_every_seed():
    study = Study([record_of(task) for task in plan({}, Scope())])
    by_id = {verdict.claim.id: verdict for verdict in judge_all(study, PRIMARY)}
    assert {id: verdict.summary.seeds for id, verdict in by_id.items()} == dict.fromkeys(
        CLAIM, SEEDS
    )
    assert all(set(verdict.values) == set(range(SEEDS)) for verdict in by_id.values())
    assert f"simultaneously for all {FAMILY} claims" in by_id["wider-is-better"].sentence
    # All losses are alike, so that no factor of ten is seen.
    assert by_id["width-tenfold"].verdict == NOT_REPRODUCED
