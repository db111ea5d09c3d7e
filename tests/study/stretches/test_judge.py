"""Verdicts about stretches, on runs that were made up."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from stock_rnn.study import registry
from stock_rnn.study.judge.claims import claims_of
from stock_rnn.study.judge.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED, judge_all
from stock_rnn.study.stretches.bootstrap import correction, shared_days
from stock_rnn.study.stretches.judge import Ran, effects_of, judge
from stock_rnn.study.stretches.plan import REGISTRY
from tests.study.cases import made_record, study_of_ratios
from tests.study.stretches.cases import made_stretch, spans

CLAIM = {claim.id: claim for claim in claims_of(REGISTRY)}


def years_of(sgd, **settings):
    """Stretches from 1999 on whose losses of SGD are these times RMSProp's; two indices a year."""
    return [
        made_stretch(1999 + number // 2, ("^GSPC", "^IXIC")[number % 2], sgd=ratio, **settings)
        for number, ratio in enumerate(sgd)
    ]


def found_of(stretches):
    return {one.verdict.claim.id: one for one in judge(stretches)}


# The registry


def test_the_file_is_the_one_that_was_registered():
    assert registry.hash_of(registry.load(REGISTRY)) == "17fe75c523809467"
    assert registry.name()["parts"][REGISTRY] == "17fe75c523809467"


def test_the_claims_are_those_of_the_report_with_the_same_regions():
    report = {claim["id"]: claim for claim in registry.load(2)["claims"]}
    own = [claim for claim in registry.load(REGISTRY)["claims"] if claim["id"] not in report]
    assert [claim["id"] for claim in own] == ["rmsprop-beats-persistence"]
    for claim in registry.load(REGISTRY)["claims"]:
        assert claim["unit"] == "stretches"
        if claim not in own:
            assert {**report[claim["id"]], "unit": "stretches"} == claim


# Values


def test_a_stretch_has_the_mean_of_its_seeds():
    (effect,) = effects_of(CLAIM["sgd-test-loss"], [made_stretch(1999, sgd=3.0)])
    assert effect.value == pytest.approx(3.0)
    assert len(effect.values) == 3
    np.testing.assert_allclose(effect.values, np.log(3.0))
    assert not effect.holds
    assert len(effect.sample.runs) == 6


def test_persistence_is_compared_with_the_networks_test_loss():
    # The made runs have 1e-4 themselves, and so has persistence on the test days.
    stretch = made_stretch(1999)
    stretch = dataclasses.replace(
        stretch,
        records=[
            dataclasses.replace(record, persistence={"train": 5e-4, "test": 3e-4})
            for record in stretch.records
        ],
    )
    (effect,) = effects_of(CLAIM["rmsprop-beats-persistence"], [stretch])
    assert effect.value == pytest.approx(3.0)
    assert effect.holds
    assert len(effect.sample.runs) == 3
    assert effect.sample.persistence == (1.0,) * 3


def test_a_stretch_without_the_runs_of_any_seed_is_left_out():
    whole, part = made_stretch(1999), made_stretch(2000)
    part = dataclasses.replace(
        part, records=[r for r in part.records if r.config.optimizer == "rmsprop"]
    )
    assert len(effects_of(CLAIM["sgd-test-loss"], [whole, part])) == 1
    assert len(effects_of(CLAIM["wider-tests-better"], [whole, part])) == 2


def test_real_runs_have_the_ratio_of_their_final_losses(small_records):
    sgd, adam = small_records[:2], small_records[2:4]
    assert [r.config.optimizer for r in (*sgd, *adam)] == ["sgd", "sgd", "adam", "adam"]
    runs = [{"optimizer": name, "network": [1, 32]} for name in ("sgd", "adam")]
    claim = CLAIM["sgd-test-loss"]
    claim = dataclasses.replace(claim, rule={**claim.rule, "runs": runs})
    stretch = Ran(name="six months", own=True, data=sgd[0].data, records=small_records[:4])
    (effect,) = effects_of(claim, [stretch])
    ratios = [
        one.epochs["test_loss_dropout"][-1] / other.epochs["test_loss_dropout"][-1]
        for one, other in zip(sgd, adam, strict=True)
    ]
    assert effect.value == pytest.approx(np.sqrt(ratios[0] * ratios[1]))
    assert effect.interval[0] < effect.value < effect.interval[1]


# Verdicts


def test_every_stretch_counts_the_same_in_the_geometric_mean():
    stretches = years_of([8.0, 8.0, 8.0, 8.0])
    stretches += [made_stretch(2001, sgd=2.0, seeds=1)]
    verdict = found_of(stretches)["sgd-test-loss"].verdict
    assert verdict.value == pytest.approx((8.0**4 * 2.0) ** (1 / 5))
    assert verdict.seeds == 5
    assert verdict.values["^GSPC 1999"] == pytest.approx(8.0)


def test_verdicts_are_decided_by_the_mean_over_stretches():
    rng = np.random.default_rng(0)
    found = found_of(years_of(10 * np.exp(0.05 * rng.standard_normal(32))))
    assert found["sgd-test-loss"].verdict.verdict == REPRODUCED
    assert found["sgd-train-loss"].verdict.verdict == NOT_REPRODUCED
    scattered = found_of(years_of(10 * np.exp(1.5 * rng.standard_normal(32))))
    assert scattered["sgd-test-loss"].verdict.verdict == UNDECIDED
    low, high = scattered["sgd-test-loss"].verdict.interval
    assert low < scattered["sgd-test-loss"].verdict.value < high


def test_the_interval_allows_for_the_days_that_stretches_share():
    one = found_of(years_of(np.linspace(1.0, 4.0, 12)))["sgd-test-loss"]
    years = np.repeat(np.arange(1999, 2005), 2)
    factor, freedom = correction(years - 1999, shared_days(*spans(years)))
    assert (one.pooled.factor, one.pooled.freedom) == pytest.approx((factor, freedom))
    arm = factor * one.pooled.standard_error * scipy.stats.t.ppf(0.975, freedom)
    assert np.log(one.verdict.interval[1] / one.verdict.value) == pytest.approx(arm)


def test_stretches_of_one_year_decide_nothing():
    found = found_of(years_of([10.0, 11.0]))
    verdict = found["sgd-test-loss"].verdict
    assert verdict.verdict == UNDECIDED
    assert "there is no interval: they start in one year" in verdict.sentence


def test_a_verdict_says_whether_it_is_about_this_stretch_or_about_stretches():
    verdict = found_of(years_of([10.0, 11.0, 9.0, 10.0]))["sgd-test-loss"].verdict
    assert verdict.about == "stretches"
    assert ", about stretches of prices: over 4 stretches the geometric mean is 9." in (
        verdict.sentence
    )
    assert verdict.to_dict()["about"] == "stretches"
    (report, *_) = judge_all(study_of_ratios([10.0, 11.0, 9.0]))
    assert report.about == report.to_dict()["about"] == "this stretch"


def test_a_rule_is_older_than_the_runs_that_name_its_registry():
    knew, did_not = ({"parts": {REGISTRY: hash_}} for hash_ in ("17fe75c523809467", "0" * 16))
    assert not found_of(years_of([3.0] * 4, known=knew))["sgd-test-loss"].verdict.younger
    assert found_of(years_of([3.0] * 4, known=did_not))["sgd-test-loss"].verdict.younger


def test_a_run_that_diverged_leaves_no_interval():
    stretches = years_of([3.0] * 4)
    lost = dataclasses.replace(stretches[0].records[0], diverged=3)
    stretches[0] = dataclasses.replace(stretches[0], records=[lost, *stretches[0].records[1:]])
    verdict = found_of(stretches)["sgd-test-loss"].verdict
    assert verdict.value == np.inf
    assert verdict.verdict == UNDECIDED
    assert "a run diverged" in verdict.sentence


def test_persistence_would_not_beat_itself():
    record = made_record("rmsprop", test_loss_dropout=1e-4)
    assert record.persistence["test"] == 1e-4
    verdict = found_of(years_of([3.0] * 4))["rmsprop-beats-persistence"].verdict
    assert verdict.persistence is False
    assert verdict.value == pytest.approx(1.0)
