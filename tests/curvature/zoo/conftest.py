"""At the end of a run of the whole zoo, its table."""

import pytest

from tests.curvature.zoo.table import of_run


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    rows = [value for r in reports for name, value in r.user_properties if name == "zoo"]
    if any(row["outside of the sample"] for row in rows):
        terminalreporter.section("the zoo")
        for line in of_run(rows):
            terminalreporter.line(line)
