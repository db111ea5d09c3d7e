"""Curvature beside every epoch: nothing changes, everything is recorded."""

import csv
import logging
import random
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from stock_rnn.curvature import (
    HessianCallback,
    HessianOperator,
    exact_spectrum,
    load_measurements,
    measure,
    save_measurements,
)
from stock_rnn.curvature.analysis.critical_point import KINDS, classify_critical_point
from stock_rnn.curvature.tracking.callback import EPS, GAMMA
from stock_rnn.curvature.tracking.measurement import BOUND_SCALARS, HISTOGRAM, KIND, SCALARS
from tests.samples import sampled

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 2, 1)).astype("f4"), RNG.normal(size=(22, 1)).astype("f4")


def build(optimizer="rmsprop", seed=0):
    """A model with everything that measuring could disturb."""
    # Keras up to 3.12 seeds its own stream once a session.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((2, 1)),
            layers.RNN(layers.LSTMCell(3, dropout=0.2), unroll=True),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def small(optimizer="sgd"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2, 1)), layers.Flatten(), layers.Dense(3, "tanh")])
    model.add(layers.Dense(1))
    model.compile(optimizer, "mse")
    return model


def fit(model, callbacks, epochs=3, **options):
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks, **options)


def state(model):
    """Everything that training moves, as arrays."""
    streams = [random.random(), np.random.random(), float(tf.random.uniform(()))]
    streams.append(float(keras.random.uniform(())))
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]] + streams


@pytest.mark.parametrize("optimizer", sampled(["sgd", "rmsprop", "adam"], ["adam"]))
def test_training_ends_in_the_same_bits_with_and_without(optimizer, tmp_path):
    results = []
    for measured in (False, True):
        model = build(optimizer)
        callback = HessianCallback(
            X, Y, batch_size=9, log_dir=tmp_path / "logs", spectrum_path=tmp_path / "spectrum.npz"
        )
        history = fit(model, [callback] if measured else [])
        results.append((state(model), history.history["loss"]))
    (plain, losses), (watched, watched_losses) = results
    assert len(plain) > 15
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)
    assert losses == watched_losses


class Subclassed(keras.Model):
    """Not built before its first step; LSTM cells draw masks even in inference."""

    def __init__(self):
        super().__init__()
        self.recurrent = layers.RNN(layers.LSTMCell(3, dropout=0.2), unroll=True)
        self.head = layers.Dense(1)

    def call(self, x, training=False):
        return self.head(self.recurrent(x, training=training))


def unbuilt_sequence():
    return keras.Sequential([layers.Flatten(), layers.Dense(3, "tanh"), layers.Dense(1)])


@pytest.mark.parametrize("make", [Subclassed, unbuilt_sequence])
def test_an_unbuilt_model_is_measured_from_the_start_and_trained_to_the_same_bits(make):
    results = []
    for measured in (False, True):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model = make()
        model.compile("sgd", "mse")
        callback = HessianCallback(X, Y)
        fit(model, [callback] if measured else [], epochs=1)
        results.append(state(model))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [m.epoch for m in callback.measurements] == [0, 1]
    assert all(np.isfinite(m.loss) for m in callback.measurements)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_model_that_only_data_can_build_is_refused_with_what_to_do():
    class ReadsValues(Subclassed):
        def call(self, x):
            return self.head(np.asarray(x)[:, 0])

    model = ReadsValues()
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="call it once on some of them before fit"):
        fit(model, [HessianCallback(X, Y)])


