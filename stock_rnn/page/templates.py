"""The templates of pages."""

from __future__ import annotations

import jinja2


def environment(*packages: str) -> jinja2.Environment:
    """Templates of this package, `base.html` among them, and of others; all text is escaped.

    Args:
        packages: names of packages in whose folders further templates are.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, ".") for package in ("stock_rnn.page", *packages)]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
