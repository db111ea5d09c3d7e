"""Parts of the parameters, and the diagonal blocks that belong to them."""

import keras
import numpy as np
import pytest
from keras import layers

from stock_rnn.curvature import (
    HessianOperator,
    RestrictedOperator,
    extreme_eigenpairs,
    gate_blocks,
    layer_blocks,
    select_variables,
)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((2, 2)),
            layers.RNN(
                [layers.LSTMCell(2, name="low"), layers.GRUCell(3, name="high")],
                unroll=True,
                name="rnn",
            ),
            layers.BatchNormalization(name="norm"),
            layers.Dense(1, name="head"),
        ]
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 2, 2)).astype("f4"), rng.normal(size=(6, 1)).astype("f4")


@pytest.fixture(scope="module")
def operator(model, data):
    return HessianOperator(model, "mse", *data)


@pytest.fixture(scope="module")
def hessian(operator):
    return operator @ np.eye(operator.shape[0])


def test_blocks_lie_as_the_flat_gradient_does(model, operator):
    assert list(operator.blocks) == [v.path for v in model.trainable_variables]
    assert sum(b.stop - b.start for b in operator.blocks.values()) == operator.shape[0]


@pytest.mark.parametrize("select", ["kernel", "rnn/*/low/*", "layer", "variable", "several"])
def test_a_selection_gives_the_diagonal_block(model, data, operator, hessian, select):
    head = model.get_layer("head")
    select = {
        "layer": head,
        "variable": head.kernel,
        "several": [head, "rnn/*/bias"],
    }.get(select, select)
    meant = {id(v) for v in select_variables(model, select)}
    inside = np.concatenate(
        [np.full(int(np.prod(v.shape)), id(v) in meant) for v in model.trainable_variables]
    )
    assert 0 < inside.sum() < len(inside)
    expected = hessian[np.ix_(inside, inside)]
    for block in (
        operator.block(select),
        operator.block(inside),
        operator.block(np.flatnonzero(inside)),
        HessianOperator(model, "mse", *data, variables=select),
    ):
        assert block.shape == expected.shape
        np.testing.assert_allclose(block @ np.eye(len(expected)), expected, atol=1e-6)
        v = np.ones(len(expected))
        np.testing.assert_allclose(block @ v, expected @ v, atol=1e-5)


def test_an_iterative_method_runs_on_a_block(operator, hessian):
    indices = next(v for k, v in layer_blocks(operator).items() if k.endswith("head"))
    ends = np.linalg.eigvalsh(hessian[np.ix_(indices, indices)])[[0, -1]]
    before = operator.products
    found = extreme_eigenpairs(operator.block(indices), 1e-4)
    np.testing.assert_allclose(found.eigenvalues, ends, atol=1e-5)
    assert operator.products - before == found.matvecs
    assert found.rounding > 1e-8


def test_layers_and_cells_divide_the_parameters(operator):
    found = layer_blocks(operator)
    names = [name.rpartition("/")[2] for name in found]
    assert names == ["low", "high", "norm", "head"]
    together = np.concatenate(list(found.values()))
    np.testing.assert_array_equal(together, np.arange(operator.shape[0]))


def test_gates_are_the_parts_that_move_each_gate(model, operator):
    gates = gate_blocks(operator)
    assert [name.split("/")[-2:] for name in gates] == [
        *[["low", gate] for gate in "ifco"],
        *[["high", gate] for gate in "zrh"],
    ]
    cells = [v for k, v in layer_blocks(operator).items() if k.endswith(("low", "high"))]
    together = np.sort(np.concatenate(list(gates.values())))
    np.testing.assert_array_equal(together, np.sort(np.concatenate(cells)))
    # Keras starts with a forget bias of one and all other biases zero.
    flat = np.concatenate([v.numpy().ravel() for v in model.trainable_variables])
    bias = operator.blocks[next(p for p in operator.blocks if p.endswith("low/bias"))]
    forget = next(v for k, v in gates.items() if k.endswith("low/f"))
    ones = [k for k in range(bias.start, bias.stop) if flat[k] == 1]
    assert set(ones) == set(forget) & set(range(bias.start, bias.stop))


def test_gates_of_bidirectional_layers():
    model = keras.Sequential([keras.Input((4, 2)), layers.Bidirectional(layers.LSTM(2))])
    operator = HessianOperator(model, "mse", np.zeros((2, 4, 2)), np.zeros((2, 4)))
    gates = gate_blocks(operator)
    assert len(gates) == 8
    assert sum(map(len, gates.values())) == operator.shape[0]


def test_what_means_nothing_is_refused(model, operator, data):
    for select in ("no/such", layers.Dense(1), ["head/*", "nothing"]):
        with pytest.raises(ValueError, match="No such variable"):
            operator.block(select)
    with pytest.raises(ValueError, match="No such variable"):
        HessianOperator(model, "mse", *data, variables="moving*")
    head_only = HessianOperator(model, "mse", *data, variables="head/*")
    with pytest.raises(ValueError, match="does not differentiate"):
        head_only.block("rnn/*")
    for indices in ([], [0, 0], [[0, 1]]):
        with pytest.raises(ValueError, match="distinct"):
            RestrictedOperator(operator, np.array(indices, int))
