"""Eigenvalues beside the stability line: right, by step or epoch, without a trace in training."""

import copy
import dataclasses
import logging

import keras
import numpy as np
import pytest
from keras import layers

from stock_rnn.config import Config, refuse_ignored
from stock_rnn.curvature import (
    HessianCallback,
    HessianOperator,
    SharpnessCallback,
    batch_curvature,
    block_heterogeneity,
    load_steps,
    save_steps,
    step_scalars,
    training_batches,
)
from stock_rnn.curvature.figures import steps_figure
from stock_rnn.curvature.operators.blocks import flat_weights
from stock_rnn.curvature.tracking.measurement import seed_of
from stock_rnn.errors import UserError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 2)).astype("f4"), RNG.normal(size=(22, 1)).astype("f4")
K = 3


def build(optimizer="sgd", dropout=0.0):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(4, "tanh"), layers.Dropout(dropout), layers.Dense(1)]
    )
    model.compile(optimizer, "mse")
    return model


def linear(optimizer, **options):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, **options)])
    model.compile(optimizer, "mse")
    return model


def fit(model, callbacks, epochs=2, **options):
    # Three steps an epoch, the last of 6 examples.
    options = {"batch_size": 8, "shuffle": False, **options}
    return model.fit(X, Y, epochs=epochs, verbose=0, callbacks=callbacks, **options)


class Snapshots(keras.callbacks.Callback):
    """The weights and the optimizer's state after each step, and the dense Hessian there."""

    def __init__(self, at):
        super().__init__()
        self.at, self.weights, self.hessians, self.states = at, [], {}, {}

    def on_train_begin(self, logs=None):
        self.weights.append(flat_weights(self.model.trainable_variables))

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(flat_weights(self.model.trainable_variables))
        step = len(self.weights) - 1
        if step in self.at:
            hessian = HessianOperator(self.model, "mse", X, Y)
            matrix = hessian @ np.eye(hessian.parameters)
            self.hessians[step] = (matrix + matrix.T) / 2, hessian.gradient(), hessian.loss()
            self.states[step] = [v.numpy() for v in self.model.optimizer.variables]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """RMSprop for five steps, measured after steps 2 and 4, with what was there."""
    folder = tmp_path_factory.mktemp("sharpness")
    model = build(keras.optimizers.RMSprop(0.01, rho=0.9))
    callback = SharpnessCallback(
        X, Y, K, every=0, every_steps=2, steps=(1, 4), tol=1e-4, log_dir=folder,
        path=folder / "s.npz", batches=3, training_batch_size=7, negative_steps=17,
    )  # fmt: skip
    shots = Snapshots((2, 4))
    fit(model, [callback, shots])
    return callback, shots, model, folder


def test_the_raw_eigenvalues_are_those_of_the_matrix_within_their_bars(trained):
    callback, shots, *_ = trained
    assert [m.step for m in callback.measurements] == [2, 4]
    for found in callback.measurements:
        matrix, gradient, loss = shots.hessians[found.step]
        exact = np.linalg.eigvalsh(matrix)[::-1][:K]
        assert found.raw.converged
        assert (np.abs(found.raw.eigenvalues - exact) <= found.raw.residuals + 1e-4).all()
        np.testing.assert_allclose(found.raw.eigenvalues, exact, rtol=1e-3)
        assert found.loss == pytest.approx(loss, rel=1e-6)
        assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def test_what_the_optimizer_sees_is_divided_by_the_root_of_its_second_moment(trained):
    callback, shots, *_ = trained
    for found in callback.measurements:
        matrix, *_ = shots.hessians[found.step]
        # Keras's RMSprop: iterations, learning rate, then a running mean of squares a variable.
        square = np.concatenate([np.ravel(v) for v in shots.states[found.step][2:6]])
        root = np.sqrt(np.sqrt(square.astype("f8") + 1e-7))
        exact = np.linalg.eigvalsh(matrix / np.outer(root, root))[::-1][:K]
        np.testing.assert_allclose(found.seen.eigenvalues, exact, rtol=1e-3)
        assert found.line == pytest.approx(200)
        assert found.edge == pytest.approx(exact[0] / 200, rel=1e-3)


