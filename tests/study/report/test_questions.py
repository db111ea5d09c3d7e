"""The questions, their answers and the three sentences, from made verdicts."""

import collections
import dataclasses
import itertools
import math

import pandas as pd
import pytest

from stock_rnn.study.judge.claims import CLAIMS
from stock_rnn.study.judge.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED, judge_all
from stock_rnn.study.records import Study
from stock_rnn.study.report.answer import three_sentences
from stock_rnn.study.report.captions import caption
from stock_rnn.study.report.questions import (
    FIRST_FIGURE,
    MIXED,
    NO,
    OPEN,
    QUESTIONS,
    YES,
    answer,
    answer_on_persistence,
    answers,
)


@pytest.fixture(scope="module")
def empty():
    """The verdicts without any run."""
    return judge_all(Study([]))


@pytest.fixture(scope="module")
def judged(empty):
    """Make verdicts: claim -> verdict, all others undecided; `direction` holds for all."""

    def make(verdicts=(), value=1.5, **others):
        known = dict(verdicts)
        return [
            dataclasses.replace(
                v, verdict=known.get(v.claim.id, UNDECIDED), value=value, seeds=12, **others
            )
            for v in empty
        ]

    return make


def skills(*rows):
    """Rows of the table of optimizers: name, skill, low, high."""
    return pd.DataFrame(
        [
            {
                "protocol": "appendix",
                "dropout": "off",
                "network": "1 x 32",
                "optimizer": name,
                "test_skill_iqm": skill,
                "low": low,
                "high": high,
            }
            for name, skill, low, high in rows
        ]
    )


def test_every_claim_figure_and_table_belongs_to_one_question():
    asked = collections.Counter(itertools.chain(*(q.claims for q in QUESTIONS)))
    assert asked == collections.Counter(claim.id for claim in CLAIMS)
    shown = [name for q in QUESTIONS for name in (*q.figures, *q.tables)]
    assert all(caption(name) for name in (FIRST_FIGURE, *shown))
    for kind in ("figures", "tables"):
        of = [name for q in QUESTIONS for name in getattr(q, kind)]
        assert len(of) == len(set(of))
        assert FIRST_FIGURE not in of
    assert len({q.id for q in QUESTIONS} - {claim.id for claim in CLAIMS}) == len(QUESTIONS)


def test_everything_that_is_drawn_is_shown(drawn):
    figures = {name for q in QUESTIONS for name in q.figures} | {FIRST_FIGURE}
    tables = {name for q in QUESTIONS for name in q.tables} | {"makespan"}
    assert {path.stem for path in drawn.figures.iterdir()} <= figures
    assert {path.stem for path in drawn.tables.iterdir()} <= tables


@pytest.mark.parametrize(
    ("verdicts", "word", "counts"),
    [
        ([REPRODUCED] * 4, YES, "4 claims: 4 reproduced, 0 not"),
        ([NOT_REPRODUCED] * 4, NO, "4 claims: 0 reproduced, 4 not"),
        ([UNDECIDED] * 4, OPEN, "4 claims: 0 reproduced, 0 not, 4 undecided"),
        ([REPRODUCED, UNDECIDED] * 2, YES, "4 claims: 2 reproduced, 0 not, 2 undecided"),
        ([NOT_REPRODUCED, UNDECIDED] * 2, NO, "4 claims: 0 reproduced, 2 not, 2 undecided"),
        ([NOT_REPRODUCED, REPRODUCED] * 2, MIXED, "4 claims: 2 reproduced, 2 not"),
    ],
)
def test_an_answer_is_what_its_verdicts_say(verdicts, word, counts, judged):
    question = next(q for q in QUESTIONS if len(q.claims) == 4)
    given = dict(zip(question.claims, verdicts, strict=True))
    found = answer(question, {v.claim.id: v for v in judged(given)})
    assert (found.word, found.counts) == (word, counts)
    names = {REPRODUCED: "Holds: ", NOT_REPRODUCED: "Does not hold: ", UNDECIDED: "Undecided: "}
    for verdict, name in names.items():
        said = "; ".join(
            words for claim, words in question.claims.items() if given[claim] == verdict
        )
        assert (f"{name}{said}." in found.words) == (verdict in verdicts)


@pytest.mark.parametrize(
    ("verdict", "counts"),
    [
        (REPRODUCED, "its one claim holds"),
        (NOT_REPRODUCED, "its one claim does not hold"),
        (UNDECIDED, "its one claim is undecided"),
    ],
)
def test_the_answer_of_one_claim_does_not_count(verdict, counts, judged):
    question = next(q for q in QUESTIONS if len(q.claims) == 1)
    given = dict.fromkeys(question.claims, verdict)
    assert answer(question, {v.claim.id: v for v in judged(given)}).counts == counts


