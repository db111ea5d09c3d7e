"""The curvature of saved models, one after the other, whoever trained them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stock_rnn.curvature.algorithms.density import SpectralDensity, spectral_density
from stock_rnn.curvature.algorithms.eigenpairs import ExtremeEigenpairs, with_replaced_vector
from stock_rnn.curvature.operators.batch_loss import BatchLoss
from stock_rnn.curvature.operators.data import take_rows
from stock_rnn.curvature.operators.hessian import HessianOperator
from stock_rnn.curvature.operators.operator import Operator
from stock_rnn.curvature.operators.protocol import (
    Array,
    MatvecRoutine,
    Result,
    adapt_routine,
    product_error,
    relative_rounding,
)
from stock_rnn.curvature.tracking.callback import COLD_EVERY, EPS, GAMMA
from stock_rnn.curvature.tracking.measurement import Measurement, measure, without_vectors
from stock_rnn.curvature.tracking.saved_models import (
    SavedModelError,
    SavedModels,
    check_file,
    in_one_line,
    measuring,
)

# (files done, products of the present one so far)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SavedSpectrum:
    """The curvature of one saved model."""

    path: Path
    measurement: Measurement  # its `epoch` is the file's place among the files, from 0
    parameters: int  # n, the length of θ
    examples: int  # that the loss is the mean over
    density: SpectralDensity | None = None  # where it was asked for

    @property
    def loss(self) -> float:
        """L(θ); NaN where it or the gradient is not finite, as is all that follows."""
        return self.measurement.loss

    @property
    def gradient_norm(self) -> float:
        """‖∂L/∂θ‖."""
        return self.measurement.gradient_norm

    @property
    def extremes(self) -> ExtremeEigenpairs:
        """Both ends with residuals, eigenvectors and rounding."""
        return self.measurement.extremes

    @property
    def lambda_min(self) -> float:
        """The smallest Ritz value."""
        return self.extremes.lambda_min

    @property
    def lambda_max(self) -> float:
        """The largest Ritz value."""
        return self.extremes.lambda_max

    @property
    def residual_min(self) -> float:
        """‖Hv - λv‖ at the smallest end."""
        return self.extremes.residual_min

    @property
    def residual_max(self) -> float:
        """‖Hv - λv‖ at the largest end."""
        return self.extremes.residual_max

    @property
    def kind(self) -> str | None:
        """The kind of point; None where it was not classified."""
        return self.measurement.kind


def spectra_of(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    build: Callable[[], keras.Model] | None,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    variables: Any = None,
    check: bool = True,
    tol: float = 1e-2,
    max_matvecs: int = 200,
    density: Mapping[str, Any] | None = None,
    keep_vectors: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[SavedSpectrum]:
    """The loss, the gradient and both ends of the Hessian of saved models, in their order.

    Models of one architecture share one TensorFlow graph, and each search begins with the
    eigenvectors of the file before. As in `HessianCallback`, the first of every ten begins
    with a random vector alone: a warm start may miss what has come to lie further out.

    Args:
        paths: .keras files, or with `build` .weights.h5 files too.
        build: makes a built model, into which the weights are loaded. Needed for weights
            alone, and for models with layers or functions of one's own. None: the files are
            whole models; no code in them is run, and how they were compiled counts nothing.
        x, y, sample_weight, batch_size, check: as in `HessianOperator`.
        loss: likewise. None: that of `compile` in `build`.
        variables: a glob on `variable.path` that selects θ; None: all trainable ones.
        tol, max_matvecs, seed: as in `measure`.
        density: arguments of `spectral_density`, {} for its defaults; None: no density.
        keep_vectors: keep the eigenvectors of all results, 16 n bytes each; else those
            of the last one.
        progress: called after each product with the number of files done, and of products
            with the present one.

    Returns:
        A result a file.

    Raises:
        SavedModelError: a file is missing, no saved model, or does not fit the model or
            the data; a model has no Hessian. One line that names the file. Files that are
            missing are found before anything is computed.
        ValueError: no paths, or no loss.

    Example:

    >>> for each in spectra_of(sorted(Path("checkpoints").glob("*.keras")), None, x, y,
    ...                        loss="mse"):  # doctest: +SKIP
    ...     print(each.path.name, each.lambda_min, each.residual_min)
    """
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else list(map(Path, paths))
    if not files:
        raise ValueError("There are no files to measure. Received: paths=[]")
    for path in files:
        check_file(path, weights=build is not None)
    options = {
        "sample_weight": sample_weight,
        "batch_size": batch_size,
        "variables": variables,
        "check": check,
    }
    series = _Series(SavedModels(build), loss, (x, y), options, progress)
    found: list[SavedSpectrum] = []
    for path in files:
        operator = series.load(path)
        with measuring(path):
            measurement = series.measure(operator, tol, max_matvecs, seed)
            finite = np.isfinite(measurement.gradient_norm)
            curve = (
                spectral_density(operator, **density) if density is not None and finite else None
            )
        series.done += 1
        if found and not keep_vectors:
            found[-1] = replace(found[-1], measurement=without_vectors(found[-1].measurement))
        found.append(SavedSpectrum(path, measurement, operator.shape[0], series.examples, curve))
    return found


def classified(
    results: Sequence[SavedSpectrum], *, eps: float | None = None, gamma: float | None = None
) -> list[SavedSpectrum]:
    """The same results, with the kinds of their points; see `classify_critical_point`.

    Args:
        results: as `spectra_of` gives them.
        eps: what counts as a small gradient; None: 1 % of the first finite result's. Without
            it one result alone is not classified: its gradient has nothing to be small beside.
        gamma: what counts as curvature; None: 0.1 % of that result's largest |λ|.
    """
    finite = [each for each in results if np.isfinite(each.gradient_norm)]
    if not finite or (eps is None and len(results) == 1):
        return list(results)
    size = float(np.abs(finite[0].extremes.eigenvalues).max())
    eps = EPS * finite[0].gradient_norm if eps is None else eps
    gamma = GAMMA * size if gamma is None else gamma
    if not (eps >= 0 and gamma > 0):  # A model without any curvature sets no scale.
        return list(results)
    return [
        replace(each, measurement=each.measurement.classified(eps=eps, gamma=gamma))
        if np.isfinite(each.gradient_norm)
        else each
        for each in results
    ]


class _Series:
    """Operators of one saved model after the other; what one has found helps the next."""

    def __init__(
        self,
        models: SavedModels,
        loss: Any,
        data: tuple[Any, Any],
        options: dict[str, Any],
        progress: Progress | None,
    ) -> None:
        self._models, self._loss = models, loss
        self._data, self._options = data, options
        self._progress = progress
        self._operator: HessianOperator | None = None
        self._last: ExtremeEigenpairs | None = None
        self.done = 0
        self.examples = 0

    def load(self, path: Path) -> _Watched:
        """The Hessian of a file's model."""
        same, shares = self._models.load(path)
        if not same:
            self._last = None
        if self._operator is None or not shares:
            with measuring(path):
                self._operator = self._make(path)
        self.examples = self._operator.examples
        return _Watched(self._operator, self._note)

    def measure(self, operator: _Watched, tol: float, max_matvecs: int, seed: int) -> Measurement:
        """Measure at the newest model, from the vectors of the one before."""
        cold = self.done % COLD_EVERY == 0
        found = measure(
            operator,
            tol,
            epoch=self.done,
            max_matvecs=max_matvecs,
            warm_start=None if cold else self._last,
            seed=seed,
        )
        if len(found.extremes.vectors):  # None where the loss is not finite.
            extremes = with_replaced_vector(found.extremes, self._last)
            found, self._last = replace(found, extremes=extremes), extremes
        return found

    def _make(self, path: Path) -> HessianOperator:
        model, loss = self._models.model, self._loss
        assert model is not None
        if loss is None and (loss := getattr(model, "loss", None)) is None:
            raise ValueError("loss is needed: a file's own is not read, and build() compiled none.")
        operator = HessianOperator(model, loss, *self._data, **self._options)
        _try_two(path, operator, loss)
        return operator

    def _note(self, products: int) -> None:
        if self._progress is not None:
            self._progress(self.done, products)


