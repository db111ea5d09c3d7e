import keras
import numpy as np
import pytest

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.analysis.resampling import (
    bootstrap_indices,
    leave_out_indices,
    sampling_error,
)
from stock_rnn.curvature.operators.hessian import HessianOperator

# Inputs of these variances give linear regression the Hessian 2XᵀX/n, whose
# eigenvalues are 2σ² with the standard error 2σ²·√(2/n) for Gaussian inputs.
VARIANCES = np.array([0.5, 1.0, 4.0])


def hessian(x, y):
    return 2 * x.T @ x / len(x)


def exact(matrix, near=None, residual=0.0, noise=None):
    values, vectors = np.linalg.eigh(matrix)
    ends = values[[0, -1]] + (0 if noise is None else noise.normal(scale=residual, size=2))
    return ExtremeEigenpairs(ends, vectors[:, [0, -1]], np.full(2, residual), 3, True, values)


def inputs(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 3)) * np.sqrt(VARIANCES)


@pytest.mark.parametrize("options", [{"resamples": 200}, {"folds": 100}])
def test_the_standard_error_is_that_of_new_data(options):
    n = 800
    x = inputs(n, 0)
    found = sampling_error(hessian, x, np.zeros(n), solve=exact, **options)
    fresh = np.array([exact(hessian(inputs(n, s), None)).eigenvalues for s in range(1, 400)])
    errors = [found.lambda_min.standard_error, found.lambda_max.standard_error]
    np.testing.assert_allclose(errors, fresh.std(axis=0), rtol=0.25)
    assert errors[1] == pytest.approx(8 * np.sqrt(2 / n), rel=0.25)
    np.testing.assert_array_equal(
        [found.lambda_min.value, found.lambda_max.value], exact(hessian(x, None)).eigenvalues
    )
    low, high = found.lambda_max.interval(0.99)
    assert low < 8 < high


def test_the_formulas_of_the_standard_error():
    x, y = inputs(30, 0), np.zeros(30)
    booted = sampling_error(hessian, x, y, solve=exact, resamples=3)
    assert booted.scatter[1] == pytest.approx(booted.values[:, 1].std(ddof=1))
    left_out = sampling_error(hessian, x, y, solve=exact, folds=3)
    squares = np.sum((left_out.values[:, 0] - left_out.mean[0]) ** 2)
    assert left_out.scatter[0] == pytest.approx(np.sqrt(2 / 3 * squares))
    assert booted.lambda_min.samples == left_out.lambda_min.samples == 3


@pytest.mark.parametrize("options", [{"resamples": 100, "block_length": 20}, {"folds": 40}])
def test_neighbours_that_resemble_each_other_count_once(options):
    # Every example ten times in a row: as much information as a tenth of them.
    x = np.repeat(inputs(200, 3), 10, axis=0)
    truth = 8 * np.sqrt(2 / 200)
    blocks = sampling_error(hessian, x, np.zeros(2000), solve=exact, **options)
    assert blocks.lambda_max.standard_error == pytest.approx(truth, rel=0.35)
    naive = sampling_error(hessian, x, np.zeros(2000), solve=exact, resamples=100)
    assert naive.lambda_max.standard_error < 0.5 * truth


def test_the_ends_of_few_examples_are_biased_outward():
    found = sampling_error(hessian, inputs(30, 0), np.zeros(30), solve=exact, resamples=200)
    assert found.bias[0] < 0 < found.bias[1]
    np.testing.assert_allclose(found.mean - found.bias, found.full.eigenvalues)
    left_out = sampling_error(hessian, inputs(30, 0), np.zeros(30), solve=exact, folds=30)
    np.testing.assert_allclose(left_out.bias, found.bias, rtol=0.5)


def test_the_solver_by_default_is_lanczos_from_the_vectors_of_all_data():
    x, y = inputs(300, 0), np.zeros(300)
    found = sampling_error(hessian, x, y, folds=10, tol=1e-6)
    reference = sampling_error(hessian, x, y, folds=10, solve=exact)
    np.testing.assert_allclose(found.values, reference.values, rtol=1e-6)
    assert found.lambda_min.standard_error == pytest.approx(
        reference.lambda_min.standard_error, rel=1e-3
    )
    assert found.converged
    assert found.data_decide == (True, True)


def test_a_keras_model_is_sampled_example_by_example():
    x = inputs(60, 0).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    found = sampling_error(
        lambda x, y: HessianOperator(model, "mse", x, y), x, np.zeros((60, 1)), folds=3
    )
    reference = sampling_error(hessian, x, np.zeros(60), folds=3, solve=exact)
    np.testing.assert_allclose(found.values, reference.values, rtol=1e-4)