def test_values_reach_later_callbacks_and_the_file(tmp_path):
    callback = HessianCallback(X, Y, tol=1e-4, spectrum_path=tmp_path / "run" / "spectrum.npz")
    table = keras.callbacks.CSVLogger(str(tmp_path / "history.csv"))
    model = small()
    fit(model, [callback, table])
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [m.epoch for m in callback.measurements] == [0, 1, 2, 3]
    for row, measured in zip(rows, callback.measurements[1:], strict=True):
        for name, value in measured.scalars().items():
            assert float(row[f"hessian_{name}"]) == pytest.approx(value, nan_ok=True)
    stored = np.load(tmp_path / "run" / "spectrum.npz", allow_pickle=False)
    np.testing.assert_array_equal(stored["epochs"], [0, 1, 2, 3])
    assert stored["eigenvalues"].shape == stored["residuals"].shape == (4, 2)
    last = callback.measurements[-1]
    # The last row, against the whole spectrum at the final weights.
    operator = HessianOperator(model, "mse", X, Y)
    ends = exact_spectrum(operator).eigenvalues[[0, -1]]
    np.testing.assert_allclose(stored["eigenvalues"][-1], ends, rtol=1e-3, atol=1e-5)
    gradient = operator.gradient()
    assert last.loss == pytest.approx(operator.loss())
    assert last.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    along = gradient @ (operator @ gradient) / (gradient @ gradient)
    assert last.curvature_along_gradient == pytest.approx(along, rel=1e-5)
    assert last.condition_number == last.extremes.lambda_max / last.extremes.lambda_min


def test_what_is_stored_is_read_back_and_no_half_file_is_left(tmp_path):
    callback = HessianCallback(X, Y, spectrum_path=tmp_path / "spectrum.npz")
    fit(small(), [callback])
    back = load_measurements(tmp_path / "spectrum.npz")
    for there, here in zip(back, callback.measurements, strict=True):
        assert there.scalars() == pytest.approx(here.scalars(), nan_ok=True)
        for name in ("eigenvalues", "residuals", "ritz_values", "vectors"):
            np.testing.assert_array_equal(
                getattr(there.extremes, name), getattr(here.extremes, name)
            )
    assert [len(m.extremes.vectors) > 0 for m in back] == [False, False, True, True]
    assert [p.name for p in tmp_path.iterdir()] == ["spectrum.npz"]
    save_measurements(tmp_path / "empty.npz", [])
    assert load_measurements(tmp_path / "empty.npz") == []


def test_a_resumed_run_records_what_the_uninterrupted_one_does(tmp_path):
    whole = HessianCallback(X, Y)
    model = small()
    fit(model, [whole], epochs=5, shuffle=False)

    path = tmp_path / "spectrum.npz"
    model = small()
    fit(model, [HessianCallback(X, Y, spectrum_path=path)], epochs=2, shuffle=False)
    saved = model.get_weights()
    # One epoch more is measured, but its weights are lost.
    fit(model, [HessianCallback(X, Y, spectrum_path=path)], 3, shuffle=False, initial_epoch=2)
    assert [m.epoch for m in load_measurements(path)] == [0, 1, 2, 3]
    model = small()
    model.set_weights(saved)
    resumed = HessianCallback(X, Y, spectrum_path=path)
    fit(model, [resumed], epochs=5, shuffle=False, initial_epoch=2)

    assert [m.epoch for m in resumed.measurements] == [0, 1, 2, 3, 4, 5]
    for a, b in zip(load_measurements(path), whole.measurements, strict=True):
        assert {**a.scalars(), "seconds": 0} == pytest.approx(
            {**b.scalars(), "seconds": 0}, rel=0, abs=0, nan_ok=True
        )
        np.testing.assert_array_equal(a.extremes.ritz_values, b.extremes.ritz_values)