def test_shares_of_gradient_and_update_are_those_of_the_projections(trained):
    callback, shots, *_ = trained
    for found in callback.measurements:
        matrix, gradient, _ = shots.hessians[found.step]
        values, vectors = np.linalg.eigh(matrix)
        negative = vectors[:, values < -1e-3 * np.abs(values).max()]
        assert negative.shape[1] > 0
        update = shots.weights[found.step] - shots.weights[found.step - 1]
        assert found.update_steps == 1
        assert found.update_norm == pytest.approx(np.linalg.norm(update))
        for vector, shares in ((gradient, found.gradient), (update, found.update)):
            whole = vector @ vector
            top = np.sum((vectors[:, -K:].T @ vector) ** 2) / whole
            assert shares.top == pytest.approx(top, abs=1e-3)
            below = np.sum((negative.T @ vector) ** 2) / whole
            assert shares.negative == pytest.approx(below, abs=1e-3)
            assert shares.negative_lower - 1e-3 <= below <= shares.negative_upper + 1e-3


def test_drift_is_the_principal_angle_from_the_last_measurement(trained):
    callback, shots, *_ = trained
    first, second = callback.measurements
    assert np.isnan(first.drift).all()
    one, two = (np.linalg.eigh(shots.hessians[s][0])[1][:, -K:] for s in (2, 4))
    angles = np.arccos(np.clip(np.linalg.svd(one.T @ two)[1], -1, 1))[::-1]
    np.testing.assert_allclose(second.drift, angles, atol=5e-3)
    assert angles[0] > 0.02


def test_mini_batches_are_measured_as_the_optimizer_sees_them(trained):
    callback, shots, model, _ = trained
    last = callback.measurements[-1]
    # As at step 4, measured apart.
    later, state = flat_weights(model.trainable_variables), copy.deepcopy(model.optimizer.variables)
    assert len(state) == len(shots.states[4])
    put(model, shots.weights[4])
    for variable, value in zip(model.optimizer.variables, shots.states[4], strict=True):
        variable.assign(value)
    square = np.concatenate([np.ravel(v) for v in shots.states[4][2:6]]).astype("f8")
    d = np.sqrt(square + 1e-7)
    given = list(training_batches(X, Y, 7, 3, seed=seed_of(0, 4)))
    ratios = []
    for x, y in given:
        hessian = HessianOperator(model, "mse", x, y)
        g = hessian.gradient()
        ratios.append((g / d) @ (hessian @ (g / d)) / (g @ (g / d)))
    assert last.batches.sharpness.value == pytest.approx(np.mean(ratios), rel=1e-4)
    assert last.batches.sharpness.samples == 3
    make = callback.operator.with_data
    raw, seen = (batch_curvature(make, given, optimizer=o) for o in (None, model.optimizer))
    assert last.batches.mean_lambda_max.value == pytest.approx(seen.lambda_max.mean(), rel=1e-2)
    assert last.batches.noise_trace.value == pytest.approx(seen.noise_trace.value, rel=1e-6)
    assert last.batches.noise_trace.standard_error > 0
    np.testing.assert_array_equal(raw.gradient_norms, seen.gradient_norms)
    assert seen.line == pytest.approx(200)
    assert not np.allclose(raw.along_gradient, seen.along_gradient, rtol=0.1)
    put(model, later)


def put(model, vector):
    start = 0
    for v in model.trainable_variables:
        size = int(np.prod(v.shape))
        v.assign(vector[start : start + size].reshape(v.shape))
        start += size


