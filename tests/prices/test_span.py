from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.errors import UserError
from stock_rnn.prices import PERIODS
from stock_rnn.prices.span import Days, months_before, parse_span

DAYS = st.dates(date(1700, 1, 1), date(2200, 12, 31))


@given(day=DAYS, months=st.integers(0, 120))
def test_months_count_back_as_pandas_counts_them(day, months):
    assert months_before(day, months) == (pd.Timestamp(day) - pd.DateOffset(months=months)).date()


def test_months_stop_at_the_first_date_of_python():
    assert months_before(date(5, 3, 1), 120) == date.min


@pytest.mark.parametrize(
    ("period", "days"),
    [
        ("1d", Days(None, date(2020, 2, 29), 1)),
        ("5d", Days(None, date(2020, 2, 29), 5)),
        ("1mo", Days(date(2020, 1, 29), date(2020, 2, 29))),
        ("3mo", Days(date(2019, 11, 29), date(2020, 2, 29))),
        ("6mo", Days(date(2019, 8, 29), date(2020, 2, 29))),
        ("1y", Days(date(2019, 2, 28), date(2020, 2, 29))),
        ("2y", Days(date(2018, 2, 28), date(2020, 2, 29))),
        ("5y", Days(date(2015, 2, 28), date(2020, 2, 29))),
        ("10y", Days(date(2010, 2, 28), date(2020, 2, 29))),
        ("ytd", Days(date(2020, 1, 1), date(2020, 2, 29))),
        ("max", Days(None, date(2020, 2, 29))),
    ],
)
def test_a_period_counts_back_from_the_last_day(period, days):
    assert parse_span(period).days(date(2020, 2, 29)) == days
    assert period in PERIODS


def test_a_start_or_an_end_overrides_the_period():
    last = date(2020, 2, 29)
    assert parse_span("1mo", start="2015-04-01").days(last) == Days(date(2015, 4, 1), None)
    assert parse_span("1mo", end=date(2016, 1, 1)).days(last) == Days(None, date(2016, 1, 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"period": "7y"}, ["1d, 5d, 1mo", "period='7y'"]),
        ({"period": ""}, ["must be one of"]),
        ({"start": "01/04/2015"}, ["start", "2015-04-01", "'01/04/2015'"]),
        ({"end": "2015-02-30"}, ["end", "'2015-02-30'"]),
        ({"end": 2015}, ["end=2015"]),
        ({"start": "2016-01-02", "end": "2016-01-01"}, ["start=2016-01-02", "end=2016-01-01"]),
    ],
)
def test_an_impossible_span_is_refused_in_one_line(arguments, words):
    with pytest.raises(UserError) as refusal:
        parse_span(**arguments)
    message = str(refusal.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_span_may_be_one_day():
    assert parse_span(start="2016-01-01", end="2016-01-01").start == date(2016, 1, 1)
