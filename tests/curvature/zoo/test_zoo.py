"""Every subject of the zoo is right against central differences, or refused for a known reason."""

import keras
import numpy as np
import pytest

from tests.curvature.zoo import layers, losses, table
from tests.curvature.zoo.judge import (
    MAX_UNCERTAINTY,
    build,
    checked,
    precision,
    reference,
    unchecked,
)
from tests.curvature.zoo.refused import CONSTANT, REFUSED
from tests.curvature.zoo.registry import in_sample, subjects
from tests.curvature.zoo.subject import exported

SUBJECTS = {subject.id: subject for subject in subjects()}

# One of each usual kind.
TYPICAL = (
    "layers/Dense",
    "layers/Conv2D",
    "layers/BatchNormalization",
    "layers/LayerNormalization",
    "layers/GRU",
    "layers/LSTM",
    "layers/MultiHeadAttention",
    "layers/MaxPooling2D",
    "losses/CategoricalCrossentropy",
    "models/transformer encoder",
)
# Measured: right ones are off by 2e-7 at most, wrong ones by 5e-3 at least.
FLOAT32_TOLERANCE = 1e-5

# What is off by less may be right, as far as differences can tell.
WRONG = 3e-3


# Seconds a test; `test_it_is_right_or_refused` has them in its sample.
SLOW = ("models/transformer encoder", "layers/LSTM, states")


def params(names, left_out=()):
    return [pytest.param(SUBJECTS[n], id=n, marks=marks(SUBJECTS[n], left_out)) for n in names]


def marks(subject, left_out):
    sampled = in_sample(subject) and subject.id not in left_out
    sample = [] if sampled else [pytest.mark.zoo]
    missing = subject.kind == "layers" and layers.is_missing(subject.name)
    return [*sample, pytest.mark.skipif(missing, reason="not in this version of Keras")]


@pytest.mark.parametrize("subject", params(SUBJECTS))
def test_it_is_right_or_refused(subject, record_property):
    refusal = REFUSED.get(subject.id)
    row = {"id": subject.id, "reason": refusal.reason if refusal else ""}
    row["outside of the sample"] = "" if in_sample(subject) else "yes"
    with precision(subject.dtype):
        case = build(subject)
        if refusal:
            outcome = outcome_of_refused(case, subject)
        else:
            true = reference(case, subject.dtype)
            outcome = unchecked(case, true, subject.dtype)
        record_property("zoo", row | {"outcome": str(outcome)})
        if refusal:
            assert outcome.raised or outcome.error > WRONG, "Right now? Take it off REFUSED."
            assert outcome.raised is None or refusal.raises(outcome), outcome
        else:
            assert outcome.right, outcome
            assert true.uncertainty < MAX_UNCERTAINTY[subject.dtype]
            assert true.reaches_below == (subject.id not in CONSTANT)


def outcome_of_refused(case, subject):
    """Wrong, or an exception; no reference is needed where there is an exception anyway."""
    try:
        true = reference(case, subject.dtype)
    except Exception:
        # Keras's own call or TensorFlow's first derivative fails; then so must the operator.
        return checked(case)
    return unchecked(case, true, subject.dtype)


@pytest.mark.parametrize("subject", params(SUBJECTS, SLOW))
def test_the_check_refuses_it_if_and_only_if_it_is_wrong(subject):
    refusal = REFUSED.get(subject.id)
    with precision(subject.dtype):
        outcome = checked(build(subject))
    if refusal:
        assert refusal.raises(outcome) or refusal.warns(outcome), outcome
    else:
        assert outcome.raised is None, f"A false alarm: {outcome}"
        assert subject.id in CONSTANT or "gradient" not in outcome.warned, outcome.warned


@pytest.mark.parametrize("subject", params(TYPICAL, SLOW))
def test_in_float32_it_agrees_with_float64(subject):
    with precision("float64"):
        double = build(subject)
        true, weights = reference(double), double.model.get_weights()
    with precision("float32"):
        single = build(subject)
        single.model.set_weights(weights)
        outcome = unchecked(single, true, "float32")
    assert outcome.error is not None, outcome
    assert outcome.error < FLOAT32_TOLERANCE


def test_the_tables_name_only_what_there_is():
    assert set(REFUSED) | set(CONSTANT) <= set(SUBJECTS)
    for module, table_of_absent in (
        (keras.layers, layers.NOT_LAYERS),
        (keras.losses, losses.NOT_LOSSES),
    ):
        assert all(hasattr(module, name) for name in table_of_absent)
    for name in [*layers.RECIPES, *losses.DATA]:
        found = hasattr(keras.layers, name.partition(",")[0]) or hasattr(keras.losses, name)
        assert found or layers.is_missing(name), name


def test_an_exported_class_is_there_once_under_its_own_name():
    found = exported(keras.layers, lambda thing: isinstance(thing, type))
    assert found["Conv2D"] is keras.layers.Convolution2D
    assert "Convolution2D" not in found
    assert "layers/Conv2D" in SUBJECTS


def test_a_new_layer_that_needs_arguments_asks_for_a_recipe(monkeypatch):
    class Novel(keras.layers.Layer):
        def __init__(self, needed):
            super().__init__()

    monkeypatch.setattr(keras.layers, "Novel", Novel, raising=False)
    (subject,) = [s for s in layers.subjects() if s.name == "Novel"]
    with pytest.raises(LookupError, match=r"keras\.layers\.Novel .* add a recipe"):
        subject.build()


def test_a_new_loss_that_does_not_take_numbers_asks_for_data(monkeypatch):
    def novel(y_true, y_pred, needed):
        return y_pred

    monkeypatch.setattr(keras.losses, "novel", novel, raising=False)
    (subject,) = [s for s in losses.subjects() if s.name == "novel"]
    with pytest.raises(LookupError, match=r"keras\.losses\.novel .* add a line to DATA"):
        subject.build()


def test_a_kink_is_not_taken_for_curvature():
    """|x| has a second derivative of 0 everywhere but at 0: so must the reference say."""
    from tests.curvature.zoo.subject import Case

    with precision("float64"):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        # Closer to the kink than the first step is.
        model.set_weights([np.array([[1e-3]])])
        x, y = np.ones((1, 1)), np.zeros((1, 1))
        case = Case(model, lambda y, p: abs(p - y) + 0.5 * (p - y) ** 2, x, y)
        assert reference(case).product == pytest.approx([1.0])


def test_the_page_shows_the_registry():
    shown = table.on_page().partition(":\n\n")[2]
    assert shown.strip() == table.of_registry().strip(), "run python -m tests.curvature.zoo"
