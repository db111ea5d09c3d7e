"""curl_cffi's HTTP client, bound to the libcurl that it brings.

TensorFlow has a libcurl of its own and offers its symbols to the whole process.
A curl_cffi that is loaded after TensorFlow calls that one, which cannot speak
like a browser ("Impersonating chrome is not supported"). So this module is to be
imported before anything else imports curl_cffi, yfinance included.
"""

import os
import sys

_flags = sys.getdlopenflags()
# glibc's flag for "its own symbols first"; other systems bind like that anyway.
sys.setdlopenflags(_flags | getattr(os, "RTLD_DEEPBIND", 0))
try:
    from curl_cffi import requests
finally:
    sys.setdlopenflags(_flags)

__all__ = ["requests"]
