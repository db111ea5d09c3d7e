"""The choice of a rate, and the target."""

import dataclasses
import math

import numpy as np
import pytest

from stock_rnn.study.tuned.choice import Search
from stock_rnn.study.tuned.plan import Subject
from tests.study.tuned.cases import EPOCHS, run_at

pytestmark = pytest.mark.usefixtures("small_protocol")

SGD = Subject((1, 32), "sgd")


def searched(losses, **settings):
    """The search's records of SGD at 1 x 32, from rate -> validation losses of its seeds."""
    return [
        run_at("sgd", rate, seed, validation=loss, **settings)
        for rate, of in losses.items()
        for seed, loss in enumerate(of)
    ]


def test_the_rate_with_the_lowest_geometric_mean_is_chosen():
    # The arithmetic means are 5.05, 2 and 3.
    found = Search(searched({1e-4: (0.1, 10.0), 1e-3: (2.0, 2.0), 1e-2: (3.0, 3.0)}))
    choice = found.choose(SGD)
    assert (choice.rate, choice.loss, choice.edge) == (1e-4, pytest.approx(1.0), "lowest")
    assert len(choice.runs) == 6


def test_a_test_loss_decides_nothing():
    losses = {1e-4: (3.0, 3.0), 1e-3: (1.0, 1.0), 1e-2: (2.0, 2.0)}
    chosen = {
        Search(searched(losses, test=test)).choose(SGD).rate for test in (1e-9, 1.0, math.inf)
    }
    assert chosen == {1e-3}


def test_a_rate_at_which_a_run_diverged_is_not_chosen():
    found = searched({1e-4: (3.0, 3.0), 1e-3: (2.0, 2.0), 1e-2: (1.0, 1.0)})
    found[-1] = dataclasses.replace(found[-1], diverged=2)
    assert Search(found).choose(SGD).rate == 1e-3
    assert Search(found).loss(SGD, 1e-2) == math.inf


def test_rates_are_near_whose_loss_is_at_most_a_tenth_above_the_lowest():
    losses = {1e-4: (1.12, 1.12), 1e-3: (1.0, 1.0), 1e-2: (1.09, 1.09)}
    assert Search(searched(losses)).choose(SGD).near == (1e-3, 1e-2)


def test_the_lower_of_equal_rates_is_chosen():
    found = Search(searched({1e-4: (3.0, 3.0), 1e-3: (1.0, 1.0), 1e-2: (1.0, 1.0)}))
    assert (found.choose(SGD).rate, found.choose(SGD).edge) == (1e-3, "")


def test_nothing_is_chosen_before_the_search_is_complete():
    found = searched({1e-4: (3.0, 3.0), 1e-3: (1.0, 1.0), 1e-2: (2.0, 2.0)})
    assert Search(found[:-1]).choose(SGD) is None
    assert Search(found).choose(SGD) is not None


def test_runs_with_fresh_seeds_do_not_choose():
    found = searched({1e-4: (3.0, 3.0), 1e-3: (1.0, 1.0), 1e-2: (2.0, 2.0)})
    fresh = [run_at("sgd", 1e-2, seed, validation=1e-9) for seed in (1000, 1001)]
    assert Search([*found, *fresh]).choose(SGD).rate == 1e-3


def test_the_target_is_a_tenth_above_the_lowest_loss_after_three_quarters_of_the_epochs():
    curve = np.linspace(2.0, 1.0, EPOCHS + 1)
    losses = {1e-4: (3.0, 3.0), 1e-3: (1.0, 1.0), 1e-2: (2.0, 2.0)}
    found = [
        run_at(name, rate, seed, validation_loss=level * scale * curve)
        for name, scale in (("sgd", 1.0), ("rmsprop", 5.0))
        for rate, of in losses.items()
        for seed, level in enumerate(of)
    ]
    # Epoch 38 of 50.
    assert Search(found).target((1, 32)) == pytest.approx(1.1 * (2.0 - 38 / 50))
    assert math.isnan(Search(found[1:]).target((1, 32)))
