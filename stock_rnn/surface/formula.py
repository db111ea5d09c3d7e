"""Formulas of x and y, read without running code."""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import simpleeval
import tensorflow as tf

from stock_rnn.errors import UserError

#: What a formula may call, of one number.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": tf.sin,
    "cos": tf.cos,
    "tan": tf.tan,
    "tanh": tf.tanh,
    "exp": tf.exp,
    "log": tf.math.log,
    "sqrt": tf.sqrt,
    "abs": tf.abs,
}

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: tf.pow,
    ast.USub: operator.neg,
    ast.UAdd: tf.identity,
}

# Of all that the evaluator knows: no attributes, indices, comparisons, texts in braces, ...
_SYNTAX = (ast.Expr, ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.Call)

# The depth of a tree is bounded with it.
_LONGEST = 300


@dataclasses.dataclass(frozen=True, eq=False)
class _Value:
    """A tensor as the evaluator can look at it: it asks for a hash, which tensors have not."""

    tensor: Any


class Formula:
    """A function of x and y.

    Args:
        text: made of x, y, pi, numbers, + - * / ** ( ) and the functions in `FUNCTIONS`; ^ is
            read as **.

    Raises:
        UserError: it is something else.

    >>> Formula("x**2 - 3*y")(2.0, 1.0).numpy()
    1.0
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _LONGEST:
            raise UserError(
                f"a formula has at most {_LONGEST} characters. Received: {len(text)} characters"
            )
        try:
            # One expression: of several the evaluator would take the first.
            self._tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
            self(1.0, 1.0)
        except UserError:
            raise
        # Of a parser and an evaluator for any text: whatever they raise, the text is no formula.
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"{text!r} is no formula of x and y: {reason}") from None

    def __call__(self, x: Any, y: Any) -> tf.Tensor:
        """The values at points.

        Args:
            x, y: numbers, arrays or tensors of one shape.

        Returns:
            float64, of that shape.
        """
        x, y = (tf.convert_to_tensor(each, tf.float64) for each in (x, y))
        names = {"x": _Value(x), "y": _Value(y), "pi": _Value(tf.constant(np.pi, tf.float64))}
        evaluator = simpleeval.SimpleEval(
            operators={kind: _on_values(each) for kind, each in _OPERATORS.items()},
            functions={name: _of_one_value(each) for name, each in FUNCTIONS.items()},
            names=names,
        )
        evaluator.nodes = {
            kind: handler for kind, handler in evaluator.nodes.items() if kind in _SYNTAX
        }
        value = _tensor(evaluator.eval(self.text, previously_parsed=self._tree))
        # A formula may lack x or y.
        return value + tf.zeros_like(x) * tf.zeros_like(y)


def _on_values(function: Callable[..., Any]) -> Callable[..., _Value]:
    def on_values(*values: Any) -> _Value:
        return _Value(function(*map(_tensor, values)))

    return on_values


def _of_one_value(function: Callable[[Any], Any]) -> Callable[[Any], _Value]:
    # TensorFlow's functions take more arguments, names of operations among them.
    def of_one_value(value: Any) -> _Value:
        return _Value(function(_tensor(value)))

    return of_one_value


def _tensor(value: Any) -> tf.Tensor:
    """A value of the evaluator as a tensor.

    Raises:
        TypeError: it is no number.
    """
    if isinstance(value, _Value):
        return value.tensor
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a {type(value).__name__} stands where a number must")
    return tf.constant(float(value), tf.float64)
