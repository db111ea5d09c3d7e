"""The values that settings may have, and which settings belong together."""

from __future__ import annotations

SPLITS = ("chronological", "random")
ALIGNS = ("oldest", "newest")
CELLS = ("lstm", "gru", "simple_rnn", "tt-lstm")
INITS = ("keras", "tf1")
ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "elu", "linear")
INITIALIZERS = (
    *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
    *("lecun_uniform", "lecun_normal", "orthogonal", "random_uniform", "random_normal"),
)
NORMS = ("none", "layer", "batch")
FIRST_ORDER = (
    *("gd", "sgd", "momentum", "nesterov"),
    *("adagrad", "rmsprop", "rmsprop-tf1", "adam"),
)
SECOND_ORDER = ("newton", "saddle-free-newton")
OPTIMIZERS = (*FIRST_ORDER, *SECOND_ORDER)
PERTURBS = ("always", "stuck")
SPECTRA = ("exact", "density")
INTERVALS = ("conformal", "adaptive", "dropout")
SHUFFLES = ("batches", "windows")

#: Title of a group of settings -> the first of them, in the order of `Config`.
GROUPS = {
    "prices": "symbol",
    "windows and split": "input_size",
    "network": "embed_size",
    "optimizer": "optimizer",
    "training": "init_learning_rate",
    "measurements": "hessian_every",
    "random numbers": "seed",
}

#: The settings that choose the prices.
PRICE_SETTINGS = (
    *("symbol", "source", "csv", "date_column", "close_column", "decimal"),
    *("period", "start", "end"),
)

#: Setting -> the optimizers whose formula has it.
HYPERPARAMETERS = {
    "momentum": ("momentum", "nesterov"),
    "rho": ("rmsprop", "rmsprop-tf1"),
    "beta_1": ("adam",),
    "beta_2": ("adam",),
    "epsilon": ("adagrad", "rmsprop", "rmsprop-tf1", "adam"),
    "initial_accumulator_value": ("adagrad",),
    "damping": ("newton",),
    "krylov_dimension": ("saddle-free-newton",),
}

#: The settings of the recurrent stack and of clipping: the remedies for unstable gradients.
STACK = (
    *("tt_rank", "activation", "kernel_initializer", "recurrent_initializer", "forget_bias"),
    *("norm", "clipnorm", "clipvalue", "gradient_every"),
)

#: The settings of the noise on the gradient.
PERTURBATION = ("perturb_radius", "perturb", "perturb_threshold", "perturb_interval")

#: γ of adaptive intervals: that of Gibbs and Candès's experiments (2021, section 4).
INTERVAL_STEP = 0.005

#: What is said of a training without dropout.
NO_DROPOUT = (
    "has no dropout for --intervals dropout: that needs --keep-prob below 1, and an optimizer of "
    "first order"
)
