"""That the other frameworks train what ours trains."""

import numpy as np
import pytest

from benchmarks import training
from benchmarks.training import Network
from stock_rnn.training.epochs import EpochTrainer


@pytest.mark.parametrize("network", [Network(1, 32, 3), Network(2, 8, 5)], ids=str)
def test_jax_s_losses_are_ours(network):
    pytest.importorskip("jax", reason="make bench installs it")
    model, dataset = training._model(network, keep_prob=1.0), training._dataset(network)
    theirs, seconds = training.jax_epochs(network, model.get_weights(), 4, keep_prob=1.0)
    trainer = EpochTrainer(model, dataset, batch_size=64, shuffle="batches", seed=0)
    ours = [trainer.train(epoch)["loss"] for epoch in range(4)]
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)
    assert len(seconds) == 4
