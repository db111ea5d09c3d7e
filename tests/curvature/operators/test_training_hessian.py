"""A mini-batch's Hessian in training mode is that of the step that training makes."""

import keras
import numpy as np
import pytest
from keras import layers

from stock_rnn.curvature import HessianOperator, TrainingHessian, batch_curvature, training_batches
from stock_rnn.curvature.operators.blocks import flat_weights

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 1))


@pytest.fixture
def model(float64):
    built = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, "tanh"),
            layers.Dropout(0.4),
            layers.Dense(3, "tanh"),
            layers.BatchNormalization(),
            layers.GaussianNoise(0.1),
            layers.Dense(1),
        ]
    )
    built.compile(keras.optimizers.SGD(1.0), "mse")
    return built


def moved(model, vector):
    start = 0
    for v in model.trainable_variables:
        size = int(np.prod(v.shape))
        v.assign(v.numpy() + vector[start : start + size].reshape(v.shape))
        start += size


def test_the_next_step_is_the_gradient_of_draw_0_and_products_are_its_differences(model):
    state = [v.numpy() for v in model.variables]
    hessian = TrainingHessian(model, "mse", X, Y)
    gradient, v = hessian.gradient(), RNG.normal(size=hessian.parameters)
    other = hessian.with_data(X, Y)
    assert (hessian.draw, other.draw) == (0, 1)
    apart = other.gradient()
    assert np.linalg.norm(apart - gradient) > 0.1 * np.linalg.norm(gradient)
    # The draws of the two are told apart in the one graph that they share.
    np.testing.assert_array_equal(hessian.gradient(), gradient)
    assert other.traces == 0
    assert hessian.verified
    differences = []
    for sign in (1, -1):
        moved(model, sign * 1e-5 * v)
        differences.append(hessian.gradient())
        moved(model, -sign * 1e-5 * v)
    expected = (differences[0] - differences[1]) / 2e-5
    np.testing.assert_allclose(hessian @ v, expected, atol=1e-6 * np.abs(expected).max())
    for before, after in zip(state[:6], model.variables[:6], strict=True):
        np.testing.assert_allclose(before, after.numpy(), rtol=1e-12)
    before = flat_weights(model.trainable_variables)
    seeds = [v.numpy() for v in model.variables if "seed" in v.path]
    model.train_on_batch(X, Y)
    step = before - flat_weights(model.trainable_variables)
    np.testing.assert_allclose(step, gradient, atol=1e-12)
    assert any((a != b.numpy()).any() for a, b in zip(seeds, seeds_of(model), strict=True))
    plain = HessianOperator(model, "mse", X, Y).gradient()
    assert np.linalg.norm(plain - gradient) > 0.1 * np.linalg.norm(gradient)


def seeds_of(model):
    return [v for v in model.variables if "seed" in v.path]


def test_measuring_leaves_generators_and_statistics_as_they_were(model):
    state = [v.numpy() for v in model.variables]
    whole = HessianOperator(model, "mse", X, Y, check=False)
    hessian = TrainingHessian.of(whole, X[:4], Y[:4])
    found = batch_curvature(hessian.with_data, training_batches(X, Y, 4))
    for before, after in zip(state, model.variables, strict=True):
        np.testing.assert_array_equal(before, after.numpy())
    # Masks of their own for each batch, the same for the same draws.
    (x, y), *_ = training_batches(X, Y, 4)
    norms = [np.linalg.norm(hessian.with_data(x, y, draw=k).gradient()) for k in (1, 2, 1)]
    assert norms[0] == norms[2] == pytest.approx(found.gradient_norms[0])
    assert abs(norms[1] / norms[0] - 1) > 0.01


def test_without_random_layers_both_modes_are_the_same(float64):
    plain = keras.Sequential([keras.Input((3,)), layers.Dense(2, "tanh"), layers.Dense(1)])
    one, other = (of(plain, "mse", X, Y, check=False) for of in (HessianOperator, TrainingHessian))
    eye = np.eye(one.parameters)
    np.testing.assert_allclose(one @ eye, other @ eye, atol=1e-13)


def test_in_float64_it_is_so_for_batches_of_other_sizes():
    plain = keras.Sequential([keras.Input((3,), dtype="float32"), layers.Dense(1)])
    hessian = TrainingHessian(plain, "mse", X.astype("f4"), Y.astype("f4"), check=False)
    assert hessian.relative_rounding > 1e-9
    ragged = hessian.in_float64().with_data(X[:5].astype("f4"), Y[:5].astype("f4"))
    assert ragged.relative_rounding < 1e-14
