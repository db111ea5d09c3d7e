"""Samples of cases: `make test` runs them, `make zoo` runs all cases."""

import pytest


def sampled(cases, sample, name=None):
    """All cases as parameters; those that are not in the sample run in `make zoo` only.

    A case of several parameters is a tuple. `name` makes a case's id.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if case in sample else pytest.mark.zoo,
            id=name and name(case),
        )
        for case in cases
    ]
