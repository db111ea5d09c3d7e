"""curl_cffi's HTTP client, bound to the libcurl that it brings.

TensorFlow contains another libcurl, whose symbols the whole process sees. If
curl_cffi is loaded after TensorFlow, it calls that one and fails: "Impersonating
chrome is not supported". Import this module before anything that imports
curl_cffi, such as yfinance.
"""

import os
import sys

_flags = sys.getdlopenflags()
# glibc's flag to look up a library's own symbols first, as other systems do anyway.
sys.setdlopenflags(_flags | getattr(os, "RTLD_DEEPBIND", 0))
try:
    from curl_cffi import requests
finally:
    sys.setdlopenflags(_flags)

__all__ = ["requests"]
