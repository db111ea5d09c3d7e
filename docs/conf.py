"""The site's configuration, as Sphinx reads it. `make docs` builds it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# For `site_extension`, and for the tutorial's kernel.
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
# TensorFlow logs what no reader needs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from stock_rnn import __version__  # noqa: E402  The path above comes first.

project = "stock_rnn"
author = copyright = "the stock_rnn developers"
release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "site_extension",
]
exclude_patterns = ["reference/.*"]

# Pages
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # A page may begin with a table's heading.

# The tutorial
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove"

# The reference
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Array", "Indices", "MatvecRoutine")}
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
add_module_names = False

# Looks
html_theme = "furo"
html_title = "stock_rnn"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
