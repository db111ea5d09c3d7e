"""A verdict in words and as JSON."""

import json
import re

import numpy as np
import pytest

from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.judge.statistics import Summary
from stock_rnn.study.judge.variants import PRIMARY
from stock_rnn.study.judge.verdicts import (
    REPRODUCED,
    UNDECIDED,
    Verdict,
    format_number,
    judge,
    judge_all,
)
from stock_rnn.study.records import Study
from tests.study.cases import INF, NAN, made_record, spread, study_of_ratios

CLAIM = {claim.id: claim for claim in CLAIMS}
FAMILY = len(CLAIMS)


def numbers(sentence):
    """What is written after "is", in the brackets, and after "needs", as numbers."""
    value = float(re.search(r" is (\S+) ", sentence)[1])
    brackets = re.findall(r"\[(\S+), (\S+)\]", sentence)
    return value, [tuple(map(float, pair)) for pair in brackets]


def test_the_sentence_has_the_summarys_numbers():
    found = judge(
        study_of_ratios(10 * np.exp(spread(0.2))), CLAIM["sgd-test-loss-tenfold"], family=FAMILY
    )
    value, (interval, simultaneous) = numbers(found.sentence)
    assert value == pytest.approx(found.summary.value, rel=5e-3)
    assert interval == pytest.approx(found.summary.interval, rel=5e-3)
    assert simultaneous == pytest.approx(found.summary.simultaneous, rel=5e-3)
    assert interval != simultaneous
    assert found.sentence.startswith("Reproduced: over 10 seeds the interquartile mean is ")
    assert f"(95 %), [{format_number(simultaneous[0])}" in found.sentence
    assert (
        f"simultaneously for all {FAMILY} claims; the claim needs 5.00 to 20.0." in found.sentence
    )


@pytest.mark.parametrize(
    ("claim", "needs"),
    [
        ("rmsprop-beats-sgd", "more than 1.00. The report's own numbers give 11.7."),
        ("wide-trains-well", "at most 1.25."),
        ("gradient-falls-at-the-rate", "at most -0.250. The report's own numbers give -0.250."),
        ("sgd-ends-at-a-saddle", "0.500 to 1.00."),
        (
            "width-tenfold",
            "5.00 to 20.0. The report's own numbers give 1.84, which is outside this region.",
        ),
    ],
)
def test_the_sentence_ends_with_the_region_and_the_reports_own_numbers(claim, needs):
    runs = []
    for optimizer in ("sgd", "rmsprop"):
        for network in ((1, 32), (1, 128), (1, 512), (1, 1024)):
            columns = {"test_loss_dropout": 1.0, "train_loss_dropout": 1.0}
            norms = {"gradient_norm": [1, 1, 1], "certified_negative": [1, 1, 1]}
            runs.append(made_record(optimizer, network=network, **columns, **norms))
    found = judge(Study(runs), CLAIM[claim], family=FAMILY)
    assert found.sentence.endswith(f"; the claim needs {needs}")


def test_more_seeds_than_needed_are_no_reason_to_be_undecided():
    study = study_of_ratios(10 * np.exp(spread(0.2, n=12)))
    found = judge(study, CLAIM["sgd-test-loss-tenfold"], family=FAMILY)
    assert found.sentence.startswith("Reproduced: over 12 seeds the interquartile mean is ")
    assert "are needed" not in found.sentence


def test_the_reports_own_number_at_the_end_of_the_region_is_inside():
    runs = [
        made_record(predictions={"actual": [0.0], "predicted": [1.0], "predicted_dropout": [1.0]})
    ]
    found = judge(Study(runs), CLAIM["sgd-never-intersects"], family=FAMILY)
    assert found.sentence.endswith("The report's own numbers give 0.00.")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.00"),
        (0.00092, "9.20e-04"),
        (0.0108, "0.0108"),
        (0.5, "0.500"),
        (10.0, "10.0"),
        (97.0, "97.0"),
        (123.4, "123"),
        (-0.25, "-0.250"),
        (1e4, "1.00e+04"),
        (1e-3, "0.00100"),
        (1e6, "1.00e+06"),
        (NAN, "–"),
        (INF, "∞"),
        (-INF, "-∞"),
    ],
)
def test_numbers_have_three_digits(value, words):
    assert format_number(value) == words


def strict_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


def test_infinite_and_missing_numbers_are_null_in_json():
    summary = Summary(INF, (-INF, NAN), (NAN, INF), 3)
    claim = CLAIM["rmsprop-intersects-more"]
    values = {0: NAN, 1: INF, 2: 3.5}
    content = strict_json(
        Verdict(claim, PRIMARY, UNDECIDED, summary, values, ("a",), "So.").to_dict()
    )
    assert content["value"] is None
    assert content["interval"] == content["simultaneous_interval"] == [None, None]
    assert (content["region"], content["report"]) == ([0.0, None], None)
    assert content["values"] == {"0": None, "1": None, "2": 3.5}
    assert (content["variant"], content["runs"]) == ("appendix, dropout on", ["a"])


def test_json_has_the_same_numbers_as_the_verdict():
    found = judge(
        study_of_ratios(10 * np.exp(spread(0.2))), CLAIM["sgd-test-loss-tenfold"], family=FAMILY
    )
    content = strict_json(found.to_dict())
    assert (content["claim"], content["verdict"]) == ("sgd-test-loss-tenfold", REPRODUCED)
    assert content["value"] == found.summary.value
    assert tuple(content["interval"]) == found.summary.interval
    assert tuple(content["simultaneous_interval"]) == found.summary.simultaneous
    assert content["values"] == {str(s): v for s, v in found.values.items()}
    assert (content["region"], content["seeds"]) == ([5.0, 20.0], 10)
    assert (content["sentence"], content["runs"]) == (found.sentence, list(found.runs))


def test_all_verdicts_are_strict_json():
    for study in (
        Study([]),
        study_of_ratios([INF, 0.0, 1.0]),
        study_of_ratios([2.0] * 10, column="train_loss"),
    ):
        for verdict in judge_all(study, PRIMARY):
            assert strict_json(verdict.to_dict())["claim"] == verdict.claim.id
