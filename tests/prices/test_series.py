import hashlib
import re
import struct
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.errors import UserError
from stock_rnn.prices import Prices
from stock_rnn.prices.series import RawPrices, select, shown
from stock_rnn.prices.span import Span

EVERYTHING = Span(period="max")


def days(*texts):
    return np.array(texts, dtype="datetime64[s]")


def raw(dates, close, **others):
    dates = np.asarray(dates, dtype="datetime64[s]")
    last = dates.max().item().date() if len(dates) else date(2020, 1, 1)
    return RawPrices("X", "csv", "x.csv", last, dates, np.asarray(close, float), **others)


@given(
    rows=st.dictionaries(
        st.dates(date(1900, 1, 1), date(2100, 1, 1)),
        st.floats(1e-6, 1e9) | st.just(float("nan")),
        min_size=1,
    ),
    data=st.data(),
)
def test_unsorted_and_repeated_rows_come_out_sorted_and_once(rows, data):
    some = data.draw(st.lists(st.sampled_from(sorted(rows))))
    order = data.draw(st.permutations(list(rows) + some))
    known = sorted(day for day in rows if not np.isnan(rows[day]))
    source = raw(order, [rows[day] for day in order])
    if not known:
        with pytest.raises(UserError, match="lacks its price"):
            select(source, EVERYTHING)
        return
    prices = select(source, EVERYTHING)
    assert [moment.item().date() for moment in prices.dates] == known
    assert prices.close.tolist() == [rows[day] for day in known]
    assert prices.dropped == len(order) - sum(day in set(known) for day in order)


def test_both_ends_of_a_span_are_inclusive_to_the_last_second():
    dates = days("2020-01-01T23:59:59", "2020-01-02", "2020-01-03T23:59:59", "2020-01-04")
    span = Span(date(2020, 1, 2), date(2020, 1, 3))
    assert select(raw(dates, [1, 2, 3, 4]), span).close.tolist() == [2, 3]


def test_five_days_are_five_days_with_prices():
    dates = days(*(f"2020-01-{day:02}" for day in (2, 3, 6, 7, 8, 9, 10)))
    source = raw(dates, [1, 2, 3, 4, 5, np.nan, 7])
    assert select(source, Span(period="5d")).close.tolist() == [2, 3, 4, 5, 7]
    assert select(source, Span(period="1d")).close.tolist() == [7]


def test_a_span_without_prices_names_the_span_there_is():
    source = raw(days("2020-01-02", "2020-01-07"), [1, 2])
    with pytest.raises(UserError, match=r"2020-01-03 to 2020-01-06.*from 2020-01-02 to 2020-01-07"):
        select(source, Span(date(2020, 1, 3), date(2020, 1, 6)))


@pytest.mark.parametrize("bad", [0.0, -1.5, float("inf"), float("-inf")])
def test_a_price_that_is_not_positive_is_an_error_with_row_and_date(bad):
    source = raw(days("2020-01-02", "2020-01-03"), [1, bad])
    with pytest.raises(UserError, match=rf"^x.csv, row 2: .*2020-01-03.* Received: {bad}$"):
        select(source, EVERYTHING)
    lines = raw(days("2020-01-02", "2020-01-03"), [1, bad], lines=np.array([7, 9]))
    with pytest.raises(UserError, match=r"^x.csv, line 9: "):
        select(lines, EVERYTHING)


def test_opening_prices_are_checked_only_if_they_are_needed():
    source = raw(days("2020-01-02", "2020-01-03"), [1, 2], open=np.array([0.0, 2.5]))
    assert select(source, EVERYTHING).open is None
    with pytest.raises(UserError, match="opening price of 2020-01-02"):
        select(source, EVERYTHING, need_open=True)
    later = select(source, Span(start=date(2020, 1, 3)), need_open=True)
    assert later.open is not None
    assert later.open.tolist() == [2.5]
    with pytest.raises(UserError, match="no opening prices"):
        select(raw(days("2020-01-02"), [1]), EVERYTHING, need_open=True)


def test_a_row_needs_both_prices_when_the_opening_one_is_needed():
    source = raw(days("2020-01-02", "2020-01-03"), [1, 2], open=np.array([np.nan, 2.5]))
    prices = select(source, EVERYTHING, need_open=True)
    assert (len(prices), prices.dropped) == (1, 1)


def test_a_date_with_two_prices_is_an_error_that_names_both_rows():
    source = raw(days("2020-01-03", "2020-01-02", "2020-01-03"), [1, 2, 3])
    with pytest.raises(UserError, match=r"2020-01-03 .* row 1 and row 3.* 1.0 and 3.0"):
        select(source, EVERYTHING)


def test_the_log_counts_what_was_dropped_and_sorted(caplog):
    source = raw(
        days("2020-01-03", "2020-01-02", "2020-01-02", "2020-01-04"), [1, 2, 2, float("nan")]
    )
    select(source, EVERYTHING)
    assert "dropped 1 of 4 rows without a price" in caplog.text
    assert "1 rows were older" in caplog.text
    assert "dropped 1 rows that repeat" in caplog.text


def test_a_span_longer_than_the_source_is_a_warning(caplog):
    source = raw(days("2020-01-02", "2020-01-03"), [1, 2])
    select(source, Span(date(2020, 1, 1), date(2020, 1, 5)))
    assert "asked for" not in caplog.text
    select(source, Span(date(2019, 1, 1), date(2020, 1, 5)))
    assert "asked for 2019-01-01 to 2020-01-05, has only 2020-01-02 to 2020-01-03" in caplog.text


