import itertools
import math

import keras
import numpy as np
import pytest

from stock_rnn.curvature import HessianOperator
from stock_rnn.network import TTLSTMCell, build_model
from stock_rnn.network.tensor_train import (
    core_shapes,
    full_ranks,
    modes_of,
    tt_matrix,
    tt_product,
    tt_svd,
)
from stock_rnn.network.tt_lstm import highest_rank, kernel_modes

ROWS, COLUMNS = (2, 1, 3), (4, 3, 2)


def matrix_of(seed=0):
    return np.random.default_rng(seed).normal(size=(math.prod(ROWS), math.prod(COLUMNS)))


@pytest.mark.parametrize("size", [1, 2, 7, 12, 30, 64, 96, 100])
def test_modes_are_the_factors_of_the_smallest_sum(size):
    numbers = range(1, size + 1)
    triples = [
        (a, b, size // (a * b)) for a in numbers for b in numbers if size % (a * b) == 0
    ]  # fmt: skip
    assert math.prod(modes_of(size)) == size
    assert list(modes_of(size)) == sorted(modes_of(size))
    assert sum(modes_of(size)) == min(map(sum, triples))


def test_an_entry_is_the_sum_over_the_bonds_of_products_of_the_cores():
    rng = np.random.default_rng(1)
    cores = [rng.normal(size=shape) for shape in core_shapes(ROWS, COLUMNS, 2)]
    matrix = tt_matrix(cores)
    for i, j in itertools.product(
        itertools.product(*map(range, ROWS)), itertools.product(*map(range, COLUMNS))
    ):
        expected = sum(
            cores[0][0, i[0], j[0], a] * cores[1][a, i[1], j[1], b] * cores[2][b, i[2], j[2], 0]
            for a, b in itertools.product(range(2), range(2))
        )
        row, column = np.ravel_multi_index(i, ROWS), np.ravel_multi_index(j, COLUMNS)
        assert matrix[row, column] == pytest.approx(expected)


def test_the_train_of_full_rank_is_the_matrix():
    matrix = matrix_of()
    np.testing.assert_allclose(tt_matrix(tt_svd(matrix, ROWS, COLUMNS, 99)), matrix, atol=1e-12)


def unfolding(matrix, k):
    """Rows (i₁j₁ .. i_kj_k), columns the other digits."""
    pairs = matrix.reshape(*ROWS, *COLUMNS).transpose(0, 3, 1, 4, 2, 5)
    return pairs.reshape(math.prod(a * b for a, b in zip(ROWS[:k], COLUMNS[:k], strict=True)), -1)


def test_full_ranks_are_the_ranks_of_the_unfoldings_of_a_random_matrix():
    matrix = matrix_of()
    ranks = [np.linalg.matrix_rank(unfolding(matrix, k)) for k in (1, 2)]
    assert list(full_ranks(ROWS, COLUMNS)) == ranks


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_cutting_a_train_costs_no_more_than_the_singular_values_say(rank):
    matrix = matrix_of()
    cores = tt_svd(matrix, ROWS, COLUMNS, rank)
    assert [core.shape for core in cores] == core_shapes(ROWS, COLUMNS, rank)
    error = np.linalg.norm(tt_matrix(cores) - matrix)
    values = [np.linalg.svd(unfolding(matrix, k), compute_uv=False) for k in (1, 2)]
    tails = [np.sum(found[rank:] ** 2) for found in values]
    # No train of this rank is nearer than the worse of the two cuts.
    assert math.sqrt(max(tails)) - 1e-9 <= error <= math.sqrt(sum(tails)) + 1e-9


@pytest.mark.parametrize("rank", [1, 3, 99])
def test_the_product_by_the_cores_is_that_by_the_matrix(rank):
    cores = tt_svd(matrix_of(), ROWS, COLUMNS, rank)
    x = np.random.default_rng(2).normal(size=(5, math.prod(ROWS)))
    tensors = [keras.ops.convert_to_tensor(core) for core in cores]
    found = tt_product(keras.ops.convert_to_tensor(x), tensors)
    np.testing.assert_allclose(found, x @ tt_matrix(cores), atol=1e-12)


@pytest.mark.parametrize(
    ("width", "units", "activation"), [(1, 12, "tanh"), (5, 8, "elu"), (7, 7, "tanh")]
)
def test_at_full_rank_it_is_the_dense_cell(width, units, activation):
    keras.utils.set_random_seed(0)
    dense = keras.layers.LSTMCell(units, activation=activation, bias_initializer="random_normal")
    dense.build((None, width))
    trained = TTLSTMCell.from_dense(dense)
    assert trained.rank == highest_rank(units)
    x = np.random.default_rng(0).normal(size=(4, 6, width)).astype(np.float32)
    theirs, ours = (keras.layers.RNN(cell, return_sequences=True)(x) for cell in (dense, trained))
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_dense_cell_cut_to_a_rank_has_the_kernels_cut_to_it():
    dense = keras.layers.LSTMCell(12)
    dense.build((None, 5))
    w, u = TTLSTMCell.from_dense(dense, rank=3).kernels()
    for found, kernel in ((w, dense.kernel), (u, dense.recurrent_kernel)):
        cut = tt_matrix(tt_svd(kernel.numpy(), *kernel_modes(kernel.shape[0], 12), 3))
        np.testing.assert_allclose(found, cut, atol=1e-6)
        assert np.abs(found - kernel.numpy()).max() > 0.01


def test_a_cell_that_is_not_of_the_equations_is_refused():
    with pytest.raises(ValueError, match="must be built"):
        TTLSTMCell.from_dense(keras.layers.LSTMCell(4))
    for options in ({"recurrent_activation": "tanh"}, {"dropout": 0.5}):
        cell = keras.layers.LSTMCell(4, **options)
        cell.build((None, 2))
        with pytest.raises(ValueError, match="sigmoid gates and no dropout"):
            TTLSTMCell.from_dense(cell)


@pytest.mark.parametrize("rank", [0, 17])
def test_a_rank_that_no_train_has_is_refused(rank):
    with pytest.raises(ValueError, match="from 1 to 16"):
        TTLSTMCell(32, rank)


def test_parameters_are_those_of_the_cores_and_the_bias():
    # Modes (4, 4, 8) by (16, 4, 8) and, of one input, (1, 1, 1) by (16, 4, 8); rank 4.
    state = 4 * 16 * 4 + 4 * 4 * 4 * 4 + 4 * 8 * 8
    inputs = 16 * 4 + 4 * 4 * 4 + 4 * 8
    cell = TTLSTMCell(128, 4)
    cell.build((None, 1))
    assert cell.count_params() == state + inputs + 4 * 128


def test_the_kernels_begin_with_the_variances_of_keras_s_and_its_forget_bias():
    keras.utils.set_random_seed(0)
    cell, dense = TTLSTMCell(512, 8), keras.layers.LSTMCell(512)
    for each in (cell, dense):
        each.build((None, 64))
    for ours, theirs in zip(cell.kernels(), (dense.kernel, dense.recurrent_kernel), strict=True):
        assert ours.var() == pytest.approx(theirs.numpy().var(), rel=0.2)
    np.testing.assert_array_equal(cell.bias.numpy(), dense.bias.numpy())


def test_its_hessian_passes_the_check_against_differences():
    keras.utils.set_random_seed(0)
    model = build_model(num_steps=2, lstm_size=4, cell="tt-lstm", tt_rank=2)
    x = np.random.default_rng(0).normal(size=(8, 2, 1)).astype(np.float32)
    operator = HessianOperator(model, "mse", x, x[:, 0])
    assert np.isfinite(operator @ np.ones(model.count_params())).all()
    assert operator.verified
