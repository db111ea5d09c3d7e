"""Hessian spectra of the loss of any Keras model, with error bars.

hessian = HessianOperator(model, "mse", x, y)
hessian @ v                         # H v
extreme_eigenpairs(hessian)         # λ_min and λ_max, with residuals
model.fit(x, y, callbacks=[HessianCallback(x, y)])
"""

from stock_rnn.curvature import _backend  # noqa: F401  First: it checks the Keras backend.
from stock_rnn.curvature.algorithms.dense import (
    ExactHessian,
    ExactSpectrum,
    TooLargeError,
    exact_hessian,
    exact_spectrum,
)
from stock_rnn.curvature.algorithms.density import (
    NegativeFraction,
    SpectralDensity,
    negative_fraction,
    spectral_density,
)
from stock_rnn.curvature.algorithms.estimate import (
    Estimate,
)
from stock_rnn.curvature.algorithms.extreme import (
    Eigenpairs,
    ExtremeEigenpairs,
    extreme_eigenpairs,
    extreme_search,
    following,
    top_eigenpairs,
)
from stock_rnn.curvature.algorithms.trace import (
    trace,
)
from stock_rnn.curvature.analysis.critical_point import (
    CriticalPoint,
    classify_critical_point,
    condition_number,
)
from stock_rnn.curvature.analysis.landscape import (
    LossSlice,
    NegativeDirection,
    NegativeShare,
    TaylorStep,
    curvature_along_gradient,
    loss_along,
    negative_direction,
    negative_subspace_share,
    taylor_step,
)
from stock_rnn.curvature.analysis.resampling import (
    SamplingError,
    sampling_error,
)
from stock_rnn.curvature.operators.blocks import (
    RestrictedOperator,
    gate_blocks,
    layer_blocks,
    select_variables,
)
from stock_rnn.curvature.operators.hessian import (
    HessianOperator,
    NonDeterministicLossError,
    SecondDerivativeError,
)
from stock_rnn.curvature.operators.preconditioned import (
    PreconditionedOperator,
    preconditioned,
    register_preconditioner,
    stability_line,
)
from stock_rnn.curvature.operators.protocol import (
    Method,
    NonFiniteError,
    SymmetricOperator,
    run,
)
from stock_rnn.curvature.tracking.callback import (
    HessianCallback,
)
from stock_rnn.curvature.tracking.measurement import (
    Measurement,
    load_measurements,
    measure,
    save_measurements,
)

__all__ = [
    "CriticalPoint",
    "Eigenpairs",
    "Estimate",
    "ExactHessian",
    "ExactSpectrum",
    "ExtremeEigenpairs",
    "HessianCallback",
    "HessianOperator",
    "LossSlice",
    "Measurement",
    "Method",
    "NegativeDirection",
    "NegativeFraction",
    "NegativeShare",
    "NonDeterministicLossError",
    "NonFiniteError",
    "PreconditionedOperator",
    "RestrictedOperator",
    "SamplingError",
    "SecondDerivativeError",
    "SpectralDensity",
    "SymmetricOperator",
    "TaylorStep",
    "TooLargeError",
    "classify_critical_point",
    "condition_number",
    "curvature_along_gradient",
    "exact_hessian",
    "exact_spectrum",
    "extreme_eigenpairs",
    "extreme_search",
    "following",
    "gate_blocks",
    "layer_blocks",
    "load_measurements",
    "loss_along",
    "measure",
    "negative_direction",
    "negative_fraction",
    "negative_subspace_share",
    "preconditioned",
    "register_preconditioner",
    "run",
    "sampling_error",
    "save_measurements",
    "select_variables",
    "spectral_density",
    "stability_line",
    "taylor_step",
    "top_eigenpairs",
    "trace",
]