def test_a_run_goes_on_from_the_last_save_and_from_the_one_before(tmp_path):
    whole = HessianCallback(X, Y)
    fit(small(), [whole], epochs=6, shuffle=False)

    path, model, weights = tmp_path / "spectrum.npz", small(), {}
    seldom = HessianCallback(X, Y, spectrum_path=path, save_always=False)

    def save(epoch, logs):
        if epoch + 1 in (2, 4):
            seldom.save()
            weights[epoch + 1] = model.get_weights()
        if epoch == 4:
            # What a kill leaves; the end of training would write all.
            shutil.copy(path, tmp_path / "killed.npz")

    saver = keras.callbacks.LambdaCallback(on_epoch_end=save)
    fit(model, [seldom, saver], epochs=5, shuffle=False)
    assert [m.epoch for m in load_measurements(tmp_path / "killed.npz")] == [0, 1, 2, 3, 4]
    assert [m.epoch for m in load_measurements(path)] == [0, 1, 2, 3, 4, 5]
    for epoch, at in weights.items():
        model = small()
        model.set_weights(at)
        shutil.copy(tmp_path / "killed.npz", path)
        resumed = HessianCallback(X, Y, spectrum_path=path)
        fit(model, [resumed], epochs=6, shuffle=False, initial_epoch=epoch)
        for a, b in zip(resumed.measurements, whole.measurements, strict=True):
            np.testing.assert_array_equal(a.extremes.eigenvalues, b.extremes.eigenvalues)


def test_epochs_between_measurements_are_not_numbers():
    seen = []
    callback = HessianCallback(X, Y, every=2)
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    fit(small(), [callback, log], epochs=4)
    assert [m.epoch for m in callback.measurements] == [0, 2, 4]
    assert all({f"hessian_{name}" for name in SCALARS} <= set(logs) for logs in seen)
    assert [bool(np.isnan(logs["hessian_lambda_min"])) for logs in seen] == [
        True,
        False,
        True,
        False,
    ]


def test_one_graph_serves_all_epochs_and_warm_starts_save_products():
    callback = HessianCallback(X, Y)
    fit(build(), [callback], epochs=6)
    assert callback._operator.traces == 1
    matvecs = [m.matvecs for m in callback.measurements]
    assert np.median(matvecs[1:]) < matvecs[0]


def test_time_for_measuring_stays_within_its_share(caplog):
    callback = HessianCallback(X, Y, max_share=1e-9)
    with caplog.at_level(logging.INFO, "stock_rnn.curvature"):
        fit(small(), [callback], epochs=3)
    assert [m.epoch for m in callback.measurements] == [0]
    assert "max_share=1e-09" in caplog.text
    assert "Last measured after epoch 0" in caplog.text
    plenty = HessianCallback(X, Y, max_share=1e9)
    fit(small(), [plenty], epochs=3)
    assert [m.epoch for m in plenty.measurements] == [0, 1, 2, 3]


def test_the_number_of_products_is_bounded():
    callback = HessianCallback(X, Y, tol=1e-6, max_matvecs=5)
    fit(build(), [callback], epochs=2)
    assert max(m.matvecs for m in callback.measurements) == 5


