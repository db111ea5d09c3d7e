"""What has no right Hessian product, each with its reason, found by running it.

A subject of this table must not be right: either the operator raises one of `errors`, or,
multiplying without a check, it is wrong, and the operator that checks itself raises one. It
warns only where it is wrong in the rows and columns of some variables, which it names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.curvature.zoo.judge import Outcome

MISSING = ("SecondDerivativeError",)


@dataclass(frozen=True)
class Refusal:
    """Why a subject is refused, and how.

    Args:
        reason: A phrase for the table.
        errors: Names of the exceptions' types, any of them.
        message: A regular expression that occurs in the exception's message.
        warning: One that occurs in a warning, which will do in place of an exception.
    """

    reason: str
    errors: tuple[str, ...] = MISSING
    message: str = ""
    warning: str | None = None

    def raises(self, outcome: Outcome) -> bool:
        """Whether that is the exception that this table foretells."""
        return outcome.raised in self.errors and bool(re.search(self.message, outcome.message))

    def warns(self, outcome: Outcome) -> bool:
        """Whether that is the warning that this table foretells."""
        return self.warning is not None and bool(re.search(self.warning, outcome.warned))


BICUBIC = Refusal(
    "TensorFlow has no derivative of `ResizeBicubicGrad`", message="ResizeBicubicGrad"
)
LANCZOS = Refusal(
    "TensorFlow has no derivative of `ScaleAndTranslateGrad`", message="ScaleAndTranslateGrad"
)
CIRCLE = Refusal(
    "its second derivative is NaN in TensorFlow, while loss and gradient are finite",
    ("NonFiniteError", "SecondDerivativeError"),
)
CTC = Refusal(
    "TensorFlow's CTC loss carries its own gradient, which has none",
    ("SecondDerivativeError",),
)

REFUSED: dict[str, Refusal] = {
    "activations/softsign": Refusal(
        "TensorFlow has no derivative of `SoftsignGrad`; `x / (1 + abs(x))` written out works",
        message="SoftsignGrad",
    ),
    "layers/LSTM, use_cudnn=True": Refusal(
        "cuDNN kernels have no second derivative, and without a GPU Keras has none of them",
        ("SecondDerivativeError", "ValueError"),
        "(?i)cudnn",
    ),
    "layers/Lambda, stop_gradient": Refusal(
        "where a gradient is stopped by hand, the gradient is not that of the loss, and its "
        "derivative is not symmetric"
    ),
    "layers/Resizing, area": Refusal(
        "TensorFlow has no first derivative of `ResizeArea`", message="ResizeArea"
    ),
    "layers/Resizing, bicubic": BICUBIC,
    "layers/Resizing, lanczos3": LANCZOS,
    "layers/Resizing, lanczos5": LANCZOS,
    "layers/Resizing, nearest": Refusal(
        "TensorFlow has no derivative of `ResizeNearestNeighborGrad`; `UpSampling2D` repeats, "
        "and works",
        message="ResizeNearestNeighborGrad",
    ),
    "layers/TFSMLayer": Refusal(
        "a SavedModel reads its own variables, past the values that the operator differentiates "
        "by: their rows and columns of H are 0, and a warning names them",
        warning="No gradient of the loss reaches sequential_dense_kernel",
    ),
    "layers/UpSampling2D, bicubic": BICUBIC,
    "losses/CTC": CTC,
    "losses/Circle": CIRCLE,
    "losses/Circle, moderate gamma": CIRCLE,
    "losses/metrics.MeanSquaredError": Refusal(
        "a metric keeps its result in variables: no gradient reaches any parameter",
        ("NoGradientError",),
    ),
    "losses/circle": CIRCLE,
    "losses/ctc": CTC,
}

# Right, but constant to a derivative: no gradient, and so no curvature, goes through them.
CONSTANT = {
    "layers/ContrastLimitedAdaptiveHistogramEqualization": "a look-up in a histogram",
}
