"""TensorFlow functions whose second derivative is wrong, put right while a loss is traced.

TensorFlow differentiates an operation's gradient like any other operation. Two
functions that Keras uses are right for first derivatives only:

- `tf.nn.moments` computes the variance as mean((x - stop_gradient(m))²). As
  Σ(x - m) = 0, the first derivative is right; the second lacks the terms in ∂m/∂x.
  LayerNormalization, GroupNormalization and `keras.ops.moments` call it.
- `tf.image.resize`, bilinear: the gradient of its gradient is declared as not
  differentiable, so that all curvature that passes through it is lost. The function
  is linear in the image, so it is computed by products with interpolation matrices.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

_lock = threading.RLock()


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """In this block, and in this thread only, the functions above have second derivatives."""
    thread = threading.get_ident()
    replaced: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (tf.nn, "moments", moments),
        (tf.image, "resize", resize),
    )
    with _lock:
        originals = [getattr(module, name) for module, name, _ in replaced]
        for (module, name, ours), original in zip(replaced, originals, strict=True):
            setattr(module, name, _in_thread(thread, ours, original))
        try:
            yield
        finally:
            for (module, name, _), original in zip(replaced, originals, strict=True):
                setattr(module, name, original)


def _in_thread(
    thread: int, ours: Callable[..., Any], original: Callable[..., Any]
) -> Callable[..., Any]:
    def dispatch(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == thread:
            return ours(original, *args, **kwargs)
        return original(*args, **kwargs)

    return dispatch


def moments(
    original: Callable[..., Any],
    x: Any,
    axes: Any,
    shift: Any = None,
    keepdims: bool = False,
    name: str | None = None,
) -> Any:
    """Mean and mean squared deviation over the axes, as `tf.nn.moments` defines them."""
    del original, shift, name
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=keepdims)
    return (mean if keepdims else tf.squeeze(mean, axes)), variance


def resize(
    original: Callable[..., Any],
    images: Any,
    size: Any,
    method: str = "bilinear",
    preserve_aspect_ratio: bool = False,
    antialias: bool = False,
    name: str | None = None,
) -> Any:
    """`tf.image.resize`; where it is plain bilinear, by products of matrices."""
    images = tf.convert_to_tensor(images)
    plain = method == "bilinear" and not preserve_aspect_ratio and not antialias
    if not plain or images.dtype not in (tf.float32, tf.float64) or images.shape.rank != 4:
        return original(images, size, method, preserve_aspect_ratio, antialias, name)
    return _bilinear(images, tf.convert_to_tensor(size, tf.int32))


def _bilinear(images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """A images Bᵀ, with the interpolation matrices A of the rows and B of the columns."""
    shape = tf.shape(images)
    rows = _interpolation(shape[1], size[0], images.dtype)
    columns = _interpolation(shape[2], size[1], images.dtype)
    resized = tf.einsum("ih,jw,nhwc->nijc", rows, columns, images)
    resized.set_shape([images.shape[0], *tf.get_static_value(size, partial=True), images.shape[3]])
    return resized


def _interpolation(length: tf.Tensor, wanted: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """(wanted, length): row i interpolates linearly at (i + ½) length / wanted - ½."""
    scale = tf.cast(length, dtype) / tf.cast(wanted, dtype)
    place = (tf.cast(tf.range(wanted), dtype) + 0.5) * scale - 0.5
    below = tf.floor(place)
    share = (place - below)[:, None]
    lower = tf.maximum(tf.cast(below, tf.int32), 0)
    upper = tf.minimum(tf.cast(tf.math.ceil(place), tf.int32), length - 1)
    near = tf.one_hot(lower, length, dtype=dtype)
    return near * (1 - share) + tf.one_hot(upper, length, dtype=dtype) * share
