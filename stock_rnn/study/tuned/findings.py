"""Everything that is shown of the part, computed from its records."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from stock_rnn.study.folder import Folder, read_study
from stock_rnn.study.judge.verdicts import UNDECIDED, Verdict, format_number
from stock_rnn.study.parts import Findings
from stock_rnn.study.plan import NETWORKS
from stock_rnn.study.report.tables import network_name
from stock_rnn.study.tuned import figures, plan, tables
from stock_rnn.study.tuned.procedures import ONE_SHOT, PROCEDURES, TUNED, judge_procedure
from stock_rnn.study.tuned.results import Results, of_smallest
from stock_rnn.study.tuned.run import part_folder

_CAPTIONS = {
    "rates": "Loss on the last tenth of the training examples, after the last epoch and with "
    "dropout off, by initial learning rate: the geometric mean of the search's seeds, the least "
    "and the greatest. Persistence is the forecast of no change.",
    "rate_curves": "Loss on the last tenth of the training examples, after the last epoch and "
    "with dropout off, by initial learning rate: the geometric mean of the search's seeds, bands "
    "from the least to the greatest. The chosen rate is ringed. Persistence is the forecast of "
    "no change.",
    "choices": "The rate with the lowest validation loss. Where it is an end of the grid, a rate "
    "beyond may be better. Near are the rates whose loss is at most a tenth above the lowest: the "
    "more, the less the rate matters.",
    "losses": "Losses after the last epoch of the runs with fresh seeds: the interquartile mean of "
    "the logarithms over seeds, and its 95 % interval. Skill is 1 - loss / persistence's.",
    "targets": "Time until the validation loss first is at most the target, which is "
    f"{plan.TARGET_FACTOR:g} times the lowest that the network's search had after three quarters "
    "of the epochs: the median of the seeds, infinite if half of them never get there. Seconds "
    "are the processor's, of training alone; the first epoch, which builds the graph, counts as "
    "the others.",
    "time_to_target": "Time until the validation loss first is at most the target: a dot a "
    "seed, full at the chosen rate and hollow at the report's; bars are medians. The target is "
    f"{plan.TARGET_FACTOR:g} times the lowest validation loss that the search had after three "
    "quarters of the epochs.",
    "profiles": "Performance profiles (Dolan and Moré 2002): the share of seeds on which an "
    "optimizer is within a factor of the best one, at its chosen rate above and at the report's "
    "below. Higher is better; the height at 1 is how often it is the best. Larger factors than the "
    "right end's are not drawn.",
    "by_epoch_and_second": "Validation loss with dropout off against epochs and against the "
    "processor's seconds, at the chosen rates above and at the report's below.",
    "verdicts": "Every claim at the chosen rates and at the report's, dropout off; deciding "
    "intervals.",
}


def findings(folder: Folder) -> Findings | None:
    """What came out; None if the part was not run in the folder.

    Raises:
        UserError: no run of it is finished, or a file is damaged.
    """
    place = part_folder(folder)
    if not place.study.exists():
        return None
    _, records = read_study(place)
    results = Results.of(records)
    by_procedure = {each: judge_procedure(each, results.reruns[each]) for each in PROCEDURES}
    verdicts = [verdict for of in by_procedure.values() for verdict in of]
    found = {**tables.all_tables(results), "verdicts": tables.verdicts(verdicts)}
    return Findings(
        name=plan.NAME,
        title="With every optimizer at its own best rate",
        words=_words(results, found, by_procedure[TUNED], by_procedure[ONE_SHOT]),
        verdicts=verdicts,
        tables=found,
        figures=figures.all_figures(results),
        captions=_CAPTIONS,
    )


def _words(
    results: Results,
    found: Mapping[str, pd.DataFrame],
    tuned: Sequence[Verdict],
    one_shot: Sequence[Verdict],
) -> list[str]:
    return [
        "One rate for all optimizers may favour one of them. Here the last tenth of the training "
        "examples validates, a grid of rates from 1e-5 to 10 is searched for every optimizer, and "
        "the rate with the lowest validation loss is trained again with fresh seeds. No test loss "
        "is looked at before. Beside it the same seeds at the report's rate, "
        f"{plan.ONE_SHOT_RATE:g}. Losses are those with dropout off.",
        *_chosen(results),
        *(_losses(found["losses"]) + _unlucky(found["losses"]) if "losses" in found else []),
        _compared(tuned, one_shot),
    ]


def _chosen(results: Results) -> list[str]:
    """The chosen rates at 1 x 32, and those at an end of the grid."""
    chosen = {s.optimizer: results.choices[s] for s in of_smallest() if s in results.choices}
    if not chosen:
        return []
    rates = ", ".join(f"{name} {choice.rate:g}" for name, choice in chosen.items())
    words = f"The chosen rates at {network_name(NETWORKS[0])}: {rates}."
    edges = [
        f"{subject.optimizer} at {network_name(subject.network)} ({choice.rate:g})"
        for subject, choice in results.choices.items()
        if choice.edge
    ]
    ends = f"At an end of the grid: {', '.join(edges)}; a rate beyond it may be better."
    return [f"{words} {ends if edges else 'None is at an end of the grid, on any network.'}"]


def _losses(table: pd.DataFrame) -> list[str]:
    """Test losses over persistence's at 1 x 32, on both procedures."""
    of = table[(table["set"] == "test") & (table["dropout"] == "off")]
    of = of[of["network"] == network_name(NETWORKS[0])]
    words = []
    for procedure in PROCEDURES:
        rows = of[of["procedure"] == procedure.name]
        shares = ", ".join(
            f"{row['optimizer']} {format_number(row['loss'] / row['persistence'])}"
            for _, row in rows.sort_values("loss").iterrows()
        )
        if shares:
            words.append(f"{procedure.name}: {shares}")
    if not words:
        return []
    return [
        f"Test losses at {network_name(NETWORKS[0])} in units of persistence's (1 is as good as "
        f"guessing no change). {'; '.join(words).capitalize()}."
    ]