def _try_two(path: Path, operator: HessianOperator, loss: Any) -> None:
    """Let a model and its loss see two examples, where what fails has the shortest message."""
    batch = take_rows(operator.first_batch(), slice(0, 2))
    values = [v.value for v in operator.variables]
    try:
        BatchLoss(operator.model, loss, 2)(operator.variables, values, batch)
    # A model is anybody's code: it can raise anything.
    except Exception as error:
        raise SavedModelError(
            f"{path}: the model or the loss cannot take x and y ({in_one_line(error)})"
        ) from error


class _Watched(Operator):
    """An operator that tells how many products it has made."""

    def __init__(self, operator: HessianOperator, note: Callable[[int], None]) -> None:
        self._operator, self._tell = operator, note
        self._products = 0
        self.shape = operator.shape
        self.parameters = operator.parameters

    @property
    def relative_rounding(self) -> float:
        return relative_rounding(self._operator)

    @property
    def verified(self) -> bool:
        return self._operator.verified

    def product_error(self, norm: float) -> float:
        return product_error(self._operator, norm)

    def __matmul__(self, vectors: Array, /) -> Array:
        product = self._operator @ vectors
        self._note(vectors)
        return product

    def run_routine(self, routine: MatvecRoutine[Result]) -> Result:
        return self._operator.run_routine(adapt_routine(routine, self._answer))

    def run_at_gradient(
        self, make_routine: Callable[[float, Array], MatvecRoutine[Result]]
    ) -> Result:
        return self._operator.run_at_gradient(
            lambda loss, gradient: adapt_routine(make_routine(loss, gradient), self._answer)
        )

    def _answer(self, vectors: Array) -> MatvecRoutine[Array]:
        product = yield vectors
        self._note(vectors)
        return product

    def _note(self, vectors: Array) -> None:
        self._products += 1 if np.ndim(vectors) == 1 else np.shape(vectors)[1]
        self._tell(self._products)
