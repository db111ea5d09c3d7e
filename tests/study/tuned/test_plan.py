"""Which trainings the protocol has."""

import itertools

from stock_rnn.config import OPTIMIZERS
from stock_rnn.study import registry
from stock_rnn.study.tuned import plan
from stock_rnn.study.tuned.plan import ONE_SHOT_RATE, Subject, grid, reruns, search, subjects
from tests.study.tuned.cases import DATA


def test_the_file_is_the_one_that_was_registered():
    # It never changes: another rule is another version. Records name this hash.
    assert registry.name()["parts"]["tuned-1"] == "52e8c3edc6a64970"


def test_every_optimizer_is_searched_run_without_a_rate_or_left_out_with_a_reason():
    left_out = registry.load("tuned-1")["protocol"]["left_out"]
    assert {s.optimizer for s in subjects()} | set(left_out) == set(OPTIMIZERS)
    assert all(left_out.values())


def test_the_rates_are_spaced_evenly_on_a_log_scale_and_hold_the_reports():
    for of in grid().values():
        assert (of.rates[0], of.rates[-1]) == (1e-5, 10.0)
        steps = [high / low for low, high in itertools.pairwise(of.rates)]
        assert max(steps) < 1.01 * min(steps)
        assert ONE_SHOT_RATE in of.rates


def test_a_task_differs_from_the_reports_in_the_registered_settings_only():
    task = plan.task_of(DATA, Subject((5, 128), "adam"), 0.01, 7)
    changed = task.config.differences(type(task.config)(**DATA))
    assert set(changed) == {
        *("num_layers", "lstm_size", "optimizer", "init_learning_rate", "seed"),
        *("validation_ratio", "hessian_every"),
    }
    assert task.config.validation_ratio == 0.1


def test_reruns_have_seeds_that_no_search_has():
    searched = {task.config.seed for task in search(DATA)}
    fresh = {task.config.seed for task in reruns(DATA, {}, 10)}
    assert len(fresh) == 10
    assert not searched & fresh


def test_reruns_are_at_the_chosen_rate_and_at_the_reports():
    subject = Subject((1, 32), "sgd")
    of = {
        (task.config.init_learning_rate, task.config.seed)
        for task in reruns(DATA, {subject: 0.1}, 3)
        if task.config.optimizer == "sgd" and task.config.num_layers * task.config.lstm_size == 32
    }
    assert of == set(itertools.product((0.1, ONE_SHOT_RATE), (1000, 1001, 1002)))


def test_what_no_claim_compares_has_few_seeds():
    tasks = reruns(DATA, {}, 10)
    count = {
        name: sum(
            t.config.optimizer == name and (t.config.num_layers, t.config.lstm_size) == (1, 512)
            for t in tasks
        )
        for name in ("rmsprop", "adam")
    }
    assert count == {"rmsprop": 10, "adam": 2}
