"""Window arithmetic: pure functions on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def cut_windows(prices: NDArray[Any], input_size: int) -> NDArray[Any]:
    """Disjoint windows of N consecutive prices; the newest L mod N are dropped.

    Args:
        prices: (L,), oldest first.
        input_size: N >= 1.

    Returns:
        (floor(L / N), N), a view.
    """
    count = len(prices) // input_size
    return prices[: count * input_size].reshape(count, input_size)


def base_prices(windows: FloatArray) -> FloatArray:
    """The price that each window is divided by: the last one before the window.

    Nothing is before window 0: it is divided by its own first price.

    Args:
        windows: (W, N) prices.

    Returns:
        (W,) prices.
    """
    return np.concatenate([windows[:1, 0], windows[:-1, -1]])


def normalize(windows: FloatArray) -> FloatArray:
    """Relative change against the last price before the window: w_k / base_k - 1.

    In these units the forecast 0 is persistence: the price stays where it is.
    Source: the report, section 4.2.2.

    Args:
        windows: (W, N) prices.

    Returns:
        (W, N), dimensionless.
    """
    return windows / base_prices(windows)[:, None] - 1.0


def denormalize(normalized: FloatArray, bases: FloatArray) -> FloatArray:
    """The inverse of `normalize`: (x + 1) * base, for x (k, N) and bases (k,)."""
    return (normalized + 1.0) * bases[:, None]