def _unlucky(table: pd.DataFrame) -> list[str]:
    """The subjects whose chosen rate is worse on fresh seeds than the report's."""
    of = table[(table["set"] == "validation") & (table["dropout"] == "off")]
    losses = of.pivot_table("loss", ["network", "optimizer"], "procedure", sort=False)
    if not {"tuned", "one-shot"} <= set(losses.columns):
        return []
    worse = losses[losses["tuned"] > plan.TARGET_FACTOR * losses["one-shot"]]
    if not len(worse):
        return []
    names = ", ".join(
        f"{row['optimizer']} at {row['network']} ({format_number(row['tuned'])} against "
        f"{format_number(row['one-shot'])})"
        for row in worse.reset_index().to_dict("records")
    )
    return [
        "On the fresh seeds the chosen rate has a validation loss more than a tenth above that of "
        f"the report's rate for {names}: there the few seeds of the search chose badly."
    ]


def _compared(tuned: Sequence[Verdict], one_shot: Sequence[Verdict]) -> str:
    """How the verdicts differ between the procedures."""
    counts = "; ".join(
        f"{name}: {_counted(collections.Counter(verdict.verdict for verdict in of))}"
        for name, of in (("tuned", tuned), ("one-shot", one_shot))
    )
    words = f"Verdicts on {len(tuned)} claims. {counts.capitalize()}."
    other = [
        f"“{one.claim.statistic}” ({two.verdict} at the report's rate, {one.verdict} when tuned)"
        for one, two in zip(tuned, one_shot, strict=True)
        if UNDECIDED not in (one.verdict, two.verdict) and one.verdict != two.verdict
    ]
    changed = "; ".join(other)
    missing = sum(math.isnan(verdict.value) for verdict in tuned)
    turned = f"The rate turns the verdict on {changed}."
    same = "No verdict turns into its opposite with the rate."
    rest = f" Of {missing} there are no runs, or no number." if missing else ""
    return f"{words} {turned if other else same}{rest}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