def test_tensorboard_has_the_values_by_step_each_with_its_words(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    callback, *_, folder = trained
    events = EventAccumulator(str(folder), {"tensors": 0}).Reload()
    tags = set(events.Tags()["tensors"])
    names = step_scalars(K, batches=True)
    values = [found.scalars() for found in callback.measurements]
    finite = {name for name in names if any(np.isfinite(of[name]) for of in values)}
    assert tags == {f"sharpness/{name}" for name in finite}
    assert {"drift", "batch_sharpness", "seen_3", "update_in_negative"} <= finite
    assert set(values[0]) == set(names)
    shown = events.Tensors("sharpness/seen_1")
    assert [event.step for event in shown] == [2, 4]
    for event, found in zip(shown, callback.measurements, strict=True):
        assert event.tensor_proto.float_val[0] == pytest.approx(found.seen.eigenvalues[0])
    words = events.SummaryMetadata("sharpness/line").summary_description
    assert "2/lr" in words
    assert "after k steps" in words


def test_the_file_has_all_that_was_measured(trained, tmp_path):
    callback, *_, folder = trained
    for path in (folder / "s.npz", tmp_path / "again.npz"):
        if not path.exists():
            save_steps(path, load_steps(folder / "s.npz"))
        for found, kept in zip(callback.measurements, load_steps(path), strict=True):
            for part in dataclasses.fields(found):
                a, b = getattr(found, part.name), getattr(kept, part.name)
                if dataclasses.is_dataclass(a):
                    a, b = dataclasses.asdict(a), dataclasses.asdict(b)
                    for of in (a, b):
                        of.pop("ritz_values", None)
                np.testing.assert_equal(a, b)
    assert not list(folder.glob(".*part"))


def test_a_file_of_a_later_version_is_refused(trained, tmp_path):
    *_, folder = trained
    with np.load(folder / "s.npz") as file:
        arrays = {**file, "format": np.array(9)}
    np.savez(tmp_path / "later.npz", **arrays)
    with pytest.raises(ValueError, match=r"format 9.*upgrade"):
        load_steps(tmp_path / "later.npz")


def test_the_picture_shows_eigenvalues_bars_line_and_batches(trained):
    callback, *_ = trained
    figure = steps_figure(callback.measurements, title="a run")
    loss, seen, raw, shares = figure.axes
    for axes, pairs in ((seen, "seen"), (raw, "raw")):
        lines = {c.get_label(): c for c in axes.containers}
        for k in range(K):
            line, _, (bars,) = lines[f"$\\lambda_{{{k + 1}}}$"]
            values = [getattr(m, pairs).eigenvalues[k] for m in callback.measurements]
            np.testing.assert_allclose(line.get_ydata(), values)
            first = getattr(callback.measurements[0], pairs)
            reach = first.residuals[k] + first.rounding
            segment = bars.get_segments()[0][:, 1]
            np.testing.assert_allclose(np.ptp(segment), 2 * reach, rtol=1e-3)
    (line,) = [a for a in seen.get_lines() if a.get_label() == "stability line"]
    np.testing.assert_allclose(line.get_ydata(), 200, rtol=1e-6)
    labels = [text.get_text() for text in seen.get_legend().get_texts()]
    assert {"batch sharpness", "stability line", "mean $\\lambda_1$ of batches"} <= set(labels)
    assert loss.get_yscale() == "log"
    assert len(shares.get_lines()) == 5
    with pytest.raises(ValueError, match="no measurement"):
        steps_figure([])


def test_training_ends_in_the_same_bits_with_and_without(tmp_path):
    ends, losses = [], []
    for measured in (False, True):
        model = build("adam", dropout=0.3)
        source = HessianCallback(X, Y, every=5, check=False)
        options = {"batches": 2, "training_batch_size": 8, "source": source}
        callback = SharpnessCallback(
            X, Y, 2, every_steps=2, path=tmp_path / "s.npz", log_dir=tmp_path, **options
        )
        inference = SharpnessCallback(
            X, Y, every=0, every_steps=4, training=False, name="inference", negative_steps=0,
            **options,
        )  # fmt: skip
        callbacks = [source, callback, inference] if measured else []
        history = fit(model, callbacks, shuffle=True)
        streams = [np.random.random(), float(keras.random.uniform(()))]
        ends.append([v.numpy() for v in [*model.variables, *model.optimizer.variables]] + streams)
        losses.append(history.history["loss"])
    for plain, watched in zip(*ends, strict=True):
        np.testing.assert_array_equal(plain, watched)
    assert losses[0] == losses[1]
    # By step and by epoch, no point twice.
    assert [m.step for m in callback.measurements] == [0, 2, 3, 4, 6]
    assert [m.epoch for m in callback.measurements] == [0, 0, 1, 1, 1]
    start = callback.measurements[0]
    assert start.seen is None
    assert start.batches is None
    assert np.isnan(start.edge)
    assert all(m.seen is not None for m in callback.measurements[1:])
    assert [m.update_steps for m in callback.measurements] == [0, 1, 1, 1, 1]
    # The same two batches, with dropout on as the steps have it, and off.
    on, off = callback.measurements[3], inference.measurements[-1]
    assert on.step == off.step == 4
    assert on.batches.noise_trace.value != pytest.approx(off.batches.noise_trace.value, rel=0.05)
    assert np.isnan(off.update.negative)
    np.testing.assert_allclose(on.raw.eigenvalues[0], off.raw.eigenvalues[0], rtol=0.02)


def test_a_quadratic_keeps_its_eigenvalues_and_its_line_moves_with_the_rate():
    model = linear(keras.optimizers.SGD(0.1, momentum=0.5), use_bias=False)
    seen = []
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    callback = SharpnessCallback(X, Y, 2, every=2, tol=1e-6)
    fit(model, [rates, callback, log], epochs=4)
    exact = np.linalg.eigvalsh(2 * X.T.astype("f8") @ X / 22)[::-1]
    assert [m.step for m in callback.measurements] == [0, 6, 12]
    for found, line in zip(callback.measurements, (30, 60, 120), strict=True):
        np.testing.assert_allclose(found.raw.eigenvalues, exact, rtol=1e-5)
        assert found.line == pytest.approx(line, rel=1e-6)
    assert callback.measurements[2].gradient.top == pytest.approx(1)
    names = {f"sharpness_{name}" for name in step_scalars(2, batches=False)}
    assert all(names <= set(logs) for logs in seen)
    assert [np.isnan(logs["sharpness_lambda_1"]) for logs in seen] == [True, False, True, False]
    assert seen[3]["sharpness_edge"] == pytest.approx(exact[0] / 120, rel=1e-5)
    # One panel of eigenvalues: the optimizer sees the raw ones.
    assert len(steps_figure(callback.measurements).axes) == 3


def test_a_resumed_run_records_what_the_whole_one_would(tmp_path):
    whole = SharpnessCallback(X, Y, 2, check=False)
    fit(linear("adam"), [whole], epochs=3)
    model, path = linear("adam"), tmp_path / "s.npz"
    fit(model, [SharpnessCallback(X, Y, 2, check=False, path=path)], epochs=2)
    resumed = SharpnessCallback(X, Y, 2, check=False, path=path)
    fit(model, [resumed], epochs=3, initial_epoch=2)
    assert [m.step for m in resumed.measurements] == [0, 3, 6, 9]
    for one, other in zip(whole.measurements, load_steps(path), strict=True):
        a, b = one.scalars(), other.scalars()
        np.testing.assert_equal({**a, "seconds": 0}, {**b, "seconds": 0})
    assert [len(m.raw.vectors) for m in resumed.measurements] == [0, 0, 3, 3]


def test_a_loop_without_batches_has_the_update_of_its_epoch_and_shares_an_operator():
    model = build(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    hessian = HessianCallback(X, Y, every=2)
    callback = SharpnessCallback(None, None, source=hessian)
    called = keras.callbacks.CallbackList([hessian, callback], model=model)
    called.on_train_begin()
    called.on_epoch_begin(0)
    before = flat_weights(model.trainable_variables)
    for _ in range(2):
        model.optimizer.apply([0.5 * v.value for v in model.trainable_variables])
    called.on_epoch_end(0, {})
    called.on_train_end()
    assert callback.operator is hessian.operator
    last = callback.measurements[-1]
    assert (last.step, last.update_steps) == (2, 2)
    moved = flat_weights(model.trainable_variables) - before
    assert last.update_norm == pytest.approx(np.linalg.norm(moved))


def test_a_loss_that_is_not_finite_is_recorded_as_such(caplog):
    model = build()
    spoil = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: put(model, np.full(17, np.nan))
    )
    callback = SharpnessCallback(X, Y, 2, check=False)
    with caplog.at_level(logging.WARNING):
        fit(model, [spoil, callback], epochs=1)
    assert "not finite after 3 steps" in caplog.text
    found = callback.measurements[-1]
    assert np.isnan([found.loss, found.edge, *found.raw.eigenvalues]).all()
    steps_figure(callback.measurements)


def test_layers_of_a_model_are_compared_by_their_names():
    found = block_heterogeneity(HessianOperator(build(), "mse", X, Y))
    assert found.names == ("sequential/dense", "sequential/dense_1")
    assert found.verified
    assert 0 < found.mean <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"track": 0}, "track must be at least 1. Received: track=0"),
        ({"every": 0}, "give every=... or every_steps=..."),
        ({"every": -1}, "every=-1"),
        ({"every_steps": 0}, "every_steps=0"),
        ({"steps": (0, 5)}, r"needs every_steps=.*steps=\(0, 5\)"),
        ({"steps": (5, 1), "every_steps": 1}, "0 <= first <= last"),
        ({"batches": 4}, "needs training_batch_size"),
        ({"batches": -1, "training_batch_size": 2}, "batches=-1"),
        ({"batches": 4, "training_batch_size": 0}, "training_batch_size=0"),
    ],
)
def test_impossible_choices_are_told_in_a_line(options, words):
    with pytest.raises(ValueError, match=words) as error:
        SharpnessCallback(X, Y, **options)
    assert "\n" not in str(error.value)