def test_persistence_is_beaten_where_the_interval_lies_above_zero():
    table = skills(
        ("sgd", -0.1, -0.2, 0.1), ("adam", 0.02, 0.01, 0.03), ("rmsprop", 0.3, math.nan, math.nan)
    )
    found = answer_on_persistence(table)
    assert (found.word, found.counts) == (MIXED, "in 1 of 2 kinds of run")
    assert "adam, 1 x 32, protocol appendix, dropout off, by 2.0 %" in found.words
    assert "rmsprop" not in found.words
    assert answer_on_persistence(table[:1]).word == NO
    assert answer_on_persistence(table[1:2]).word == YES
    assert answer_on_persistence(table[2:]).word == OPEN
    assert answer_on_persistence(pd.DataFrame()).word == OPEN


def test_every_question_is_answered(judged):
    found = answers(judged(), skills(("sgd", -0.1, -0.2, 0.1)))
    assert [question for question, _ in found] == list(QUESTIONS)
    assert {of.word for question, of in found if question.claims} == {OPEN}


# The three sentences


def sentences(judged, given=(), table=None, **others):
    table = skills(("sgd", -0.1, -0.2, -0.05)) if table is None else table
    found = three_sentences(judged(given, **others), table)
    assert len(found) == 3
    assert all(sentence.endswith(".") for sentence in found)
    return found


@pytest.mark.parametrize(
    ("verdict", "direction", "words"),
    [
        (REPRODUCED, True, "RMSProp's test error is about a tenth of SGD's, as the report says"),
        (NOT_REPRODUCED, True, "is lower than SGD's in the smallest network, but not ten times"),
        (NOT_REPRODUCED, False, "is not a tenth of SGD's"),
        (UNDECIDED, True, "as the report says, is undecided"),
    ],
)
@pytest.mark.parametrize(
    ("over_all", "end"),
    [
        (REPRODUCED, "networks it is lower, too."),
        (NOT_REPRODUCED, "networks it is not lower."),
        (UNDECIDED, "networks it is undecided which is lower."),
    ],
)
def test_the_first_sentence_says_how_much_better(verdict, direction, words, over_all, end, judged):
    given = {"sgd-test-loss": verdict, "rmsprop-is-more-accurate": over_all}
    first, *_ = sentences(judged, given, value=11.7, direction=direction)
    assert words in first
    assert "SGD's is 11.7 times as large" in first
    assert first.endswith(end)


@pytest.mark.parametrize(
    ("ends", "held", "words"),
    [
        (REPRODUCED, REPRODUCED, "and it is a saddle that holds SGD"),
        (REPRODUCED, NOT_REPRODUCED, "leads lower than the gradient, but not by much."),
        (REPRODUCED, UNDECIDED, "negative curvature leads lower than the gradient."),
        (NOT_REPRODUCED, NOT_REPRODUCED, "but it is no saddle that holds SGD"),
        (UNDECIDED, NOT_REPRODUCED, "and whether SGD ends at a saddle is undecided."),
    ],
)
def test_the_second_sentence_says_whether_it_is_saddles(ends, held, words, judged):
    given = {
        "rmsprop-is-faster": REPRODUCED,
        "sgd-ends-at-a-saddle": ends,
        "sgd-is-held-by-negative-curvature": held,
    }
    second = sentences(judged, given)[1]
    assert second.startswith("RMSProp does learn in fewer epochs, ")
    assert words in second
    slower = sentences(judged, {**given, "rmsprop-is-faster": NOT_REPRODUCED})[1]
    assert slower.startswith("RMSProp does not learn in fewer epochs, and ")


def test_the_third_sentence_says_what_beats_the_guess_of_no_change(judged):
    none, some = ("sgd", -0.1, -0.2, -0.05), ("adam", 0.0112, 0.01, 0.03)
    guess = "the guess that tomorrow's price is today's"
    assert sentences(judged)[2] == f"No network beats {guess}."
    third = sentences(judged, table=skills(none, some))[2]
    assert third == (
        f"Only adam at 1 x 32 beats {guess}: in 1 of 2 kinds of run the error is lower, "
        "by 1.1 % at most."
    )
    assert sentences(judged, table=skills(some))[2].startswith("adam at 1 x 32 beats")


def test_without_runs_the_sentences_say_so(empty):
    first, second, third = three_sentences(empty, pd.DataFrame())
    assert "not known: too few runs" in first
    assert "undecided" in second
    assert "not known: too few runs" in third