def test_tensorboard_gets_every_tag_at_every_step(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    callback = HessianCallback(X, Y, log_dir=tmp_path)
    fit(small(), [callback], epochs=2)
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = {*events.Tags()["tensors"], *events.Tags()["scalars"]}
    kinds = [kind.replace(" ", "_") for kind in KINDS]
    assert tags == {
        *("hessian/" + name for name in (*SCALARS, *BOUND_SCALARS)),
        *("hessian/share_of_" + kind for kind in kinds),
        "hessian/" + HISTOGRAM,
    }
    for tag in tags:
        plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
        assert plugin == {"hessian/" + KIND: "text", "hessian/" + HISTOGRAM: "histograms"}.get(
            tag, "scalars"
        )
        if plugin != "text":
            assert len(events.SummaryMetadata(tag).summary_description) > 30, tag
    assert "Ritz values" in events.SummaryMetadata("hessian/" + HISTOGRAM).summary_description
    steps = events.Tensors("hessian/lambda_min")
    assert [e.step for e in steps] == [0, 1, 2]
    assert float(tf.make_ndarray(steps[-1].tensor_proto)) == pytest.approx(
        callback.measurements[-1].extremes.lambda_min
    )


def test_tensorboard_gets_the_kind_of_point_in_words_and_the_share_of_each(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # Between the first gradient norm and the later ones.
    callback = HessianCallback(X, Y, log_dir=tmp_path, gamma=1e9)
    fit(small(), [callback], epochs=3)
    norms = [m.gradient_norm for m in callback.measurements]
    callback = HessianCallback(X, Y, log_dir=tmp_path / "b", gamma=1e9, eps=np.median(norms))
    fit(small(), [callback], epochs=3)
    kinds = [m.kind for m in callback.measurements]
    assert {*kinds} == {"descending", "flat"}
    events = EventAccumulator(str(tmp_path / "b")).Reload()
    texts = [tf.make_ndarray(e.tensor_proto).item() for e in events.Tensors("hessian/" + KIND)]
    for text, kind, m in zip(texts, kinds, callback.measurements, strict=True):
        assert text.decode() == f"**{kind}**: {m.reason}"
    shares = events.Tensors("hessian/share_of_flat")
    assert [float(tf.make_ndarray(e.tensor_proto)) for e in shares] == pytest.approx(
        [kinds[: k + 1].count("flat") / (k + 1) for k in range(4)]
    )


def test_a_diverging_run_is_recorded_as_not_a_number_and_goes_on(caplog):
    model = small(keras.optimizers.SGD(1e30))
    callback = HessianCallback(X, Y)
    fit(model, [callback], epochs=3)
    assert np.isfinite(callback.measurements[0].extremes.lambda_min)
    assert np.isnan(callback.measurements[-1].extremes.lambda_min)
    assert not callback.measurements[-1].extremes.resolved_negative
    assert "not finite after 3 epochs" in caplog.text


def test_the_kind_of_point_and_its_reason_follow_the_thresholds():
    for eps, gamma, kind in ((0.0, 1e-3, "descending"), (1e9, 1e9, "flat")):
        callback = HessianCallback(X, Y, eps=eps, gamma=gamma)
        fit(small(), [callback], epochs=1)
        for m in callback.measurements:
            expected = classify_critical_point(m.gradient_norm, m.extremes, eps=eps, gamma=gamma)
            assert expected.kind == kind
            assert (m.critical_point, m.reason) == (expected.code, expected.reason)


def test_thresholds_are_shares_of_the_first_measurement_unless_given():
    callback = HessianCallback(X, Y)
    fit(small(), [callback], epochs=2)
    first = callback.measurements[0]
    scale = {
        "eps": EPS * first.gradient_norm,
        "gamma": GAMMA * np.abs(first.extremes.eigenvalues).max(),
    }
    for m in callback.measurements:
        assert m.reason == classify_critical_point(m.gradient_norm, m.extremes, **scale).reason


def test_a_second_fit_from_the_start_begins_anew():
    callback = HessianCallback(X, Y)
    model = small()
    fit(model, [callback], epochs=2)
    fit(model, [callback], epochs=1)
    assert [m.epoch for m in callback.measurements] == [0, 1]
    fit(small(), [callback], epochs=3, initial_epoch=1)
    assert [m.epoch for m in callback.measurements] == [0, 1, 2, 3]


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="every"):
        HessianCallback(X, Y, every=0)
    with pytest.raises(ValueError, match="max_share"):
        HessianCallback(X, Y, max_share=0)
    model = keras.Sequential([keras.Input((2, 1)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd")
    with pytest.raises(ValueError, match="There is no loss"):
        fit(model, [HessianCallback(X, Y)])


def test_every_tenth_measurement_finds_what_a_warm_start_follows_past(monkeypatch):
    starts = []

    def spy(operator, tol, *, warm_start, **options):
        starts.append(warm_start is None)
        return measure(operator, tol, warm_start=warm_start, **options)

    monkeypatch.setattr("stock_rnn.curvature.tracking.callback.measure", spy)
    fit(small(), [HessianCallback(X, Y, every=2)], epochs=22)
    assert starts == [True, *[False] * 9, True, False]