def test_what_training_does_not_allow_is_told_before_it_begins():
    with pytest.raises(ValueError, match=r"at most the 17 parameters. Received: track=18"):
        fit(build(), [SharpnessCallback(X, Y, 18)])
    with pytest.raises(ValueError, match=r"Two SharpnessCallbacks .* own name"):
        fit(build(), [SharpnessCallback(X, Y), SharpnessCallback(X, Y)])
    with pytest.raises(ValueError, match="Lion"):
        fit(build(keras.optimizers.Lion()), [SharpnessCallback(X, Y)])


def test_a_file_of_another_number_of_eigenvalues_is_refused_before_training(trained, tmp_path):
    path = tmp_path / "sharpness.npz"
    save_steps(path, trained[0].measurements[:1])
    model = build()
    model.optimizer.iterations.assign(6)
    with pytest.raises(ValueError, match=rf"{K} largest .* give track={K}.* track={K + 1}"):
        fit(model, [SharpnessCallback(X, Y, K + 1, path=path)], epochs=3, initial_epoch=2)


def test_the_setting_of_train_py_is_off_unless_asked_for():
    assert Config().hessian_track == 0
    values = Config().to_dict()
    del values["hessian_track"]
    assert Config.from_dict(values) == Config()
    asked = Config(hessian_track=3)
    assert asked.command().endswith("--hessian-track 3")
    refuse_ignored(asked, {"hessian_track": 3})
    for other in ({"hessian_every": 0}, {"optimizer": "newton"}):
        with pytest.raises(UserError, match="--hessian-track has no effect"):
            refuse_ignored(Config(hessian_track=3, **other), {"hessian_track": 3})
