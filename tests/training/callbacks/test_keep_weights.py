import keras
import numpy as np
import pytest

from stock_rnn.errors import UserError
from stock_rnn.training.callbacks import KeepWeights
from stock_rnn.training.runs import Run, kept_weights
from stock_rnn.training.runs.kept_weights import kept_every, read_weights


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def trained(model, folder, *, first_epoch, max_epoch):
    """A training of which epoch k ends in weights that are all k."""
    keep = KeepWeights(folder, first_epoch, max_epoch)
    keep.set_model(model)
    model.set_weights([w * 0 + first_epoch for w in model.get_weights()])
    keep.on_train_begin()
    for epoch in range(first_epoch, max_epoch):
        model.set_weights([w * 0 + epoch + 1 for w in model.get_weights()])
        keep.on_epoch_end(epoch)


def kept(folder):
    return {path.name: np.load(path).tolist() for path in folder.iterdir()}


def test_the_weights_of_every_epoch_are_kept(model, tmp_path):
    run = Run("r", tmp_path, tmp_path)
    run.folder.mkdir()
    trained(model, run.weights, first_epoch=0, max_epoch=4)
    epochs, weights = read_weights(run, 3)
    assert epochs.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(weights, np.repeat(np.arange(5.0), 3).reshape(5, 3))
    assert weights.dtype == np.float32


def test_a_training_that_goes_on_keeps_what_one_of_that_length_keeps(model, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_weights, "MOST_EPOCHS", 4)
    trained(model, tmp_path / "a", first_epoch=0, max_epoch=13)
    # Killed after epoch 7, of which epochs 6 and 7 were not in the checkpoint.
    trained(model, tmp_path / "b", first_epoch=0, max_epoch=7)
    trained(model, tmp_path / "b", first_epoch=5, max_epoch=13)
    assert kept(tmp_path / "a") == kept(tmp_path / "b")
    assert sorted(kept(tmp_path / "a")) == [f"epoch{k:07d}.npy" for k in (0, 4, 8, 12, 13)]


def test_what_is_kept_is_bounded_in_number_and_in_bytes():
    assert [kept_every(epochs, 10) for epochs in (1, 200, 201, 400, 401)] == [1, 1, 2, 2, 3]
    # A million numbers are 4 MB.
    for epochs, parameters in [(200, 10**6), (200, 10**7), (10**6, 4385), (3, 10**9)]:
        count = epochs // kept_every(epochs, parameters)
        assert 4 * parameters * count <= 2**30
        assert count <= 200


@pytest.mark.parametrize("fault", ["missing", "cut short", "another size", "not finite"])
def test_weights_that_are_not_there_or_damaged_are_told_in_one_line(fault, model, tmp_path):
    run = Run("r", tmp_path, tmp_path)
    run.folder.mkdir()
    named = "epoch0000001.npy is damaged"
    if fault == "missing":
        named = "--keep-weights"
    else:
        trained(model, run.weights, first_epoch=0, max_epoch=2)
        path = run.weights / "epoch0000001.npy"
        if fault == "cut short":
            path.write_bytes(path.read_bytes()[:-4])
        else:
            np.save(path, np.float32([1, 2] if fault == "another size" else [1, 2, np.inf]))
    with pytest.raises(UserError) as caught:
        read_weights(run, 3)
    assert named in str(caught.value)
