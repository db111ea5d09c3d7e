"""Window arithmetic: pure functions on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stock_rnn.errors import UserError

FloatArray = NDArray[np.floating]


def cut_windows(prices: NDArray[Any], input_size: int, *, align: str = "oldest") -> NDArray[Any]:
    """Disjoint windows of N consecutive prices; L mod N prices are left out.

    Args:
        prices: (L,), oldest first.
        input_size: N >= 1.
        align: "oldest", the first window begins at the oldest price and the newest prices
            are left out, as in the original; "newest", the last window ends at the newest.

    Returns:
        (floor(L / N), N), a view.

    Raises:
        UserError: `align` is neither of the two.
    """
    left_out = len(prices) % input_size
    if align == "oldest":
        kept = prices[: len(prices) - left_out]
    elif align == "newest":
        kept = prices[left_out:]
    else:
        raise UserError(f"align must be one of oldest, newest. Received: {align!r}")
    return kept.reshape(-1, input_size)


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