def test_equal_examples_leave_only_the_solvers_error():
    x = np.ones((20, 3))
    clean = sampling_error(hessian, x, np.zeros(20), solve=exact, resamples=10)
    assert clean.scatter[1] == pytest.approx(0.0, abs=1e-12)
    rng = np.random.default_rng(0)
    noisy = sampling_error(
        hessian, x, np.zeros(20), solve=lambda h, near: exact(h, near, 0.1, rng), resamples=10
    )
    assert 0.03 < noisy.lambda_max.standard_error < 0.3
    np.testing.assert_allclose(noisy.solver_error, 0.1)
    real = sampling_error(
        hessian,
        inputs(50, 1),
        np.zeros(50),
        solve=lambda h, near: exact(h, near, 1e-3),
        resamples=10,
    )
    assert real.data_decide == (True, True)
    assert clean.converged


@pytest.mark.parametrize("which", range(3))
def test_a_run_that_did_not_converge_is_told(which):
    runs = iter([i != which for i in range(3)])

    def solve(matrix, near):
        pairs = exact(matrix)
        return ExtremeEigenpairs(
            pairs.eigenvalues, pairs.vectors, pairs.residuals, 3, next(runs), pairs.ritz_values
        )

    found = sampling_error(hessian, inputs(9, 1), np.zeros(9), solve=solve, folds=2)
    assert not found.converged


def test_inputs_and_targets_stay_together_in_any_structure():
    rows = np.arange(12.0)
    seen = []

    def make(x, y):
        seen.append((x, y))
        return np.eye(2)

    data = {"a": rows, "b": [rows[:, None] * 2, rows * 3]}
    sampling_error(make, data, (rows,), solve=exact, folds=3)
    assert len(seen) == 4
    for x, (y,) in seen[1:]:
        np.testing.assert_array_equal(x["a"], y)
        np.testing.assert_array_equal(x["b"][0][:, 0], 2 * y)
        np.testing.assert_array_equal(x["b"][1], 3 * y)
        assert len(y) == 8


def test_bootstrap_rows():
    for block_length in (1, 4, 10):
        for rows in bootstrap_indices(10, 5, block_length=block_length, seed=1):
            assert rows.shape == (10,)
            assert set(rows) <= set(range(10))
            steps = np.diff(rows)[np.arange(1, 10) % block_length != 0]
            assert np.all(steps % 10 == 1)
    np.testing.assert_array_equal(bootstrap_indices(9, 2, seed=3), bootstrap_indices(9, 2, seed=3))


def test_left_out_rows():
    left = leave_out_indices(10, 3)
    out = [sorted(set(range(10)) - set(rows)) for rows in left]
    assert out == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "resamples=None, folds=None"),
        ({"resamples": 5, "folds": 5}, "resamples=5, folds=5"),
        ({"resamples": 1}, "resamples=1"),
        ({"folds": 1}, "folds=1"),
        ({"folds": 11}, "from 2 to 10"),
        ({"resamples": 5, "block_length": 11}, "block_length=11"),
        ({"folds": 5, "block_length": 2}, "block_length=2"),
    ],
)
def test_bad_options_are_refused_with_what_was_received(options, message):
    with pytest.raises(ValueError, match=message):
        sampling_error(hessian, inputs(10, 0), np.zeros(10), solve=exact, **options)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match=r"Received: \[9, 10\]"):
        sampling_error(hessian, inputs(10, 0), np.zeros(9), solve=exact, folds=2)


@pytest.mark.parametrize("spike", [1.0, 10.0])
def test_it_says_whether_it_applies_and_covers_where_it_does(spike):
    # One eigenvalue at 2·spike above a bulk of 2: without a spike the end is biased.
    n, parameters, repetitions = 200, 10, 60
    rng = np.random.default_rng(0)
    scale = np.sqrt(np.concatenate([[spike], np.ones(parameters - 1)]))
    covered, applied = 0, 0
    for k in range(repetitions):
        x = rng.standard_normal((n, parameters)) * scale
        found = sampling_error(hessian, x, np.zeros(n), solve=exact, resamples=20, seed=k)
        if found.applies[1]:
            low, high = found.lambda_max.interval(0.95)
            applied += 1
            covered += low <= 2 * spike <= high
        else:
            assert np.isnan(found.lambda_max.standard_error)
    if spike == 1.0:
        assert applied <= 0.05 * repetitions
    else:
        assert applied >= 0.9 * repetitions
        assert covered >= 0.85 * applied
