"""Daily prices: where they come from, and the checks that all of them pass.

`load_prices` is the way in; it returns a checked, immutable `Prices`. Nothing
here imports TensorFlow, and each source's library is imported only when that
source is read. Names are imported when they are first used: the configuration
needs those of the sources and no NumPy.
The file `__init__.pyi` says where each name is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
