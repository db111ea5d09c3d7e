from .algorithms.dense import (
    ExactHessian,
    ExactSpectrum,
    TooLargeError,
    exact_hessian,
    exact_spectrum,
)
from .algorithms.density import (
    NegativeFraction,
    SpectralDensity,
    negative_fraction,
    spectral_density,
)
from .algorithms.eigenpairs import (
    Eigenpairs,
    ExtremeEigenpairs,
)
from .algorithms.estimate import (
    Estimate,
)
from .algorithms.extreme import (
    extreme_eigenpairs,
    top_eigenpairs,
)
from .algorithms.trace import (
    trace,
)
from .analysis.batches import (
    BatchCurvature,
    BatchEstimates,
    batch_curvature,
    training_batches,
)
from .analysis.critical_point import (
    CriticalPoint,
    classify_critical_point,
    condition_number,
)
from .analysis.heterogeneity import (
    BlockHeterogeneity,
    block_heterogeneity,
)
from .analysis.landscape import (
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
from .analysis.planes import (
    LossPlane,
    LossSegment,
    PathPlane,
    filter_normalized,
    loss_between,
    loss_on_plane,
    path_plane,
)
from .analysis.resampling import (
    SamplingError,
    sampling_error,
)
from .analysis.subspaces import (
    SubspaceDrift,
    subspace_drift,
    subspace_share,
)
from .operators.blocks import (
    RestrictedOperator,
    filter_blocks,
    gate_blocks,
    layer_blocks,
    select_variables,
)
from .operators.errors import (
    NoGradientError,
    NonDeterministicLossError,
    NonFiniteError,
    PrecisionError,
    ReplicaLostError,
    SecondDerivativeError,
)
from .operators.fisher import (
    FisherOperator,
)
from .operators.gauss_newton import (
    GaussNewtonOperator,
    ResidualOperator,
)
from .operators.hessian import (
    HessianOperator,
)
from .operators.operator import (
    LinearCombination,
    Operator,
)
from .operators.preconditioned import (
    PreconditionedOperator,
    preconditioned,
    stability_line,
)
from .operators.preconditioners import (
    inherit_preconditioner,
    register_preconditioner,
)
from .operators.protocol import (
    LossOperator,
    SymmetricOperator,
)
from .operators.training_hessian import (
    TrainingHessian,
)
from .tracking.callback import (
    HessianCallback,
)
from .tracking.checkpoints import (
    SavedSpectrum,
    spectra_of,
)
from .tracking.measurement import (
    Measurement,
    load_measurements,
    measure,
    save_measurements,
)
from .tracking.saved_models import (
    SavedModelError,
)
from .tracking.sharpness import (
    SharpnessCallback,
)
from .tracking.steps import (
    StepMeasurement,
    VectorShares,
    measure_step,
    step_scalars,
)
from .tracking.steps_file import (
    load_steps,
    save_steps,
)

__all__ = [
    "BatchCurvature",
    "BatchEstimates",
    "BlockHeterogeneity",
    "CriticalPoint",
    "Eigenpairs",
    "Estimate",
    "ExactHessian",
    "ExactSpectrum",
    "ExtremeEigenpairs",
    "FisherOperator",
    "GaussNewtonOperator",
    "HessianCallback",
    "HessianOperator",
    "LinearCombination",
    "LossOperator",
    "LossPlane",
    "LossSegment",
    "LossSlice",
    "Measurement",
    "NegativeDirection",
    "NegativeFraction",
    "NegativeShare",
    "NoGradientError",
    "NonDeterministicLossError",
    "NonFiniteError",
    "Operator",
    "PathPlane",
    "PrecisionError",
    "PreconditionedOperator",
    "ReplicaLostError",
    "ResidualOperator",
    "RestrictedOperator",
    "SamplingError",
    "SavedModelError",
    "SavedSpectrum",
    "SecondDerivativeError",
    "SharpnessCallback",
    "SpectralDensity",
    "StepMeasurement",
    "SubspaceDrift",
    "SymmetricOperator",
    "TaylorStep",
    "TooLargeError",
    "TrainingHessian",
    "VectorShares",
    "batch_curvature",
    "block_heterogeneity",
    "classify_critical_point",
    "condition_number",
    "curvature_along_gradient",
    "exact_hessian",
    "exact_spectrum",
    "extreme_eigenpairs",
    "filter_blocks",
    "filter_normalized",
    "gate_blocks",
    "inherit_preconditioner",
    "layer_blocks",
    "load_measurements",
    "load_steps",
    "loss_along",
    "loss_between",
    "loss_on_plane",
    "measure",
    "measure_step",
    "negative_direction",
    "negative_fraction",
    "negative_subspace_share",
    "path_plane",
    "preconditioned",
    "register_preconditioner",
    "sampling_error",
    "save_measurements",
    "save_steps",
    "select_variables",
    "spectra_of",
    "spectral_density",
    "stability_line",
    "step_scalars",
    "subspace_drift",
    "subspace_share",
    "taylor_step",
    "top_eigenpairs",
    "trace",
    "training_batches",
]
