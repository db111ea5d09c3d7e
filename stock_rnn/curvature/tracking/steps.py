"""What is measured of the largest eigenvalues after a step of training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import keras
import numpy as np

from stock_rnn.curvature.algorithms.eigenpairs import Eigenpairs
from stock_rnn.curvature.algorithms.extreme import top_eigenpairs
from stock_rnn.curvature.analysis.batches import BatchEstimates, batch_curvature
from stock_rnn.curvature.analysis.landscape import negative_subspace_share
from stock_rnn.curvature.analysis.subspaces import subspace_drift, subspace_share
from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.preconditioned import preconditioned, stability_line
from stock_rnn.curvature.operators.protocol import Array, MatvecRoutine
from stock_rnn.curvature.tracking.measurement import seed_of


@dataclass(frozen=True)
class VectorShares:
    """Where a vector g lies: shares of ‖g‖² in eigenspaces of the Hessian."""

    top: float  # in the k tracked eigenvectors, from 0 to 1; nan for the zero vector
    negative: float  # in the eigenvectors of eigenvalues below -threshold · max |λ|
    negative_lower: float  # bounds of the quadrature on `negative`
    negative_upper: float


NO_SHARES = VectorShares(np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class StepMeasurement:
    """The k largest eigenvalues after a number of steps, and what they are held against.

    `seen` are those of D^-½ H D^-½, with D of the optimizer's state after the step (see
    `preconditioned`): what reaches `line` is unstable. None before the first step, when no
    state has seen a gradient, and where loss or gradient are not finite.
    """

    step: int  # steps of the optimizer done before it
    epoch: int  # whole epochs done before it
    loss: float  # over all examples measured, in inference mode
    gradient_norm: float
    line: float  # `stability_line` of the optimizer, at its present learning rate
    raw: Eigenpairs  # of H; its vectors are (0, k) where they are not kept
    seen: Eigenpairs | None
    gradient: VectorShares  # of the gradient, among the eigenvectors of H
    update: VectorShares  # of the last move of the weights, likewise
    update_steps: int  # how many steps that move took; 0: it is not known
    update_norm: float  # its length
    drift: Array  # (k,): principal angles from the last top-k subspace, the largest first; nan
    batches: BatchEstimates | None = None  # of mini-batches, in the coordinates of `seen`
    matvecs: int = 0  # products with all examples
    seconds: float = 0.0

    @property
    def edge(self) -> float:
        """The largest eigenvalue that the optimizer sees over its line: 1 at the edge."""
        return np.nan if self.seen is None else float(self.seen.eigenvalues[0]) / self.line

    def without_vectors(self) -> StepMeasurement:
        """The same, but for the eigenvectors."""
        raw = _without_vectors(self.raw)
        return replace(
            self, raw=raw, seen=None if self.seen is None else _without_vectors(self.seen)
        )

    def scalars(self) -> dict[str, float]:
        """The values by the names of `step_scalars`."""
        k = len(self.raw.eigenvalues)
        values: dict[str, float] = {
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            **{f"lambda_{i + 1}": float(self.raw.eigenvalues[i]) for i in range(k)},
            "lambda_error": _error_bar(self.raw),
            **{f"seen_{i + 1}": _nth(self.seen, i) for i in range(k)},
            "seen_error": np.nan if self.seen is None else _error_bar(self.seen),
            "line": self.line,
            "edge": self.edge,
        }
        for name, shares in (("gradient", self.gradient), ("update", self.update)):
            values[f"{name}_in_top"] = shares.top
            values[f"{name}_in_negative"] = shares.negative
        values |= {
            "update_steps": float(self.update_steps),
            "update_norm": self.update_norm,
            "drift": float(np.max(self.drift)) if len(self.drift) else np.nan,
        }
        if self.batches is not None:
            for part in fields(BatchEstimates):
                estimate = getattr(self.batches, part.name)
                values[f"batch_{part.name}"] = estimate.value
                values[f"batch_{part.name}_error"] = estimate.standard_error
        return {**values, "matvecs": float(self.matvecs), "seconds": self.seconds}


def step_scalars(track: int, *, batches: bool) -> dict[str, str]:
    """The scalars of a `StepMeasurement` and what each is, by name.

    Args:
        track: k, how many eigenvalues there are.
        batches: whether mini-batches are measured.
    """
    names = {
        "loss": "Loss over the measured examples, dropout off.",
        "gradient_norm": "Norm of its gradient.",
        **{f"lambda_{i}": f"Eigenvalue {i} of the Hessian, from the top." for i in _to(track)},
        "lambda_error": "Error bar of the Hessian's eigenvalues: the largest residual, plus "
        "rounding.",
        **{
            f"seen_{i}": f"Eigenvalue {i}, from the top, of the Hessian as the optimizer sees it, "
            "preconditioned by its state."
            for i in _to(track)
        },
        "seen_error": "Error bar of the eigenvalues that the optimizer sees.",
        "line": "The optimizer's stability line: a larger eigenvalue, as the optimizer sees it, "
        "makes its steps oscillate and grow. 2/lr for plain gradient descent.",
        "edge": "seen_1 over the line: 1 at the edge of stability.",
    }
    for name, words in (("gradient", "the gradient"), ("update", "the last move of the weights")):
        names[f"{name}_in_top"] = (
            f"Share of {words}, squared, in the eigenvectors of the Hessian that are tracked."
        )
        names[f"{name}_in_negative"] = (
            f"Share of {words}, squared, in the eigenvectors of negative eigenvalues."
        )
    names |= {
        "update_steps": "How many steps the last move of the weights took; 0: it is not known.",
        "update_norm": "Length of the last move of the weights.",
        "drift": "Largest principal angle, in radians, from the tracked eigenvectors of the "
        "Hessian at the last measurement.",
    }
    if batches:
        for part in fields(BatchEstimates):
            names[f"batch_{part.name}"] = _BATCH_WORDS[part.name]
            names[f"batch_{part.name}_error"] = f"Standard error of batch_{part.name}."
    return {
        **names,
        "matvecs": "Products of the Hessian of all examples and a vector.",
        "seconds": "Time that the measurement took.",
    }


_BATCH_WORDS = {
    "sharpness": "Batch sharpness, as the optimizer sees it: the mean over mini-batches of the "
    "curvature of a batch's loss along its own gradient.",
    "ratio_of_means": "Mean of g'Hg over the mean of g'g, over mini-batches.",
    "mean_lambda_max": "Mean over mini-batches of the largest eigenvalue, as the optimizer sees "
    "it.",
    "noise_trace": "Trace of the covariance of one example's gradient.",
    "gradient_square": "Squared norm of the gradient without its noise.",
    "noise_scale": "Gradient noise scale: the batch size that has as much noise as gradient.",
}


def measure_step(
    operator: Any,
    optimizer: keras.Optimizer,
    track: int,
    *,
    step: int,
    epoch: int = 0,
    previous: StepMeasurement | None = None,
    warm: bool = True,
    update: Array | None = None,
    update_steps: int = 0,
    batches: Iterable[tuple[Any, ...]] | None = None,
    make_batch_operator: Callable[..., Any] | None = None,
    threshold: float = 1e-3,
    negative_steps: int = 20,
    tol: float = 1e-2,
    max_matvecs: int = 500,
    seed: int = 0,
) -> StepMeasurement:
    """The k largest eigenvalues, raw and as the optimizer sees them, and what belongs to them.

    Args:
        operator: a `HessianOperator`.
        optimizer: the one that trains the operator's variables.
        track: k.
        step, epoch: steps of the optimizer and whole epochs done; with the seed the step
            decides the random vectors.
        previous: the last measurement, with its vectors: for the drift, and to start from.
        warm: whether to start from it.
        update: the last move of the weights, (n,), and how many steps it took.
        update_steps: see `update`.
        batches: mini-batches to be measured too, as `training_batches` gives them.
        make_batch_operator: a batch's Hessian, as in `batch_curvature`; None: that of the
            operator, in inference mode.
        threshold: which eigenvalues count as negative, as in `negative_subspace_share`.
        negative_steps: products with each of gradient and update for their negative shares;
            with 0 these are nan.
        tol, max_matvecs: of each search, as in `top_eigenpairs`.
        seed: of the random vectors.

    Returns:
        The measurement. Where loss, gradient or a product are not finite, it is nan throughout.

    Raises:
        ValueError: an optimizer whose D or line is not known; k larger than n.
    """
    began = time.perf_counter()
    line = stability_line(optimizer)
    try:
        loss, gradient = _loss_and_gradient(operator)
        options: dict[str, Any] = {
            "tol": tol,
            "max_matvecs": max_matvecs,
            "seed": seed_of(seed, step),
        }
        last = previous if previous is not None and len(previous.raw.vectors) else None
        start = last if warm else None
        raw = top_eigenpairs(
            operator, track, warm_start=None if start is None else start.raw, **options
        )
        seen = _as_seen(operator, optimizer, raw, start, step, options)
        shares = [
            _shares(operator, raw, vector, threshold, negative_steps)
            for vector in (gradient, update)
        ]
        found = None
        if batches is not None and step > 0:
            make = make_batch_operator or operator.with_data
            found = BatchEstimates.of(batch_curvature(make, batches, optimizer=optimizer, tol=tol))
    except NonFiniteError:
        return _nothing(track, step, epoch, line, time.perf_counter() - began)
    return StepMeasurement(
        step=step,
        epoch=epoch,
        loss=loss,
        gradient_norm=float(np.linalg.norm(gradient)),
        line=line,
        raw=raw,
        seen=seen,
        gradient=shares[0][0],
        update=shares[1][0],
        update_steps=0 if update is None else update_steps,
        update_norm=np.nan if update is None else float(np.linalg.norm(update)),
        drift=_drift(last, raw),
        batches=found,
        matvecs=raw.matvecs
        + sum(products for _, products in shares)
        # One and the same where D is 1.
        + (seen.matvecs if seen is not None and seen is not raw else 0),
        seconds=time.perf_counter() - began,
    )


def _loss_and_gradient(operator: Any) -> tuple[float, Array]:
    found: list[Any] = []

    def note(loss: float, gradient: Array) -> MatvecRoutine[None]:
        found.extend((loss, np.array(gradient)))
        yield from ()

    operator.run_at_gradient(note)
    return found[0], found[1]


def _as_seen(
    operator: Any,
    optimizer: keras.Optimizer,
    raw: Eigenpairs,
    start: StepMeasurement | None,
    step: int,
    options: dict[str, Any],
) -> Eigenpairs | None:
    """The largest eigenvalues of D^-½ H D^-½; the raw ones where D is 1."""
    if step == 0:
        return None
    matrix = preconditioned(operator, optimizer)
    if np.all(matrix.diagonal == 1.0):
        return raw
    old = None if start is None or start.seen is None else start.seen
    return top_eigenpairs(matrix, len(raw.eigenvalues), warm_start=old, **options)


def _shares(
    operator: Any, top: Eigenpairs, vector: Array | None, threshold: float, steps: int
) -> tuple[VectorShares, int]:
    """The shares of a vector, and how many products they took."""
    if vector is None or not np.any(vector):
        return NO_SHARES, 0
    share = subspace_share(top.vectors, vector)
    if not steps:
        return replace(NO_SHARES, top=share), 0
    found = negative_subspace_share(operator, vector, threshold=threshold, steps=steps)
    return VectorShares(share, found.value, found.lower, found.upper), found.matvecs


def _drift(last: StepMeasurement | None, raw: Eigenpairs) -> Array:
    if last is None or last.raw.vectors.shape != raw.vectors.shape:
        return np.full(len(raw.eigenvalues), np.nan)
    return subspace_drift(last.raw.vectors, raw.vectors).angles


def _nothing(track: int, step: int, epoch: int, line: float, seconds: float) -> StepMeasurement:
    nan = np.full(track, np.nan)
    raw = Eigenpairs(nan, np.empty((0, track)), nan, 0, False, np.empty(0))
    return StepMeasurement(
        step, epoch, np.nan, np.nan, line, raw, None, NO_SHARES, NO_SHARES, 0, np.nan, nan,
        seconds=seconds,
    )  # fmt: skip


def _without_vectors(pairs: Eigenpairs) -> Eigenpairs:
    return replace(pairs, vectors=np.empty((0, len(pairs.eigenvalues))))


def _error_bar(pairs: Eigenpairs) -> float:
    return float(pairs.residuals.max()) + pairs.rounding


def _nth(pairs: Eigenpairs | None, k: int) -> float:
    return np.nan if pairs is None else float(pairs.eigenvalues[k])


def _to(track: int) -> range:
    return range(1, track + 1)
