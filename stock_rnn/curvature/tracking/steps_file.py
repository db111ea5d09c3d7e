"""The file that keeps the measurements of a `SharpnessCallback`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from typing import Any

import numpy as np

from stock_rnn.curvature.algorithms.eigenpairs import Eigenpairs
from stock_rnn.curvature.algorithms.estimate import Estimate
from stock_rnn.curvature.analysis.batches import BatchEstimates
from stock_rnn.curvature.tracking.array_file import read_arrays, write_arrays
from stock_rnn.curvature.tracking.measurement import KEPT_VECTORS
from stock_rnn.curvature.tracking.steps import StepMeasurement, VectorShares

_FORMAT = 1

# Fields of a measurement and of its pairs that are one number each, with their types.
_NUMBERS = {
    **dict.fromkeys(("step", "epoch", "update_steps", "matvecs"), int),
    **dict.fromkeys(("loss", "gradient_norm", "line", "update_norm", "seconds"), float),
}
_PAIR_NUMBERS = {
    "matvecs": int,
    **dict.fromkeys(("rounding", "asymmetry"), float),
    **dict.fromkeys(("converged", "symmetric", "verified"), bool),
}
_ESTIMATES = [part.name for part in fields(BatchEstimates)]


def save_steps(path: str | os.PathLike[str], rows: Sequence[StepMeasurement]) -> None:
    """Write a .npz of plain arrays, one row a measurement, under its name only when whole.

    Arrays: the numbers of a `StepMeasurement` by their names (m,); gradient and update (m, 4),
    the fields of `VectorShares`; drift (m, k); raw_... and seen_..., the fields of `Eigenpairs`,
    eigenvalues and residuals (m, k), NaN where there are none, and vectors (kept, n, k) of the
    rows raw_vector_rows and seen_vector_rows, the last ones; batches (m, 6, 3), value, standard
    error and samples of each of `BatchEstimates`; format, the version of this layout.

    Args:
        path: its folder is made if there is none.
        rows: all of the same k.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, Any] = {name: np.array([getattr(r, name) for r in rows]) for name in _NUMBERS}
    for name in ("gradient", "update"):
        arrays[name] = np.array([astuple(getattr(r, name)) for r in rows]).reshape(-1, 4)
    arrays["drift"] = np.array([r.drift for r in rows])
    track = max((len(r.drift) for r in rows), default=0)
    for name in ("raw", "seen"):
        arrays |= _pairs_to_arrays(name, [getattr(r, name) for r in rows], track)
    nan = np.full((len(_ESTIMATES), 3), np.nan)
    arrays["batches"] = np.array(
        [
            nan if r.batches is None else [_triple(r.batches, name) for name in _ESTIMATES]
            for r in rows
        ]
    ).reshape(-1, *nan.shape)
    arrays["format"] = np.array(_FORMAT)
    write_arrays(path, arrays)


def load_steps(path: str | os.PathLike[str]) -> list[StepMeasurement]:
    """What `save_steps` wrote. The Ritz values of the searches are not kept.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, KeyError: it is something else, damaged, or of a later version.
    """
    a = read_arrays(path, _FORMAT)
    raw, seen = (_pairs_from_arrays(name, a) for name in ("raw", "seen"))
    rows = []
    for k in range(len(a["step"])):
        pairs = raw[k]
        if pairs is None:
            raise ValueError(f"{path} has no eigenvalues in row {k}: it is damaged.")
        rows.append(
            StepMeasurement(
                **{name: kind(a[name][k]) for name, kind in _NUMBERS.items()},
                raw=pairs,
                seen=seen[k],
                gradient=VectorShares(*map(float, a["gradient"][k])),
                update=VectorShares(*map(float, a["update"][k])),
                drift=a["drift"][k],
                batches=_estimates(a["batches"][k]),
            )
        )
    return rows


def _pairs_to_arrays(prefix: str, rows: Sequence[Eigenpairs | None], track: int) -> dict[str, Any]:
    nan = np.full(track, np.nan)
    kept = [(k, r.vectors) for k, r in enumerate(rows) if r is not None and len(r.vectors)]
    kept = kept[-KEPT_VECTORS:]
    arrays: dict[str, Any] = {
        name: np.array([nan if r is None else getattr(r, name) for r in rows]).reshape(
            len(rows), track
        )
        for name in ("eigenvalues", "residuals")
    }
    for name, kind in _PAIR_NUMBERS.items():
        arrays[name] = np.array([kind() if r is None else getattr(r, name) for r in rows], kind)
    arrays["there"] = np.array([r is not None for r in rows], np.bool_)
    arrays["vectors"] = np.array([v for _, v in kept] or np.empty((0, 0, track)))
    arrays["vector_rows"] = np.array([k for k, _ in kept], np.int64)
    return {f"{prefix}_{name}": values for name, values in arrays.items()}


def _pairs_from_arrays(prefix: str, arrays: Mapping[str, Any]) -> list[Eigenpairs | None]:
    a = {
        name.removeprefix(f"{prefix}_"): of
        for name, of in arrays.items()
        if name.startswith(f"{prefix}_")
    }
    vectors = dict(zip(a["vector_rows"].tolist(), a["vectors"], strict=True))
    track = a["eigenvalues"].shape[1]
    return [
        Eigenpairs(
            eigenvalues=a["eigenvalues"][k],
            vectors=vectors.get(k, np.empty((0, track))),
            residuals=a["residuals"][k],
            ritz_values=np.empty(0),
            **{name: kind(a[name][k]) for name, kind in _PAIR_NUMBERS.items()},
        )
        if there
        else None
        for k, there in enumerate(a["there"])
    ]


def _triple(batches: BatchEstimates, name: str) -> tuple[float, float, float]:
    estimate: Estimate = getattr(batches, name)
    return estimate.value, estimate.standard_error, float(estimate.samples)


def _estimates(rows: Any) -> BatchEstimates | None:
    if np.isnan(rows[:, 2]).all():
        return None
    return BatchEstimates(*(Estimate(float(v), float(e), int(n)) for v, e, n in rows))