@pytest.mark.parametrize(
    ("close", "words"),
    [
        ([500, 500, 25, 25], "line 4: implausible jump on 2020-01-03 by a factor of 20, from 500"),
        (
            [1, 100, 1, 1],
            "line 3: .*2020-01-02 by a factor of 100, from 1 to 100 .the largest of 2.",
        ),
        ([10, 19, 19, 19], "line 3: .* by a factor of 1.9, from 10 to 19; check for a split"),
        ([1e-300, 1e300, 1e300, 1e300], "by a factor of inf"),
    ],
)
def test_an_implausible_jump_is_warned_of_by_date_and_size(caplog, close, words):
    dates = days(*(f"2020-01-0{day}" for day in (1, 2, 3, 4)))
    select(raw(dates, close, lines=np.array([2, 3, 4, 5])), EVERYTHING)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert re.search(words, warning)


def test_plausible_prices_are_not_warned_of(caplog):
    dates = days(*(f"2020-01-0{day}" for day in (1, 2, 3, 4)))
    select(raw(dates, [10, 18.9, 10, 10], open=np.array([1, 1, 99, 99])), EVERYTHING)
    assert "jump" not in caplog.text


def test_a_jump_is_looked_for_where_prices_are_sorted_and_in_the_span(caplog):
    dates = days("2020-01-03", "2020-01-02", "2020-01-01")
    select(raw(dates, [1, 1, 50]), Span(start=date(2020, 1, 2)))
    assert "jump" not in caplog.text
    select(raw(dates, [1, 1, 50]), EVERYTHING)
    assert "row 2: implausible jump on 2020-01-02 by a factor of 50, from 50 to 1" in caplog.text


def test_a_jump_between_open_and_close_is_warned_of(caplog):
    source = raw(days("2020-01-02", "2020-01-03"), [1, 1], open=np.array([1.0, 100]))
    select(source, EVERYTHING, need_open=True)
    assert "row 2: implausible jump on 2020-01-03 by a factor of 100, from 1 to 100" in caplog.text


def test_a_period_says_what_it_leaves_of_a_file(caplog):
    source = raw(days("2010-01-04", "2019-01-02", "2020-01-02"), [1, 1, 1])
    select(source, Span(period="5y"))
    assert "2 of its 3 rows are in the period 5y; --period max takes all" in caplog.text
    caplog.clear()
    select(source, EVERYTHING)
    select(source, Span(start=date(2019, 1, 1)))
    select(raw(days("2019-01-02", "2020-01-02"), [1, 1]), Span(period="5y"))
    assert "--period max" not in caplog.text


def test_the_digest_is_that_of_little_endian_seconds_closes_and_opens():
    prices = Prices("X", "csv", days("1970-01-02", "1970-01-03"), np.array([1.5, 2.5]))
    content = struct.pack("<qqdd", 86400, 172800, 1.5, 2.5)
    assert prices.sha256 == hashlib.sha256(content).hexdigest()
    other = Prices("Y", "yahoo", prices.dates.astype(">M8[s]"), prices.close.astype(">f8"))
    assert other.sha256 == prices.sha256
    opened = Prices("X", "csv", prices.dates, prices.close, np.array([1.0, 2.0]))
    content += struct.pack("<dd", 1.0, 2.0)
    assert opened.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("dates", "close", "opening"),
    [
        (days("2020-01-02", "2020-01-02"), [1.0, 2.0], None),
        (days("2020-01-03", "2020-01-02"), [1.0, 2.0], None),
        (days("2020-01-02", "NaT"), [1.0, 2.0], None),
        (days("2020-01-02"), [1.0, 2.0], None),
        (days("2020-01-02"), [0.0], None),
        (days("2020-01-02"), [float("nan")], None),
        (days("2020-01-02"), [1.0], [float("inf")]),
    ],
)
def test_prices_are_checked_when_they_are_made(dates, close, opening):
    with pytest.raises(ValueError, match=r"must|shape"):
        Prices("X", "csv", dates, np.array(close), None if opening is None else np.array(opening))


def test_the_arrays_of_prices_are_read_only():
    prices = Prices("X", "csv", days("2020-01-02"), np.array([1.0]), np.array([2.0]))
    for array in (prices.dates, prices.close, prices.open):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]


def test_prices_do_not_share_the_callers_arrays():
    dates, close, opening = days("2020-01-02"), np.array([1.0]), np.array([2.0])
    prices = Prices("X", "csv", dates, close, opening)
    before = prices.sha256
    dates[0], close[0], opening[0] = dates[0] + 1, 3.0, 4.0
    assert (prices.dates[0], prices.close[0], prices.open[0]) == (days("2020-01-02")[0], 1.0, 2.0)
    assert prices.sha256 == before


def test_a_description_is_one_line():
    prices = Prices("^GSPC\n", "csv", days("2020-01-02", "2020-01-03T09:30"), np.ones(2), None, 3)
    assert prices.describe() == (
        r"^GSPC\n (csv): 2 prices, 2020-01-02 to 2020-01-03T09:30:00, "
        "3 rows dropped for a missing price"
    )


@given(st.text(st.characters()) | st.text("\r\n\x00\x1b\u2028\ud800"))
def test_shown_text_is_one_printable_line(text):
    line = shown(text)
    assert line.isprintable()
    assert len(line) <= 80
