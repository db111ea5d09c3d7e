import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.prices.csv_candidates import Mismatch
from stock_rnn.prices.csv_numbers import MISSING, currencies, parse_numbers

# Cell -> its number under a decimal point, and under a decimal comma; None: no number.
CASES = {
    "1": (1, 1),
    "1234": (1234, 1234),
    "1.5": (1.5, None),
    "1,5": (None, 1.5),
    "1.": (1, None),
    ".5": (0.5, None),
    ",5": (None, 0.5),
    "1.234": (1.234, 1234),
    "1,234": (1234, 1.234),
    "1.234.567": (None, 1234567),
    "1,234,567": (1234567, None),
    "1,234.5": (1234.5, None),
    "1.234,5": (None, 1234.5),
    "1234.567": (1234.567, None),
    "0.123": (0.123, None),
    "0,123": (None, 0.123),
    "12,34": (None, 12.34),
    "12,3456": (None, 12.3456),
    "1,2345.6": (None, None),
    "1,234,56": (None, None),
    "1 234.5": (1234.5, None),
    "1\u00a0234,5": (None, 1234.5),
    "1\u202f234": (1234, 1234),
    "1'234.5": (1234.5, None),
    "1\u2019234.5": (1234.5, None),
    "1'234,567": (None, 1234.567),
    "1'234 567": (None, None),
    "$5": (5, 5),
    "$ 5": (5, 5),
    "$1,234.50": (1234.5, None),
    "1.234,50 €": (None, 1234.5),
    "-$5": (-5, -5),
    "5e2": (500, 500),
    "15e-1": (1.5, 1.5),
    "1e999": (math.inf, math.inf),
    "inf": (math.inf, math.inf),
    "-Infinity": (-math.inf, -math.inf),
    "1.2.3": (None, None),
    "1,2,3": (None, None),
    "--5": (None, None),
    "5%": (None, None),
    "5 USD": (None, None),
    "1_000": (None, None),
    "0x10": (None, None),
    "TRUE": (None, None),
    "=1+1": (None, None),
    "$": (None, None),
    ".": (None, None),
    "١٢": (None, None),
    "1\n2": (None, None),
}


def parsed(cell, decimal):
    try:
        # Beside plain numbers too, for which there is a shorter way.
        (value, *rest) = parse_numbers([cell, "7", "8"], decimal)
    except Mismatch:
        return None
    assert rest == [7, 8]
    return value


@pytest.mark.parametrize("cell", CASES)
def test_a_number_under_either_decimal_sign(cell):
    assert (parsed(cell, "point"), parsed(cell, "comma")) == CASES[cell]


@pytest.mark.parametrize("decimal", ["point", "comma"])
def test_missing_numbers_are_nan(decimal):
    assert np.isnan(parse_numbers(list(MISSING), decimal)).all()


def test_a_mismatch_names_its_row():
    with pytest.raises(Mismatch) as mismatch:
        parse_numbers(["1", "2.5", "", "x", "y"], "point")
    assert mismatch.value.row == 3


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_what_python_writes_is_read_back_exactly(numbers):
    assert parse_numbers([repr(n) for n in numbers], "point").tolist() == numbers
    commas = [repr(n).replace(".", ",") for n in numbers]
    assert parse_numbers(commas, "comma").tolist() == numbers


@given(st.integers(0, 10**12))
def test_what_python_groups_is_read_back(cents):
    text = f"{cents / 100:,.2f}"
    swapped = text.translate(str.maketrans(",.", ".,"))
    assert parse_numbers([text], "point") == float(text.replace(",", ""))
    assert parse_numbers([swapped], "comma") == float(text.replace(",", ""))


def test_currency_signs_are_found():
    assert currencies(["$5", "6", "7 €"]) == {"$", "€"}
