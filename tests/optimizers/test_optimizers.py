import keras
import numpy as np
import pytest

from stock_rnn.config import FIRST_ORDER, OPTIMIZERS, SECOND_ORDER
from stock_rnn.curvature import HessianOperator
from stock_rnn.curvature.operators.preconditioned import preconditioned, stability_line
from stock_rnn.optimizers import Newton, RMSPropTF1, SaddleFreeNewton, make_optimizer


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_tf1_follows_its_formula(momentum):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(7, 5))
    variable = keras.Variable(start, dtype="float64")
    optimizer = RMSPropTF1(0.01, rho=0.8, momentum=momentum)
    optimizer.build([variable])
    w, v, m = start.copy(), np.ones(5), np.zeros(5)
    for g in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g, dtype="float64")], [variable])
        v = 0.8 * v + 0.2 * g**2
        m = momentum * m + np.float32(0.01) * g / np.sqrt(v + 1e-10)
        w = w - m
        # Keras keeps scalars such as rho in float32.
        np.testing.assert_allclose(variable.numpy(), w, rtol=1e-6)
    np.testing.assert_allclose(optimizer.mean_square(variable).numpy(), v, rtol=1e-6)


def test_the_first_steps_of_both_rmsprops():
    steps = {}
    for name in ("rmsprop", "rmsprop-tf1"):
        variable = keras.Variable(np.zeros(1))
        optimizer = make_optimizer(name, 0.001)
        optimizer.build([variable])
        optimizer.apply([keras.ops.convert_to_tensor([0.1])], [variable])
        steps[name] = -float(variable.numpy()[0])
    # From zero: lr * g / sqrt(0.1 g²). From one: lr * g / sqrt(0.9 + 0.1 g²).
    assert steps["rmsprop"] == pytest.approx(0.001 / np.sqrt(0.1), rel=1e-3)
    assert steps["rmsprop-tf1"] == pytest.approx(1e-4 / np.sqrt(0.901), rel=1e-4)


def test_a_saved_optimizer_is_restored(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=RMSPropTF1(0.01, rho=0.7, momentum=0.5), loss="mse")
    x = np.random.default_rng(0).normal(size=(8, 2))
    model.fit(x, x[:, :1], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert loaded.get_config() == model.optimizer.get_config()
    for ours, theirs in zip(model.optimizer.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_preconditioner_is_the_root_of_the_accumulators(momentum):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=RMSPropTF1(0.25, momentum=momentum), loss="mse")
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("f4")
    model.fit(x, x[:, :1], verbose=0)
    operator = HessianOperator(model, "mse", x, x[:, :1])
    found = preconditioned(operator, model.optimizer)
    v = np.concatenate([model.optimizer.mean_square(w).numpy().ravel() for w in model.weights])
    np.testing.assert_allclose(found.diagonal, np.sqrt(v + 1e-10), rtol=1e-6)
    assert stability_line(model.optimizer) == pytest.approx(2 * (1 + momentum) / 0.25)


def test_optimizers_by_name():
    kinds = {
        "gd": keras.optimizers.SGD,
        "sgd": keras.optimizers.SGD,
        "momentum": keras.optimizers.SGD,
        "nesterov": keras.optimizers.SGD,
        "adagrad": keras.optimizers.Adagrad,
        "rmsprop": keras.optimizers.RMSprop,
        "rmsprop-tf1": RMSPropTF1,
        "adam": keras.optimizers.Adam,
        "newton": Newton,
        "saddle-free-newton": SaddleFreeNewton,
    }
    assert tuple(kinds) == OPTIMIZERS
    for name, kind in kinds.items():
        optimizer = make_optimizer(name, 0.25)
        assert type(optimizer) is kind
        assert float(optimizer.learning_rate) == 0.25
    with pytest.raises(ValueError, match=r"one of gd, sgd.*Received: 'rmsporp'"):
        make_optimizer("rmsporp", 0.1)


def applied(optimizer, gradients):
    """Two weights after steps by these gradients."""
    variables = [keras.Variable(np.ones(3)), keras.Variable(np.ones(2))]
    optimizer.build(variables)
    for pair in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in pair], variables)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("clipping", [{"clipnorm": 0.5}, {"clipvalue": 0.3}])
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_clipping_makes_the_step_of_the_clipped_gradients(name, clipping):
    rng = np.random.default_rng(0)
    gradients = [(rng.normal(size=3), 0.1 * rng.normal(size=2)) for _ in range(4)]

    def clipped(g):
        if "clipvalue" in clipping:
            return np.clip(g, -0.3, 0.3)
        return g * min(1, 0.5 / np.linalg.norm(g))

    by_hand = [tuple(map(clipped, pair)) for pair in gradients]
    found = applied(make_optimizer(name, 0.1, clipping=clipping), gradients)
    for ours, expected in zip(found, applied(make_optimizer(name, 0.1), by_hand), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)
    assert np.abs(found[0] - applied(make_optimizer(name, 0.1), gradients)[0]).max() > 0.01


def test_noise_is_added_before_clipping():
    noise = {"perturbation": {"radius": 100.0, "noise_seed": 0}, "clipping": {"clipnorm": 0.5}}
    moved = applied(make_optimizer("sgd", 1.0, **noise), [(np.zeros(3), np.zeros(2))])
    assert [np.linalg.norm(w - 1) for w in moved] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_optimizers_of_whole_steps_take_no_clipping(name):
    with pytest.raises(ValueError, match="no clipping"):
        make_optimizer(name, 0.1, clipping={"clipnorm": 1.0})


@pytest.mark.parametrize("clipping", [{"clipnorm": 0.1}, {"clipvalue": 0.1}])
@pytest.mark.parametrize(("name", "options"), [("sgd", {}), ("momentum", {"momentum": 0.5})])
def test_below_the_stability_line_clipped_steps_come_to_rest_above_it_they_never_do(
    name, options, clipping
):
    # L = w²/2: the top eigenvalue is 1.
    for below, rate in ((True, 1.9), (False, 2.1)):
        optimizer = make_optimizer(name, rate, clipping=clipping, **options)
        rate *= 1.5 if name == "momentum" else 1.0
        optimizer.learning_rate = rate
        w = keras.Variable(np.ones(1) * 1.05)
        optimizer.build([w])
        assert (stability_line(optimizer) > 1) == below
        for _ in range(150):
            optimizer.apply([w.value], [w])
        # Above it, they grow until they are clipped.
        assert (abs(w.numpy()[0]) < 1e-3) == below
        assert abs(w.numpy()[0]) < 2
