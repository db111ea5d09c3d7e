"""Matrices and operators that several tests of curvature use."""

import numpy as np

#: Examples in the small sets of the operators' tests.
N = 7


def draw(*shape, seed=0):
    """Gaussian numbers of this shape."""
    return np.random.default_rng(seed).standard_normal(shape)


def eigenbasis(n, seed):
    """A random orthogonal matrix (n, n): the Q factor of a Gaussian matrix."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def symmetric(eigenvalues, seed=0):
    """A dense symmetric matrix with these eigenvalues, and `eigenbasis` as eigenvectors."""
    q = eigenbasis(len(eigenvalues), seed)
    return (q * np.asarray(eigenvalues, np.float64)) @ q.T


class Counted:
    """A dense matrix that counts the vectors that it is multiplied with."""

    def __init__(self, matrix):
        self.matrix = np.asarray(matrix, np.float64)
        self.shape = self.matrix.shape
        self.products = 0

    def __matmul__(self, v):
        assert v.dtype == np.float64
        self.products += 1 if v.ndim == 1 else v.shape[1]
        return self.matrix @ v
