"""How time grows with size: the exponents that are printed, and the picture."""

import pytest

pytest.importorskip("psutil")

from benchmarks import growth
from benchmarks._frame import Load, Results


def test_the_exponent_is_that_of_the_last_two_sizes(capsys):
    def rows(seconds):
        return [{"seconds": seconds, "mebibytes": 1.0, "parameters": 1.0}]

    growth._print("units", "product", {"32": rows(1.0), "128": rows(16.0), "512": rows(64.0)})
    lines = capsys.readouterr().out.splitlines()
    exponents = [line.split()[3] for line in lines[-2:]]
    assert exponents == ["2.00", "1.00"]


def test_the_picture_shows_every_axis(tmp_path):
    results = Results()
    for name, axis in growth.AXES.items():
        for quantity, sizes in axis.sizes.items():
            for size in sizes:
                case, seconds = f"{size} {name}", [size * 1e-6, size * 2e-6]
                results.add(
                    "growth", case, quantity, f"{quantity} seconds", "s", seconds, Load(0.0)
                )
    growth.draw(results, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 100


@pytest.mark.parametrize("words", [("windows", "epoch", "1000"), ("parameters", "ends", "10000")])
def test_a_small_case_is_measured(words):
    found = growth.grow(*words)
    assert found["seconds"] > 0
    assert found["parameters"] == {"windows": 4385, "parameters": 100**2 + 2 * 100 + 1}[words[0]]
