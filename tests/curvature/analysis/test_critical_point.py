import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.analysis.critical_point import (
    KINDS,
    classify_critical_point,
    condition_number,
)


def ends(low, high, residual=0.01, *, residual_max=None, converged=True, rounding=0.0):
    return ExtremeEigenpairs(
        eigenvalues=np.array([low, high], dtype=float),
        vectors=np.eye(2),
        residuals=np.array([residual, residual if residual_max is None else residual_max]),
        matvecs=12,
        converged=converged,
        ritz_values=np.array([low, high], dtype=float),
        rounding=rounding,
    )


# eps = 0.1, gamma = 0.5 throughout.
@pytest.mark.parametrize(
    ("gradient", "extremes", "kind", "because"),
    [
        (0.11, ends(-9.0, 9.0), "descending", "‖g‖ = 0.11 > ε = 0.1"),
        (0.10, ends(-0.51, 9.0), "strict saddle", "certainly ≤ -γ = -0.5"),
        (0.10, ends(-0.509, 9.0), "undecided", "straddles -γ"),
        (0.10, ends(-0.491, 9.0), "undecided", "straddles -γ"),
        (0.10, ends(-0.489, 9.0), "near local minimum", "no resolved negative curvature"),
        (0.10, ends(0.20, 9.0), "near local minimum", "rests on Lanczos"),
        (0.10, ends(0.20, 0.511), "near local minimum", "λ_max = 0.511 ± 0.01"),
        (0.10, ends(0.20, 0.509), "undecided", "straddles γ"),
        (0.10, ends(0.20, 0.491), "undecided", "straddles γ"),
        (0.10, ends(-0.20, 0.489), "flat", "within ±γ"),
        (0.10, ends(0.0, 0.0, 0.0), "flat", "no resolved curvature"),
        (0.10, ends(-9.0, -4.0), "strict saddle", "local maximum"),
        # A certificate needs no convergence; its absence does.
        (0.10, ends(-0.6, 9.0, converged=False), "strict saddle", "certainly"),
        (0.10, ends(0.20, 9.0, converged=False), "undecided", "12 products"),
        (0.10, ends(-0.6, 9.0, 0.2, residual_max=0.0), "undecided", "-0.6 ± 0.2"),
        # The rounding of the products is part of the error bar.
        (0.10, ends(-0.6, 9.0, 0.01, rounding=0.08), "strict saddle", "-0.6 ± 0.09"),
        (0.10, ends(-0.6, 9.0, 0.01, rounding=0.1), "undecided", "straddles -γ"),
        (math.nan, ends(-9.0, 9.0), "undecided", "Not all is finite"),
        (0.0, ends(math.nan, 9.0), "undecided", "Not all is finite"),
        (math.inf, ends(-9.0, 9.0), "undecided", "Not all is finite"),
    ],
)
def test_truth_table(gradient, extremes, kind, because):
    point = classify_critical_point(gradient, extremes, eps=0.1, gamma=0.5)
    assert point.kind == kind
    assert because in point.reason
    assert KINDS[point.code] == kind


finite = st.floats(-10, 10)


@given(
    low=finite,
    width=st.floats(0, 10),
    r=st.floats(0, 2),
    truth=st.floats(-1, 1),
    eps=st.floats(0, 1),
)
def test_no_claim_contradicts_any_eigenvalue_the_residual_allows(low, width, r, truth, eps):
    eigenvalue = low + truth * r
    point = classify_critical_point(0.0, ends(low, low + width, r), eps=eps, gamma=0.3)
    if point.kind == "strict saddle":
        assert eigenvalue <= -0.3 + 1e-12
    if point.kind in ("flat", "near local minimum"):
        assert eigenvalue >= -0.3 - 1e-12


def test_codes_are_distinct_and_the_result_cannot_be_changed():
    point = classify_critical_point(1.0, ends(0, 1), eps=0.1, gamma=0.5)
    assert (point.code, KINDS[0]) == (1, "undecided")
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.kind = "flat"


@pytest.mark.parametrize(
    ("eps", "gamma", "message"),
    [(-1.0, 1.0, "eps=-1"), (math.nan, 1.0, "eps=nan"), (1.0, 0.0, "gamma=0"), (1, -1, "gamma=-1")],
)
def test_bad_thresholds_are_refused(eps, gamma, message):
    with pytest.raises(ValueError, match=message):
        classify_critical_point(1.0, ends(0, 1), eps=eps, gamma=gamma)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5, 10.0, 20.0),
        (-0.5, 10.0, -20.0),
        (-10.0, -0.5, 20.0),
        (0.0, 3.0, math.inf),
        (-3.0, 0.0, math.inf),
        (0.0, 0.0, math.nan),
        (math.nan, 1.0, math.nan),
    ],
)
def test_condition_number(low, high, expected):
    assert condition_number(ends(low, high)) == pytest.approx(expected, nan_ok=True)


def test_condition_number_of_a_definite_matrix_is_numpys():
    for sign in (1, -1):
        matrix = sign * np.diag([2.0, 3.0, 14.0])
        values = np.linalg.eigvalsh(matrix)
        found = condition_number(ends(values[0], values[-1]))
        assert found == pytest.approx(np.linalg.cond(matrix))


def test_a_certified_condition_number_never_has_the_solvers_sign():
    assert math.isnan(condition_number(ends(0.005, 1.0), certified=True))
    assert math.isnan(condition_number(ends(-0.005, 1.0), certified=True))
    assert condition_number(ends(-0.02, 1.0), certified=True) == pytest.approx(-50)
    assert math.isnan(condition_number(ends(-0.02, 1.0, rounding=0.02), certified=True))
