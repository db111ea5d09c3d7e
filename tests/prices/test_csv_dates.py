from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.prices.csv_candidates import Mismatch
from stock_rnn.prices.csv_dates import (
    DATE_FORMATS,
    ISO,
    TIME_FORMATS,
    date_formats,
    one_clock,
    parse_dates,
)

SECONDS, MILLISECONDS = "seconds since 1970", "milliseconds since 1970"

# Cell -> what it is in each format that fits it.
CASES = {
    "2021-01-04": {ISO: "2021-01-04T00:00:00"},
    "20210104": {ISO: "2021-01-04T00:00:00"},
    "2021/01/04": {ISO: "2021-01-04T00:00:00"},
    "2021-01-04 16:00:00": {ISO: "2021-01-04T16:00:00"},
    "2021-01-04T16:00": {ISO: "2021-01-04T16:00:00"},
    "20210104 160000": {"%Y%m%d %H%M%S": "2021-01-04T16:00:00"},
    "01/04/2021": {"%m/%d/%Y": "2021-01-04T00:00:00", "%d/%m/%Y": "2021-04-01T00:00:00"},
    "1/4/2021": {"%m/%d/%Y": "2021-01-04T00:00:00", "%d/%m/%Y": "2021-04-01T00:00:00"},
    "01/14/2021": {"%m/%d/%Y": "2021-01-14T00:00:00"},
    "14/01/2021": {"%d/%m/%Y": "2021-01-14T00:00:00"},
    "01/14/2021 16:00:00": {"%m/%d/%Y %H:%M:%S": "2021-01-14T16:00:00"},
    "1/14/2021 9:30": {"%m/%d/%Y %H:%M": "2021-01-14T09:30:00"},
    "1/14/2021 4:00:00 PM": {"%m/%d/%Y %I:%M:%S %p": "2021-01-14T16:00:00"},
    "1/14/2021 4:00 pm": {"%m/%d/%Y %I:%M %p": "2021-01-14T16:00:00"},
    "04.01.2021": {"%d.%m.%Y": "2021-01-04T00:00:00"},
    "04.01.2021 17:35": {"%d.%m.%Y %H:%M": "2021-01-04T17:35:00"},
    "2021.01.04": {"%Y.%m.%d": "2021-01-04T00:00:00"},
    "Jan 4, 2021": {"%b %d, %Y": "2021-01-04T00:00:00"},
    "Jan 4, 2021 16:00": {"%b %d, %Y %H:%M": "2021-01-04T16:00:00"},
    "January 4, 2021": {"%B %d, %Y": "2021-01-04T00:00:00"},
    "4 Jan 2021": {"%d %b %Y": "2021-01-04T00:00:00"},
    "04-Jan-2021": {"%d-%b-%Y": "2021-01-04T00:00:00"},
    "1609718400": {SECONDS: "2021-01-04T00:00:00"},
    "1609718400.0": {SECONDS: "2021-01-04T00:00:00"},
    "-252322200": {SECONDS: "1962-01-02T14:30:00"},
    "1609718400999": {MILLISECONDS: "2021-01-04T00:00:00"},
    "9999999999": {},
    "-9999999999": {},
    "soon": {},
    "today": {},
    "now": {},
    "2021": {},
    "2021-01": {},
    "2021-02-30": {},
    "2021-13-01": {},
    "04.01.21": {},
    "1/4/21": {},
    "44200": {},
    "12345678": {},
    "2021-01-04 16:00 EST": {},
    "1/14/2021 25:00": {},
    "": {},
}


def readings(cell):
    read = {}
    for form in date_formats(cell):
        try:
            (local, _) = parse_dates([cell], form)
        except Mismatch:
            continue
        read[form] = str(local[0])
    return read


@pytest.mark.parametrize("cell", CASES)
def test_a_date_in_every_format_that_fits_it(cell):
    assert readings(cell) == CASES[cell]


@given(
    moment=st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    day=st.sampled_from(DATE_FORMATS),
    time=st.sampled_from(TIME_FORMATS),
)
def test_every_format_is_read_as_python_reads_it(moment, day, time):
    text = moment.strftime(day + time)
    expected = moment.strptime(text, day + time)
    assert day + time in date_formats(text)
    assert parse_dates([text, text], day + time)[0].tolist() == [expected, expected]


@pytest.mark.parametrize(
    ("zone", "hours"),
    [("Z", 0), (" UTC", 0), (" GMT", 0), ("-05:00", 5), ("+0530", -5.5), ("+02", -2)],
)
def test_a_zone_is_cut_off_and_gives_utc(zone, hours):
    (local, utc) = parse_dates([f"2021-01-04 16:00:00{zone}"], ISO)
    assert str(local[0]) == "2021-01-04T16:00:00"
    assert utc[0] - local[0] == np.timedelta64(int(hours * 3600), "s")


def test_without_a_zone_utc_is_not_known():
    assert np.isnat(parse_dates(["2021-01-04 16:00:00"], ISO)[1]).all()
    assert np.isnat(parse_dates(["01/14/2021"], "%m/%d/%Y")[1]).all()


def test_rows_with_and_without_a_zone_are_in_local_time():
    local, utc = parse_dates(["2021-01-04 16:00:00-05:00", "2021-01-05 16:00:00"], ISO)
    assert local.astype(str).tolist() == ["2021-01-04T16:00:00", "2021-01-05T16:00:00"]
    assert one_clock(local, utc)[0] is local


def test_a_mismatch_names_its_row():
    for cells, form in (
        (["2021-01-04", "2021-01-05", "x"], ISO),
        (["2021-01-04 16:00:00-05:00", "2021-07-05 16:00:00-04:00", "x"], ISO),
        (["01/14/2021 16:00", "01/14/2021 9:00", "01/14/2021"], "%m/%d/%Y %H:%M"),
        (["1609718400", "1609718401", "5000000000"], SECONDS),
        (["1609718400", "1609718401", "x"], SECONDS),
    ):
        with pytest.raises(Mismatch) as mismatch:
            parse_dates(cells, form)
        assert mismatch.value.row == 2


def moments(*texts):
    return np.array(texts, "datetime64[s]")


def test_local_time_stays_where_it_goes_forward():
    local, utc = moments("2020-07-01", "2020-12-01"), moments("2020-07-01T04", "2020-12-01T05")
    for order in ([0, 1], [1, 0]):
        assert one_clock(local[order], utc[order])[0].tolist() == local[order].tolist()


def test_one_row_said_twice_is_no_clock_set_back():
    local, utc = moments("2020-07-01", "2020-07-01"), moments("2020-07-01T04", "2020-07-01T04")
    dates, is_utc = one_clock(local, utc)
    assert not is_utc
    assert dates is local


def test_local_time_stays_where_one_row_has_no_zone():
    local = moments("2020-11-01T01:45", "2020-11-01T01:15", "2020-11-02")
    utc = moments("2020-11-01T05:45", "2020-11-01T06:15", "NaT")
    assert one_clock(local, utc)[0] is local


def test_utc_is_taken_where_local_time_goes_back():
    local = moments("2020-11-01T01:45", "2020-11-01T01:15")
    utc = moments("2020-11-01T05:45", "2020-11-01T06:15")
    for order in ([0, 1], [1, 0]):
        dates, is_utc = one_clock(local[order], utc[order])
        assert is_utc
        assert dates.tolist() == utc[order].tolist()
