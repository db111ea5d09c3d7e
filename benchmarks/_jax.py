"""The network of a problem file in plain JAX, and both ends of its Hessian by SciPy's Lanczos."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

# Keras's order: of each layer kernel (D, 4S), recurrent kernel (S, 4S) and bias (4S,) with
# the gates i, f, c, o; then the head's kernel and bias.
Parameters = Sequence[jax.Array]


def predict(parameters: Parameters, x: jax.Array) -> jax.Array:
    """(n, T, D) -> (n, N): stacked LSTMs without dropout, and the linear head."""
    *layers, head, offset = parameters
    steps = [x[:, t] for t in range(x.shape[1])]
    for kernel, recurrent, bias in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        state = memory = jnp.zeros((len(x), recurrent.shape[0]), x.dtype)
        outputs = []
        for step in steps:
            gates = step @ kernel + state @ recurrent + bias
            i, f, c, o = jnp.split(gates, 4, axis=1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(c)
            state = jax.nn.sigmoid(o) * jnp.tanh(memory)
            outputs.append(state)
        steps = outputs
    return steps[-1] @ head + offset


def mean_squared_error(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean over examples and outputs."""
    return jnp.mean((predict(parameters, x) - y) ** 2)


def read(path: str) -> tuple[list[jax.Array], jax.Array, jax.Array]:
    """Parameters, inputs and targets of a problem file."""
    with np.load(path) as file:
        weights = [jnp.asarray(file[name]) for name in file.files if name.startswith("weight")]
        return weights, jnp.asarray(file["x"]), jnp.asarray(file["y"])


def _split(vector: np.ndarray, like: Parameters) -> list[jax.Array]:
    ends = np.cumsum([p.size for p in like])[:-1]
    parts = zip(np.split(np.ravel(vector).astype(np.float32), ends), like, strict=True)
    return [jnp.asarray(part.reshape(p.shape)) for part, p in parts]


def _join(parts: Parameters) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float64)


def gradient(path: str) -> dict[str, Any]:
    """The loss and its whole gradient, in Keras's order."""
    parameters, x, y = read(path)
    loss, parts = jax.value_and_grad(mean_squared_error)(parameters, x, y)
    return {"loss": float(loss), "gradient": _join(parts).tolist()}


def solve(path: str, seed: str, tol: str) -> dict[str, Any]:
    """Both ends from a cold start: products by `jvp` of `grad`, compiled as one function."""
    parameters, x, y = read(path)
    n = sum(p.size for p in parameters)
    began = time.perf_counter()

    @jax.jit
    def product(at: Parameters, along: Parameters, x: jax.Array, y: jax.Array) -> Any:
        def slope(parameters: Parameters) -> Any:
            return jax.grad(mean_squared_error)(parameters, x, y)

        return jax.jvp(slope, (at,), (along,))[1]

    products = 0

    def multiply(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return _join(product(parameters, _split(vector, parameters), x, y))

    multiply(np.ones(n))
    prepared, products = time.perf_counter(), 0
    start = np.random.default_rng(int(seed)).standard_normal(n)
    operator = LinearOperator((n, n), matvec=multiply, dtype=np.float64)
    eigenvalues, vectors = eigsh(operator, k=2, which="BE", tol=float(tol), v0=start)
    solved, made = time.perf_counter(), products
    columns = np.column_stack([multiply(vector) for vector in vectors.T])
    return {
        "eigenvalues": eigenvalues.tolist(),
        "residuals": np.linalg.norm(columns - eigenvalues * vectors, axis=0).tolist(),
        "products": made,
        "preparing": prepared - began,
        "solving": solved - prepared,
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
