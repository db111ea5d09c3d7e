"""Gradients as a user would write them, without the operators."""

import numpy as np
import tensorflow as tf


def plain_gradient(model, loss, x, y):
    """What a user would write: no part of the operator."""
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss(tf.constant(y), model(x, training=False)))
    gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
    return np.concatenate([np.ravel(tf.convert_to_tensor(g)) for g in gradients])


def squared(y, p):
    """The squared errors of each example's outputs."""
    return tf.square(y - p)


def shift(model, vector):
    """Add a vector to the weights."""
    start = 0
    for v in model.trainable_variables:
        size = int(np.prod(v.shape))
        v.assign(v.numpy() + vector[start : start + size].reshape(v.shape))
        start += size
