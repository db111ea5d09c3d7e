"""Event files against what TensorFlow's own writer leaves, read back by TensorBoard."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from stock_rnn.curvature.tracking.event_file import EventFile

VALUES = np.random.default_rng(0).normal(size=(40, 25)).astype(np.float32)
HISTOGRAMS = {
    "many": VALUES,
    "equal": np.full(7, 3.0),
    "equal and huge": np.full(7, 1e30),
    "one": np.array([2.5]),
}


def read(folder):
    return EventAccumulator(str(folder), {"tensors": 0}).Reload()


def values(accumulator, tag):
    return [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(tag)]


def test_scalars_are_those_of_tensorflow_s_writer(tmp_path):
    ours = EventFile(tmp_path / "ours")
    theirs = tf.summary.create_file_writer(str(tmp_path / "theirs"))
    for step, value in ((1, 0.5), (2, np.nan), (30, -1e30)):
        ours.scalar("a/b", step, value, "what it is")
        with theirs.as_default(step=step):
            tf.summary.scalar("a/b", value, description="what it is")
    ours.close()
    theirs.close()
    found, expected = read(tmp_path / "ours"), read(tmp_path / "theirs")
    np.testing.assert_array_equal(values(found, "a/b"), values(expected, "a/b"))
    assert found.SummaryMetadata("a/b") == expected.SummaryMetadata("a/b")


@pytest.mark.parametrize("case", HISTOGRAMS)
def test_histograms_count_every_value_between_the_smallest_and_the_largest(case, tmp_path):
    shown = HISTOGRAMS[case]
    file = EventFile(tmp_path)
    file.histogram("h", 4, shown)
    file.close()
    [(step, buckets)] = values(read(tmp_path), "h")
    assert step == 4
    assert buckets[:, 2].sum() == shown.size
    assert (buckets[0, 0], buckets[-1, 1]) == (shown.min(), shown.max())
    assert (buckets[:, 0] <= buckets[:, 1]).all()
    if case == "many":
        theirs = tf.summary.create_file_writer(str(tmp_path / "theirs"))
        with theirs.as_default(step=4):
            tf.summary.histogram("h", shown)
        theirs.close()
        [(_, expected)] = values(read(tmp_path / "theirs"), "h")
        np.testing.assert_allclose(buckets, expected, atol=1e-5)


def test_a_histogram_leaves_out_what_is_not_finite(tmp_path):
    file = EventFile(tmp_path)
    file.histogram("h", 1, [1.0, np.nan, 2.0, np.inf])
    file.histogram("h", 2, [np.nan])
    file.close()
    [(step, buckets)] = values(read(tmp_path), "h")
    assert (step, buckets[:, 2].sum()) == (1, 2)


def test_nothing_is_written_before_a_flush(tmp_path):
    file = EventFile(tmp_path / "run")
    file.scalar("a", 1, 0.5)
    assert not (tmp_path / "run").exists()
    file.flush()
    file.scalar("a", 2, 0.6)
    assert [step for step, _ in values(read(tmp_path / "run"), "a")] == [1]
    file.close()
    assert [step for step, _ in values(read(tmp_path / "run"), "a")] == [1, 2]


def test_texts_are_those_of_tensorflow_s_writer(tmp_path):
    ours = EventFile(tmp_path / "ours")
    ours.text("t", 3, "**bold**")
    ours.close()
    theirs = tf.summary.create_file_writer(str(tmp_path / "theirs"))
    with theirs.as_default(step=3):
        tf.summary.text("t", "**bold**")
    theirs.close()
    found, expected = read(tmp_path / "ours"), read(tmp_path / "theirs")
    assert values(found, "t") == values(expected, "t") == [(3, b"**bold**")]
    assert found.SummaryMetadata("t") == expected.SummaryMetadata("t")
