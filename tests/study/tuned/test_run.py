"""The order of the protocol, what is kept, and one real training."""

import json

import numpy as np
import pytest

from stock_rnn.config import Config
from stock_rnn.study.folder import Folder
from stock_rnn.study.plan import Task
from stock_rnn.study.tuned import findings, plan, run
from tests.study.tuned.cases import DATA, Submitted


def test_the_search_is_finished_before_a_fresh_seed_is_trained(finished):
    _, tasks, _ = finished
    fresh = [task.config.seed >= plan.FIRST_FRESH_SEED for task in tasks]
    assert fresh == sorted(fresh)
    assert 0 < sum(fresh) < len(fresh)


def test_each_network_is_run_again_at_its_own_best_rate(finished):
    _, tasks, _ = finished
    rates = {
        task.config.init_learning_rate
        for task in tasks
        if task.config.optimizer == "sgd" and task.config.seed >= plan.FIRST_FRESH_SEED
    }
    assert rates == {1e-2, 1e-3}


def test_a_second_run_trains_nothing(finished, small_prices, small_protocol):
    folder, tasks, _ = finished
    again = Submitted()
    run(DATA, small_prices, folder, again, 10)
    assert again.tasks == []
    assert len(list(folder.runs.iterdir())) == len(tasks)


def test_the_list_of_runs_has_the_command_that_repeats_them(finished):
    folder, tasks, _ = finished
    content = json.loads((folder.path / "tuned" / "study.json").read_text(encoding="utf-8"))
    assert content["command"] == "python reproduce.py --parts tuned --seeds 10 --period 6mo"
    assert len(content["runs"]) == len(tasks)


def test_a_folder_without_the_part_has_no_findings(tmp_path):
    assert findings(Folder(tmp_path)) is None


def test_a_training_with_a_validation_set_has_its_losses(small_prices):
    from stock_rnn.data import dataset_of
    from stock_rnn.study.run.task import _run
    from stock_rnn.training.fit import compiled

    config = Config(
        period="6mo", num_steps=2, max_epoch=2, validation_ratio=0.2, hessian_every=0, seed=3
    )
    record = _run(Task(config=config), small_prices)
    dataset = dataset_of(config, small_prices)
    # The training's own loop without any measurement.
    _, trainer = compiled(config, dataset)
    losses = [trainer.test(), *(trainer.train(epoch)["val_loss"] for epoch in range(2))]
    np.testing.assert_allclose(record.epochs["validation_loss"], losses, rtol=1e-5)
    assert len(set(losses)) == 3
    assert record.persistence["validation"] == pytest.approx(
        np.mean(dataset.labels(dataset.validation) ** 2)
    )
    assert np.isnan(record.epochs["train_seconds"][0])
    assert (record.epochs["train_seconds"][1:] > 0.0).all()
    # Draws of masks at the end only.
    assert np.isfinite(record.epochs["test_loss_dropout"]).tolist() == [False, False, True]
