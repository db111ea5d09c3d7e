import numpy as np
import pytest

from stock_rnn.prices.csv_candidates import (
    AmbiguousFormatError,
    Candidates,
    Mismatch,
    NoFormatError,
)


def parse_integers(cells, base):
    """Integers of a base, as two columns one after the other."""
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(float(int(cell, int(base))))
        except ValueError:
            raise Mismatch(row) from None
    return np.array(values).reshape(2, -1)


def test_the_format_that_fits_all_chunks_is_left():
    candidates = Candidates(["2", "10"], parse_integers)
    candidates.add(["1", "0", "10", "11"], np.array([2, 3]))
    candidates.add(["7", "8"], np.array([5]))
    form, values = candidates.result(np.array([2, 3, 5]))
    assert form == "10"
    assert values.tolist() == [[1, 0, 7], [10, 11, 8]]


def test_formats_that_agree_are_no_ambiguity():
    candidates = Candidates(["10", "16"], parse_integers)
    candidates.add(["1", "2"], np.array([2]))
    assert candidates.result(np.array([2]))[0] == "10"


def test_an_ambiguity_names_the_first_line_that_differs_in_any_column():
    candidates = Candidates(["10", "16"], parse_integers)
    candidates.add(["1", "1", "10", "1", "10", "1"], np.array([2, 3, 5]))
    with pytest.raises(AmbiguousFormatError) as error:
        candidates.result(np.array([2, 3, 5]))
    assert (error.value.one, error.value.other, error.value.line) == ("10", "16", 3)


def test_no_format_names_the_cell_that_rejected_each():
    candidates = Candidates(["2", "10"], parse_integers)
    candidates.add(["1", "0", "1", "5"], np.array([2, 3]))
    with pytest.raises(NoFormatError) as error:
        candidates.add(["x", "8"], np.array([5]))
    rejections = [(r.form, r.line, r.cell) for r in error.value.rejections]
    assert rejections == [("2", 3, "5"), ("10", 5, "x")]
