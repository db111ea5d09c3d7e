"""A number that was estimated, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over random samples: value ± standard_error.

    The bar covers what differs from sample to sample, and no bias that all samples
    share.
    """

    value: float
    standard_error: float  # nan if one sample cannot tell
    samples: int  # independent samples averaged; 0 for a value that was summed up

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's t interval, samples - 1 degrees of freedom; normal for 0 samples.

        With 10 samples the 95 % interval is ±2.26 standard errors, not ±1.96.

        Raises:
            ValueError: if confidence is not in (0, 1).
        """
        if not 0.0 < confidence < 1.0:
            raise ValueError(f"confidence must lie in (0, 1). Received: confidence={confidence}")
        if self.samples == 1:
            return -math.inf, math.inf
        freedom = self.samples - 1 if self.samples else math.inf
        half = stats.t.ppf(0.5 + confidence / 2.0, freedom) * self.standard_error
        return self.value - float(half), self.value + float(half)


def standard_error_of_mean(samples: Array) -> Array:
    """s / √k over the first axis, s² = Σ(xᵢ - mean)² / (k - 1).

    Args:
        samples: (k, ...).

    Returns:
        (...): nan where k < 2, since one sample says nothing of its own error.
    """
    k = samples.shape[0]
    if k < 2:
        return np.full(samples.shape[1:], np.nan)
    return np.asarray(np.std(samples, axis=0, ddof=1) / math.sqrt(k))


def sphere_standard_error(samples: Array, mean_square: Array, n: int) -> Array:
    """Standard error of the mean of quadratic forms vᵀBv, v uniform on the unit sphere of Rⁿ.

    With b the eigenvalues of B, vᵀBv = Σ pᵢbᵢ where p is Dirichlet(½, ..., ½), so

        Var(vᵀBv) = 2/(n + 2) · (mean(b²) - mean(b)²).

    The samples know mean(b), and usually mean(b²) as well, which gives this
    variance from one probe on, and steadily; the sample variance (ddof = 1) of k
    probes is itself uncertain by 1/√(2(k - 1)), 24 % of its root for k = 10, but
    it sees whatever else differs between probes. The larger of the two is returned.

    Args:
        samples: (k, ...), values of vᵀBv.
        mean_square: (...), an estimate of mean(b²) = ‖B‖²_F / n.
        n: the dimension of B.

    Returns:
        (...): standard errors of ``samples.mean(axis=0)``.
    """
    k = samples.shape[0]
    variance = np.maximum(mean_square - samples.mean(axis=0) ** 2, 0.0) * 2.0 / (n + 2)
    return np.fmax(standard_error_of_mean(samples), np.sqrt(variance / k))


def sphere_probes(n: int, k: int, rng: np.random.Generator) -> Array:
    """k independent vectors, uniform on the unit sphere of Rⁿ: (n, k)."""
    probes = rng.standard_normal((n, k))
    return np.asarray(probes / np.linalg.norm(probes, axis=0))
