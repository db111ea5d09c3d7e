"""How far the ends of the spectrum depend on which examples happened to be there.

A residual is the solver's error: how well λ is known for these data. This is the
other one: how much λ would move with other data of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs
from stock_rnn.curvature.algorithms.estimate import Estimate
from stock_rnn.curvature.algorithms.extreme import extreme_eigenpairs
from stock_rnn.curvature.operators.data import as_arrays, count_examples, take_rows
from stock_rnn.curvature.operators.protocol import SymmetricOperator

Array = NDArray[np.float64]

# (operator, the ends of a similar one or None) -> its ends.
Solve = Callable[[SymmetricOperator, ExtremeEigenpairs | None], ExtremeEigenpairs]


# An end is resampled validly if it stands clear of the rest of the spectrum: simulated
# on sample covariances (5 to 100 parameters, 200 to 500 examples, 20 resamples or folds),
# nominal 95 % intervals cover in 91 to 99 % where both hold, and down to 0 % elsewhere.
LEAST_SEPARATION = 4.0  # from the next eigenvalue, in standard errors
MOST_BIAS = 1.0  # in standard errors


@dataclass(frozen=True)
class SamplingError:
    """λ_min and λ_max on all data, with the standard error from the choice of data.

    Resampling does not apply to an end that does not stand clear of the bulk of the
    spectrum: there the ends are biased (λ_max is convex in the matrix and λ_min concave,
    so that on a random sample λ_max is too large on average and λ_min too small, by
    Jensen), and resamples repeat the bias. Such an end has a standard error of nan.

    Sources: El Karoui, Purdom, "The non-parametric bootstrap and spectral analysis in
    moderate and high-dimension", AISTATS 2019; the thresholds are of our simulation, which
    tests/curvature/analysis/test_resampling.py repeats in part.
    """

    lambda_min: Estimate  # value: on all data; error: nan where it does not apply
    lambda_max: Estimate
    scatter: Array  # (2,): standard errors as the subsets have them, valid or not
    bias: Array  # (2,): of the values on all data, as estimated from the subsets
    separation: Array  # (2,): distance of each end from the next eigenvalue, in standard errors
    values: Array  # (m, 2): λ_min, λ_max on each subset
    errors: Array  # (m, 2): the solver's residual plus the rounding, on each subset
    full: ExtremeEigenpairs  # on all data
    converged: bool  # all runs of the solver, that on all data included

    @property
    def applies(self) -> tuple[bool, bool]:
        """Whether, at each end, the standard error means anything; see the class."""
        return _applies(self.separation, self.bias, self.scatter)

    @property
    def mean(self) -> Array:
        """The mean over the subsets, (2,)."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def solver_error(self) -> Array:
        """The largest residual plus rounding at each end, all data included: (2,)."""
        return np.asarray(np.vstack([self.errors, _error(self.full)]).max(axis=0))

    @property
    def data_decide(self) -> tuple[bool, bool]:
        """Whether, at each end, the data's error is larger than the solver's.

        Where it is not, the standard error is partly the solver's scatter: solve
        more tightly before reading it.
        """
        low, high = (bool(e > s) for e, s in zip(self.scatter, self.solver_error, strict=True))
        return low, high


