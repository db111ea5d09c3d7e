"""The trace of a symmetric operator from a few products: Hutch++."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stock_rnn.curvature.algorithms.estimate import Estimate, sphere_probes, sphere_standard_error
from stock_rnn.curvature.algorithms.lanczos import power_of_two
from stock_rnn.curvature.operators.errors import NonFiniteError
from stock_rnn.curvature.operators.protocol import SymmetricOperator, dimension, product_error


def trace(op: SymmetricOperator, *, matvecs: int = 90, seed: int = 0) -> Estimate:
    """tr(A) by Hutch++, in `matvecs` products.

        tr(A) = tr(QᵀAQ) + tr(B),   B = (I - QQᵀ)A(I - QQᵀ)

    for any Q with orthonormal columns. Q spans A S for m/3 random vectors S, so
    that it catches the large eigenvalues and their part of the trace is summed
    exactly (m/3 products more); only what is left, tr(B), is sampled, by
    n·vᵀBv with m/3 vectors v uniform on the sphere. Where Hutchinson's estimator
    needs O(1/ε²) products for a positive semidefinite A, this needs O(1/ε).

    Source: Meyer, Musco, Musco, Woodruff, "Hutch++: Optimal Stochastic Trace
    Estimation", SOSA 2021, algorithm 1.

    Args:
        op: symmetric, (n, n). With n <= matvecs the trace is summed over the
            unit vectors instead, in n products, exactly but for rounding.
        matvecs: products to spend, at least 3; rounded down to a multiple of 3.
        seed: of the random vectors.

    Returns:
        The unbiased estimate. Its standard error is that of the sampled part
        given Q, the larger of the closed form and of the sample deviation (see
        `sphere_standard_error`), joined with √n times the rounding of a product.

    Raises:
        ValueError: if the operator is empty or not square, or matvecs < 3.
        NonFiniteError: if a product is not finite.
    """
    n = dimension(op)
    if matvecs < 3:
        raise ValueError(f"Hutch++ needs at least 3 products. Received: matvecs={matvecs}")
    if n <= matvecs:
        columns = _products(op, np.eye(n))
        return Estimate(float(np.trace(columns)), _rounding(op, columns), 0)
    k = matvecs // 3
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(_products(op, sphere_probes(n, k, rng)))[0]
    image = _products(op, q)
    caught = float(np.sum(q * image))

    probes = sphere_probes(n, k, rng)
    left = probes - q @ (q.T @ probes)
    products = _products(op, left)
    products = products - q @ (q.T @ products)
    samples = np.sum(left * products, axis=0)
    # In units of the largest product, so that no square leaves the range of float64.
    unit = power_of_two(products) or 1.0
    # E‖Bv‖² = ‖B‖²_F / n: the closed form's mean square costs no product more.
    mean_square = np.mean(np.sum((products / unit) ** 2, axis=0))
    error = n * unit * float(sphere_standard_error(samples / unit, np.asarray(mean_square), n))
    return Estimate(caught + n * float(samples.mean()), math.hypot(error, _rounding(op, image)), k)


def _products(op: SymmetricOperator, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    products = np.asarray(op @ vectors)
    if not np.isfinite(products).all():
        raise NonFiniteError("A product of the operator is not finite: it has no trace.")
    return products


def _rounding(op: SymmetricOperator, products: NDArray[np.float64]) -> float:
    """The error of a trace by rounding, given products of A with unit vectors.

    Each diagonal entry is off by up to rounding · ‖A‖, and n of them add up like √n.
    """
    unit = power_of_two(products) or 1.0
    size = unit * float(np.linalg.norm(products / unit, axis=0).max())
    return math.sqrt(len(products)) * product_error(op, size)
