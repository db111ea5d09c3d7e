"""Hessian spectra of the loss of any Keras model, with error bars.

    hessian = HessianOperator(model, "mse", x, y)
    hessian @ v                         # H v
    extreme_eigenpairs(hessian)         # λ_min and λ_max, with residuals
    model.fit(x, y, callbacks=[HessianCallback(x, y)])

Names are imported when they are first used: most of them need TensorFlow. The file
`__init__.pyi` says where each name is.
"""

import lazy_loader

from stock_rnn.curvature import _backend  # noqa: F401  First: it checks the Keras backend.

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