def sampling_error(
    make_operator: Callable[[Any, Any], SymmetricOperator],
    x: Any,
    y: Any,
    *,
    resamples: int | None = None,
    folds: int | None = None,
    block_length: int = 1,
    seed: int = 0,
    tol: float = 1e-3,
    solve: Solve | None = None,
) -> SamplingError:
    """λ_min and λ_max over subsets of the data: a bootstrap, or folds left out in turn.

    - ``resamples=m``: m times as many examples as there are, drawn with
      replacement. The standard error is the deviation of the m values (ddof = 1).
      With a block length L, blocks of L successive examples are drawn, the last one
      followed by the first: the circular block bootstrap, for time series, whose
      neighbours resemble each other. (Efron 1979; Politis, Romano 1992.)
    - ``folds=k``: each of k runs of successive examples is left out once, and
      s² = (k - 1)/k Σ(λ₍ᵢ₎ - mean)²: the delete-a-group jackknife, which suits
      time series as it is. (Quenouille 1956; Künsch 1989; Shao, Tu, "The Jackknife
      and Bootstrap", 1995, section 2.3.)

    Both estimate the standard error of the value on *all* data.

    Args:
        make_operator: (x, y) -> the Hessian over these examples, for instance
            ``HessianOperator(model, loss, x, y).with_data``, which builds one graph
            for all resamples of one size.
        x: inputs: an array, or a tuple, list or dict of arrays, examples first.
        y: targets, likewise.
        resamples: how many resamples, at least 2. 20 give the standard error to 16 %.
        folds: how many folds, from 2 to the number of examples.
        block_length: of the bootstrap, from 1 to the number of examples.
        seed: of the bootstrap.
        tol: of `extreme_eigenpairs`, well below the error looked for. The subsets
            start from the vectors found on all data.
        solve: what to use in its place: (operator, ends on all data or None) -> ends.

    Returns:
        The ends with their standard errors, nan where resampling does not apply;
        ``lambda_max.interval(0.95)`` is Student's, m - 1 degrees of freedom.

    Raises:
        ValueError: unless exactly one of resamples and folds is given and within
            bounds; for arrays of unequal length.
    """
    x, y = as_arrays(x, "x"), as_arrays(y, "y")
    n = count_examples(x, y)
    if (resamples is None) == (folds is None):
        raise ValueError(
            f"Give one of resamples and folds. Received: resamples={resamples}, folds={folds}"
        )
    if resamples is not None:
        if resamples < 2:
            raise ValueError(f"resamples must be at least 2. Received: resamples={resamples}")
        subsets = bootstrap_indices(n, resamples, block_length=block_length, seed=seed)
    else:
        assert folds is not None
        if block_length != 1:
            raise ValueError(
                f"block_length is for resamples; folds are blocks already."
                f" Received: block_length={block_length}"
            )
        subsets = leave_out_indices(n, folds)

    if solve is None:

        def solve(op: SymmetricOperator, near: ExtremeEigenpairs | None) -> ExtremeEigenpairs:
            return extreme_eigenpairs(op, tol, warm_start=near, seed=seed)

    full = solve(make_operator(x, y), None)
    found = [solve(make_operator(take_rows(x, rows), take_rows(y, rows)), full) for rows in subsets]
    values = np.stack([pairs.eigenvalues for pairs in found])
    m = len(values)
    scatter = values.std(axis=0, ddof=1)
    shift = values.mean(axis=0) - full.eigenvalues
    if folds is not None:
        scatter, shift = scatter * (m - 1) / math.sqrt(m), shift * (m - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        separation = _gaps(full) / scatter
    low, high = (
        Estimate(float(value), float(error) if valid else math.nan, m)
        for value, error, valid in zip(
            full.eigenvalues, scatter, _applies(separation, shift, scatter), strict=True
        )
    )
    return SamplingError(
        lambda_min=low,
        lambda_max=high,
        scatter=scatter,
        bias=shift,
        separation=separation,
        values=values,
        errors=np.stack([_error(pairs) for pairs in found]),
        full=full,
        converged=full.converged and all(pairs.converged for pairs in found),
    )


def _gaps(pairs: ExtremeEigenpairs) -> Array:
    """The distance of each end from the next Ritz value: (2,); 0 where there is only one."""
    values = pairs.ritz_values
    if len(values) < 2:
        return np.zeros(2)
    return np.array([values[1] - values[0], values[-1] - values[-2]])


def _applies(separation: Array, bias: Array, scatter: Array) -> tuple[bool, bool]:
    low, high = (separation >= LEAST_SEPARATION) & (np.abs(bias) <= MOST_BIAS * scatter)
    return bool(low), bool(high)


def _error(pairs: ExtremeEigenpairs) -> Array:
    return pairs.residuals + pairs.rounding


def bootstrap_indices(
    n: int, resamples: int, *, block_length: int = 1, seed: int = 0
) -> list[NDArray[np.intp]]:
    """Rows of the circular block bootstrap: ``resamples`` arrays (n,).

    Raises:
        ValueError: for a block length that is not from 1 to n.
    """
    if not 1 <= block_length <= n:
        raise ValueError(
            f"block_length must be from 1 to {n}. Received: block_length={block_length}"
        )
    rng = np.random.default_rng(seed)
    blocks = -(-n // block_length)
    starts = rng.integers(n, size=(resamples, blocks, 1))
    rows = (starts + np.arange(block_length)) % n
    return list(rows.reshape(resamples, -1)[:, :n])


def leave_out_indices(n: int, folds: int) -> list[NDArray[np.intp]]:
    """Rows left when each of `folds` runs of successive rows is left out in turn.

    The runs differ by one in length where n is not a multiple.

    Raises:
        ValueError: for a number of folds that is not from 2 to n.
    """
    if not 2 <= folds <= n:
        raise ValueError(f"folds must be from 2 to {n}. Received: folds={folds}")
    rows = np.arange(n)
    return [np.setdiff1d(rows, out) for out in np.array_split(rows, folds)]
