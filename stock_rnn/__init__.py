"""LSTMs on stock prices, with the curvature of the loss beside every epoch.

    >>> import stock_rnn
    >>> forecaster = stock_rnn.load_run("default")   # doctest: +SKIP
    >>> forecaster.predict(prices)                   # doctest: +SKIP

Names are imported when they are first used: most of them need TensorFlow. The file
`__init__.pyi` says where each name is.
"""

import lazy_loader

__version__ = "0.2.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
