"""The questions of a reader, and what the verdicts answer: in words, computed from them.

Every claim belongs to one question, and so does every figure and table, but for the first picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from stock_rnn.study.judge.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED, Verdict

YES, NO, MIXED, OPEN = "yes", "no", "mixed", "undecided"

#: The figure above all questions.
FIRST_FIGURE = "losses"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A question, and what belongs to it.

    Attributes:
        id: a short name.
        asks: the question. Its answer is yes if its claims are reproduced.
        claims: id of a claim -> what is so if it is reproduced, in words.
        figures, tables: their names.
    """

    id: str
    asks: str
    claims: Mapping[str, str]
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


QUESTIONS: tuple[Question, ...] = (
    Question(
        id="better",
        asks="Is RMSProp better than SGD?",
        claims={
            "sgd-test-loss": "RMSProp's test loss is about a tenth of SGD's",
            "sgd-train-loss": "RMSProp's training loss is about a hundredth of SGD's",
            "rmsprop-is-more-accurate": "RMSProp tests better than SGD over all three networks",
            "rmsprop-nears-the-optimum": "RMSProp trains to within twice the lowest loss of all",
        },
        figures=("rates",),
        tables=("rates", "improvement"),
    ),
    Question(
        id="faster",
        asks="Is it faster?",
        claims={"rmsprop-is-faster": "RMSProp needs fewer epochs than SGD"},
        figures=("epochs_appendix", "epochs_text"),
    ),
    Question(
        id="saddles",
        asks="Is it saddles that hold SGD?",
        claims={
            "sgd-ends-at-a-saddle": "SGD ends where negative curvature beats the gradient",
            "sgd-is-held-by-negative-curvature": "negative curvature would halve SGD's loss",
            "random-directions-lead-down": "random directions lead as low as SGD's gradient",
            "negative-curvature-helps": "RMSProp ends where negative curvature beats the gradient",
        },
        figures=("eigenvalues", "edge_of_stability"),
        tables=("lines", "curvature"),
    ),
    Question(
        id="escape",
        asks="Does RMSProp leave a saddle at which SGD stays?",
        claims={
            "rmsprop-leaves-faster": "RMSProp moves away from a made saddle faster than SGD",
            "sgd-stays-at-the-saddle": "SGD stays at a made saddle for 1,000 steps",
            "rmsprop-leaves-the-saddle": "RMSProp leaves a made saddle within 1,000 steps",
        },
        figures=("escapes",),
        tables=("escapes",),
    ),
    Question(
        id="size",
        asks="Does size help?",
        claims={
            "wider-trains-better": "128 units train better than 32",
            "wider-tests-better": "128 units have a tenth of the test loss of 32",
            "deepest-beats-wide": "five layers test better than one of as many units",
            "deepest-beats-small": "five layers of 128 units test better than one of 32",
        },
    ),
    Question(
        id="too-large",
        asks="Can a network be too large?",
        claims={
            "wide-tests-worse": "1,024 units test worse than 512",
            "the-turn-is-at-512": "from 512 units on, a doubling harms more than before",
            "wide-trains-well": "1,024 units still train about as well as 128",
        },
        figures=("sizes",),
        tables=("sizes",),
    ),
    Question(
        id="persistence",
        asks="Does anything beat persistence?",
        claims={},
        tables=("optimizers",),
    ),
    Question(
        id="again",
        asks="Are the report's numbers and figures found again?",
        claims={
            "table-5.1-train-loss": "table 5.1, training loss",
            "table-5.1-test-loss": "table 5.1, test loss",
            "table-5.2-train-loss": "table 5.2, training loss",
            "table-5.2-test-loss": "table 5.2, test loss",
            "table-5.3-train-loss": "table 5.3, training loss",
            "table-5.3-test-loss": "table 5.3, test loss",
            "table-5.4-train-loss": "table 5.4, training loss",
            "table-5.4-test-loss": "table 5.4, test loss",
            "sgd-underfits": "SGD's test loss is ten times its training loss",
            "sgd-never-intersects": "SGD's predictions never cross the prices (figure 5.1)",
            "figure-5.2-intersects": "RMSProp's predictions cross the prices often (figure 5.2)",
            "figure-5.3-intersects": "those of 1 x 128 cross the prices often (figure 5.3)",
            "figure-5.4-intersects": "those of 5 x 128 cross the prices often (figure 5.4)",
        },
        figures=("figure_5.1", "figure_5.2", "figure_5.3", "figure_5.4"),
        tables=("table_5.1", "table_5.2", "table_5.3", "table_5.4"),
    ),
    Question(
        id="theory",
        asks="Does what chapter 4 says of networks and training hold?",
        claims={
            "loss-is-not-convex": "the loss is not convex",
            "average-is-not-optimal": "the mean of two equal networks is worse than they are",
            "lstm-gradient-never-vanishes": "an LSTM's gradient never shrinks back in time",
            "lstm-gradient-lasts-longer": "an LSTM's gradient lasts longer than a simple RNN's",
            "dropout-helps": "training with dropout tests better",
            "gradient-falls-as-proved": "RMSProp's gradient falls as the theorem of 4.3.5 says, "
            "within its assumptions",
            "gradient-falls-as-trained": "RMSProp's gradient falls so as the report trains",
        },
    ),
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer in words.

    Attributes:
        word: YES, NO, MIXED or OPEN.
        counts: how many of the claims hold, in a few words.
        words: which of them do.
    """

    word: str
    counts: str
    words: str


def answer(question: Question, verdicts: Mapping[str, Verdict]) -> Answer:
    """The answer that the verdicts on a question's claims give.

    Yes if all claims that are decided are reproduced, no if none is, mixed if some are; undecided
    if none is decided.

    Args:
        question: one with claims.
        verdicts: id of a claim -> verdict.
    """
    by_verdict: dict[str, list[str]] = {REPRODUCED: [], NOT_REPRODUCED: [], UNDECIDED: []}
    for claim, words in question.claims.items():
        by_verdict[verdicts[claim].verdict].append(words)
    hold, fail, left = by_verdict.values()
    word = (MIXED if fail else YES) if hold else (NO if fail else OPEN)
    counts = f"{len(question.claims)} claims: {len(hold)} reproduced, {len(fail)} not"
    if left:
        counts += f", {len(left)} undecided"
    if len(question.claims) == 1:
        counts = "its one claim " + (
            "holds" if hold else "does not hold" if fail else "is undecided"
        )
    said = [
        f"{name}: {'; '.join(of)}."
        for name, of in (("Holds", hold), ("Does not hold", fail), ("Undecided", left))
        if of
    ]
    return Answer(word, counts, " ".join(said))


def beaten(optimizers: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The kinds of run whose skill against persistence lies above zero, and how many are judged.

    A kind of run is a network, an optimizer, a protocol, and dropout on or off in the test.

    Args:
        optimizers: `tables.optimizers`. Rows without an interval are left out.
    """
    known = optimizers.dropna(subset=["low", "high"]) if len(optimizers) else optimizers
    return (known[known["low"] > 0.0] if len(known) else known), len(known)


def answer_on_persistence(optimizers: pd.DataFrame) -> Answer:
    """Whether any network has a lower test loss than persistence.

    Args:
        optimizers: `tables.optimizers`.
    """
    better, count = beaten(optimizers)
    if not count:
        return Answer(OPEN, "no kind of run with enough seeds", "Too few seeds were run.")
    counts = f"in {len(better)} of {count} kinds of run"
    rule = "where the 95 % interval of the skill, each by itself, lies above zero"
    if not len(better):
        return Answer(NO, counts, f"None does, {rule}.")
    each = [
        f"{row['optimizer']}, {row['network']}, protocol {row['protocol']}, dropout "
        f"{row['dropout']}, by {100 * row['test_skill_iqm']:.1f} %"
        for row in better.to_dict("records")
    ]
    word = YES if len(better) == count else MIXED
    return Answer(word, counts, f"Of kinds of run, {rule}: {'; '.join(each)}.")


def answers(verdicts: Sequence[Verdict], optimizers: pd.DataFrame) -> list[tuple[Question, Answer]]:
    """Every question with its answer.

    Args:
        verdicts: on all claims of the registry.
        optimizers: `tables.optimizers`.
    """
    known = {verdict.claim.id: verdict for verdict in verdicts}
    return [
        (one, answer(one, known) if one.claims else answer_on_persistence(optimizers))
        for one in QUESTIONS
    ]
