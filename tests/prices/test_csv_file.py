import csv
import io
import os
import subprocess
import sys
import time
import tracemalloc
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stock_rnn.errors import UserError
from stock_rnn.prices import csv_file, csv_lines, csv_text, load_prices
from stock_rnn.prices.csv_file import read_csv
from stock_rnn.prices.csv_numbers import MISSING

YAHOO = """Date,Open,High,Low,Close,Adj Close,Volume
2020-01-02,1.1,2.1,0.9,1.5,101.5,10
2020-01-03,1.2,2.2,1.0,1.625,101.6,20
2020-01-06,null,null,null,null,null,null
2020-01-07,1.3,2.3,1.1,1.75,101.7,30
"""


@pytest.fixture
def write(tmp_path):
    def write(content, name="x.csv"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


def rows_of(raw):
    return [
        (str(moment).removesuffix("T00:00:00"), None if np.isnan(price) else price)
        for moment, price in zip(raw.dates, raw.close.tolist(), strict=True)
    ]


def refusal_of(file, **options):
    with pytest.raises(UserError) as refusal:
        load_prices("X", csv=file, period="max", **options)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 600
    assert os.path.basename(file) in message
    return message


def test_the_null_rows_of_yahoos_download_are_dropped_and_counted(write, caplog):
    prices = load_prices("X", csv=write(YAHOO), period="max", need_open=True)
    assert prices.close.tolist() == [1.5, 1.625, 1.75]
    assert prices.open.tolist() == [1.1, 1.2, 1.3]
    assert prices.dropped == 1
    assert prices.dates.astype(str).tolist()[-1] == "2020-01-07T00:00:00"
    assert "dropped 1 of 4 rows" in caplog.text


TWO_ROWS = [("2020-01-02", 1.5), ("2020-01-03", 2.5)]


@pytest.mark.parametrize(
    "text",
    [
        "date,close\n2020-01-02,1.5\n2020-01-03,2.5\n",
        "CLOSE,Adj Close,DATE\n1.5,9,2020-01-02\n2.5,9,2020-01-03\n",
        "Adj Close,Close,Date\n9,1.5,2020-01-02\n9,2.5,2020-01-03",
        "Date,Adj Close**,Close*\n2020-01-02,9,1.5\n2020-01-03,9,2.5\n",
        "\ufeffDate,Close\n2020-01-02,1.5\n2020-01-03,2.5\n",
        "\ufeff\n\nDate,Close\n\n2020-01-02,1.5\n   \n2020-01-03,2.5\n\n\n",
        "Date,Close\r\n2020-01-02,1.5\r\n2020-01-03,2.5\r\n",
        "Date , Close\n 2020-01-02 , 1.5\n2020-01-03,2.5 \n",
        '"Date","Close"\n"2020-01-02","1.5"\n"2020-01-03","2.5"\n',
        'Date,Name,Close\n2020-01-02,"a,b",1.5\n2020-01-03,"c ""d""",2.5\n',
        "Date;Close\n2020-01-02;1.5\n2020-01-03;2.5\n",
        "Date;Close\n2020-01-02;1,5\n2020-01-03;2,5\n",
        "Date\tClose\n2020-01-02\t1.5\n2020-01-03\t2.5\n",
        "Date|Close\n2020-01-02|1.5\n2020-01-03|2.5\n",
        "Date,Close\n2020-01-02,1.5\n2020-01-03,2.5\n,\n,\n",
        "Date,Close\n2020-01-02,15e-1\n2020-01-03,+2.5\n",
        "Date,Close\n20200102,1.5\n20200103,2.5\n",
        "Date,Close\n2020/01/02,1.5\n2020/01/03,2.5\n",
        "Date,Close\n02.01.2020,1.5\n03.01.2020,2.5\n",
        'Date,Close\n"Jan 2, 2020",1.5\n"Jan 3, 2020",2.5\n',
        'Date,Close\n"January 02, 2020",1.5\n"January 03, 2020",2.5\n',
        "Date,Close\n2 Jan 2020,1.5\n3 Jan 2020,2.5\n",
        "Date,Close\n02-Jan-2020,1.5\n03-Jan-2020,2.5\n",
        "Date,Close\n2020-01-02 00:00:00-05:00,1.5\n2020-01-03 00:00:00-05:00,2.5\n",
        "Date,Close\n2020-01-02T00:00:00Z,1.5\n2020-01-03T00:00:00Z,2.5\n",
        "Datetime,Close\n2020-01-02 00:00:00,1.5\n2020-01-03 00:00:00,2.5\n",
        "Timestamp,Close Price\n2020-01-02,1.5\n2020-01-03,2.5\n",
    ],
)
def test_many_spellings_of_one_table_are_one_table(write, text):
    assert rows_of(read_csv(write(text))) == TWO_ROWS


def test_summer_and_winter_time_keep_their_local_days(write):
    text = "Date,Close\n2020-01-02 00:00:00-05:00,1.5\n2020-07-02 00:00:00-04:00,2.5\n"
    assert rows_of(read_csv(write(text))) == [("2020-01-02", 1.5), ("2020-07-02", 2.5)]


def test_thousands_may_be_grouped_in_quotes(write):
    text = (
        'Date,Close\n2020-01-02,"1,234.5"\n2020-01-03,"1,234,567"\n2020-01-06,null\n2020-01-07,5\n'
    )
    assert [price for _, price in rows_of(read_csv(write(text)))] == [1234.5, 1234567, None, 5]


@pytest.mark.parametrize("word", MISSING)
def test_every_word_for_missing_is_missing(write, word):
    text = f'Date,Close\n2020-01-02,{word}\n2020-01-03,"1,000"\n'
    assert rows_of(read_csv(write(text))) == [("2020-01-02", None), ("2020-01-03", 1000)]
    assert rows_of(read_csv(write(text.replace(",0", "0")))) == [
        ("2020-01-02", None),
        ("2020-01-03", 1000),
    ]


@pytest.mark.parametrize(
    ("rows", "days"),
    [
        ("01/02/2020,1\n12/31/2020,2\n", ["2020-01-02", "2020-12-31"]),
        ("01/02/2020,1\n31/12/2020,2\n", ["2020-02-01", "2020-12-31"]),
        ("05-05-2020,1\n06-06-2020,2\n", ["2020-05-05", "2020-06-06"]),
    ],
)
def test_one_row_decides_between_day_and_month_first(write, rows, days):
    assert [day for day, _ in rows_of(read_csv(write("Date,Close\n" + rows)))] == days


def test_dates_that_fit_day_and_month_first_are_refused(write):
    assert "fit both" in refusal_of(write("Date,Close\n01/02/2020,1\n03/04/2020,2\n"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"\n\n  \n", ["blank"]),
        (b"Date,Close\n", ["header but no rows"]),
        (b"Date,Close", ["header but no rows"]),
        (b"Date,Close\n,\n,\n", ["header but no rows"]),
        (b"Date,Open\n2020-01-02,1\n", ["line 1", "no close column", "Date,Open"]),
        (b"Date,Adj Close\n2020-01-02,1\n", ["no close column", "Adj Close"]),
        (b"Day,Close\n2020-01-02,1\n", ["line 1", "no date column"]),
        (b"2020-01-02,1\n2020-01-03,2\n", ["no date and no close column"]),
        (b"Date,Close,close\n2020-01-02,1,2\n", ["more than one close"]),
        (b"Date,Close\n2020-01-02,1\nsoon,2\n", ["line 3", "not a date", "soon"]),
        (b"Date,Close\nsoon,2\n", ["line 2", "not a date", "soon"]),
        (b"Date,Close\nnow,2\n", ["line 2", "not a date"]),
        (b"Date,Close\n2020-01-02,2\ntoday,2\n", ["line 3", "not a date"]),
        (b"Date,Close\n2018,2\n", ["line 2", "not a date"]),
        (b"Date,Close\n2020-01-02,2\n2018-12,2\n", ["line 3", "not a date"]),
        (b"Date,Close\n2020-13-02,2\n", ["line 2", "not a date"]),
        (b"Date,Close\n2020-01-02,2\n,3\n", ["line 3", "empty cell"]),
        (b"Date,Close\n2020-01-02,2\n03/01/2020,3\n", ["line 3", "another format"]),
        (b"Date,Close\n2020-01-02,abc\n", ["line 2", "not a number", "abc"]),
        (b"Date,Close\n2020-01-02,1\n\n2020-01-03,=1+1\n", ["line 4", "not a number", "=1+1"]),
        (b"Date,Close\n2020-01-02,TRUE\n", ["line 2", "not a number", "TRUE"]),
        (b"Date,Close\n2020-01-02,1_000\n", ["line 2", "not a number"]),
        (b"Date,Close\n2020-01-02,0x10\n", ["line 2", "not a number"]),
        ("Date,Close\n2020-01-02,١٢\n".encode(), ["line 2", "not a number"]),
        (b'Date,Close\n2020-01-02,"12,34"\n', ["line 2", "not a number", "12,34"]),
        (b"Date;Close\n2020-01-02;1,5\n2020-01-03;1.23\n", ["line 3", "decimal sign", "line 2"]),
        (b"Date;Close\n2020-01-02;1.23,5\n", ["line 2", "not a number"]),
        (b"Date,Close\n2020-01-02,1\n2020-01-03,0\n", ["line 3", "2020-01-03", "positive"]),
        (b"Date,Close\n2020-01-02,1\n2020-01-03,-2.5\n", ["line 3", "2020-01-03", "-2.5"]),
        (b"Date,Close\n2020-01-02,inf\n", ["line 2", "2020-01-02", "inf"]),
        (b"Date,Close\n2020-01-02,1e999\n", ["line 2", "inf"]),
        (b"Date,Close\n2020-01-02,null\n", ["lacks its price"]),
        (b"Date,Close\n2020-01-02,1\n\n2020-01-02,2\n", ["line 2 and line 4", "2020-01-02"]),
        (b"Date,Close,V\n2020-01-02,1,2\n2020-01-03,1", ["line 3", "only 2 of the 3", "cut off"]),
        (b"Date,Close,V\n2020-01-02\n2020-01-03,1,2\n", ["line 2", "only 1 of the 3", "cut off"]),
        (b"Date,Close\n2020-01-02,1,5\n", ["line 2", "3 fields", "quote"]),
        (b"Date,Close\n2020-01-02,1\n2020-01-03,1,234.5\n", ["line 3", "3 fields"]),
        (b'Date,Close\n2020-01-02,"1\n2020-01-03,2"\n', ["line 2", "quotation mark"]),
        (b"Date,Close\n2020-01-02,1\x00\n", ["line 2", "NUL"]),
        ("Date,Close\n2020-01-02,1\n".encode("utf-16-le"), ["line 1", "NUL"]),
        (b"Date,Close,Name\n2020-01-02,1,a\n2020-01-03,1,\x81\n", ["line 3", "UTF-8"]),
        (b"\x89PNG\r\n\x1a\n", ["line 1", "UTF-8"]),
        (b"Date,Close\r2020-01-02,1\r", ["line 1", "carriage"]),
        (b"Date,Close\n2020-01-02,1\r2020-01-03,1\n", ["line 2", "carriage"]),
        (b"Date,Close" + b",x" * 2000 + b"\n", ["more than 1000 columns"]),
        (b"Date,Close\n2020-01-02," + b"1" * 100_000 + b"\n", ["line 2", "65,536 bytes"]),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_says_where(write, content, words):
    message = refusal_of(write(content))
    for word in words:
        assert word in message


def test_a_path_that_is_no_regular_file_is_refused(tmp_path, write):
    assert "No such file" in refusal_of(tmp_path / "absent.csv")
    assert "folder" in refusal_of(tmp_path)
    assert "x.csv" in refusal_of(write(YAHOO) / "x.csv")
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    assert "not a regular file" in refusal_of(pipe)
    with pytest.raises(UserError, match="cannot be read"):
        load_prices("X", csv="a\0b.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(write):
    file = write(YAHOO)
    file.chmod(0)
    assert "Permission denied" in refusal_of(file)


def test_a_row_of_empty_cells_counts_as_a_line(write):
    text = 'Date\tClose\n"2020-01-02"\t1\n\t\n \n\r\n\f\t\n2020-01-03\tx\n'
    assert "line 7:" in refusal_of(write(text))


def test_a_file_without_opening_prices_is_refused_only_when_they_are_needed(write):
    file = write("Date,Close\n2020-01-02,1\n")
    assert len(load_prices("X", csv=file)) == 1
    assert "no open column" in refusal_of(file, need_open=True)


def test_a_bad_opening_price_is_called_so(write):
    text = "Date,Open,Close\n2020-01-02,1,1\n2020-01-03,x,1\n"
    assert "line 3: the open is not a number" in refusal_of(write(text), need_open=True)
    assert "line 2: the close is not" in refusal_of(write(text.replace("1,1", "1,x")))


def test_a_file_that_is_too_large_is_refused_unread(write, tmp_path):
    sparse = tmp_path / "sparse.csv"
    with sparse.open("wb") as file:
        file.truncate(csv_text.MAX_BYTES + 1)
    assert "too large" in refusal_of(sparse)


@pytest.mark.parametrize("start", [b"", b"Date,Close\n", b"Date,Close\n2020-01-02,1\n"])
def test_an_endless_line_is_refused_with_little_memory_and_time(tmp_path, start):
    endless = tmp_path / "endless.csv"
    endless.write_bytes(start + b"1" * 100_000_000)
    tracemalloc.start()
    began = time.process_time()
    assert "longer than" in refusal_of(endless)
    assert time.process_time() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_file_of_blank_lines_is_refused(write, monkeypatch):
    monkeypatch.setattr(csv_lines, "MAX_BLANK_LINES", 10)
    assert "blank lines" in refusal_of(write("Date,Close\n" + "\n" * 11 + "2020-01-02,1\n"))


def test_a_period_counts_back_from_the_last_day_of_the_file(write):
    text = "Date,Close\n2010-05-05,1\n2010-05-06,2\n2015-05-06,3\n"
    assert load_prices("X", csv=write(text)).close.tolist() == [2, 3]


# pandas 2 has no other years.
DAY = st.dates(date(1678, 1, 1), date(2261, 12, 31))
PRICE = st.floats(min_value=1e-300, max_value=1e300)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(DAY, st.none() | PRICE, st.text()), min_size=1),
    order=st.permutations(["date", "close", "noise"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    delimiter=st.sampled_from(",;\t|"),
    gaps=st.lists(st.integers(0, 3), min_size=1),
)
def test_what_python_writes_is_read_back_exactly_with_its_lines(
    tmp_path, rows, order, quoting, delimiter, gaps
):
    # Lines that end inside a field, and bytes that are no text, are refused elsewhere.
    lines, expected = [delimiter.join(order)], []
    for i, (day, price, noise) in enumerate(rows):
        lines += [" " * (i % 2)] * gaps[i % len(gaps)]
        out = io.StringIO()
        clean = "".join(c for c in noise if c not in "\r\n\0" and not "\ud800" <= c <= "\udfff")
        cells = {"date": day.isoformat(), "close": "" if price is None else price, "noise": clean}
        writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="")
        writer.writerow([cells[name] for name in order])
        lines.append(out.getvalue())
        expected.append((day.isoformat(), price, len(lines)))
    file = tmp_path / "x.csv"
    file.write_text("\n".join(lines), encoding="utf-8", newline="")
    raw = read_csv(file)
    read = [(day, price, line) for (day, price), line in zip(rows_of(raw), raw.lines, strict=True)]
    assert read == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    content=st.binary()
    | st.lists(
        st.sampled_from(
            [b"Date", b"Close", b"2020-01-02", b"1.5", b",", b";", b'"', b"\n", b"\r", b"null"]
        )
    ).map(b"".join)
    | st.binary().map(b"Date,Close\n2020-01-02,".__add__)
)
def test_any_bytes_are_prices_or_a_refusal(tmp_path, content):
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    try:
        outcome = load_prices("X", csv=file, period="max").describe()
    except UserError as refusal:
        outcome = str(refusal)
    assert outcome.isprintable()


def test_the_size_of_chunks_does_not_matter(write, monkeypatch):
    first = datetime(2000, 1, 1)
    rows = [(first + timedelta(minutes=i), 1 + i / 7) for i in range(1000)]
    text = "\n".join(["Date,Close", *(f"{moment},{price!r}\n" for moment, price in rows)])
    file = write(text)
    whole = read_csv(file)
    monkeypatch.setattr(csv_file, "FIRST_CHUNK_ROWS", 5)
    monkeypatch.setattr(csv_file, "CHUNK_ROWS", 7)
    monkeypatch.setattr(csv_lines, "_BLOCK_BYTES", 11)
    pieces = read_csv(file)
    assert pieces.close.tolist() == whole.close.tolist() == [price for _, price in rows]
    assert pieces.dates.tolist() == whole.dates.tolist() == [moment for moment, _ in rows]
    assert pieces.lines.tolist() == whole.lines.tolist() == list(range(2, 2002, 2))


@pytest.mark.parametrize(("longest", "rows"), [(30, 250_000), (1024, 32_768), (65_536, 1000)])
def test_chunks_of_long_lines_have_fewer_rows(longest, rows):
    assert csv_file.rows_in_a_chunk(longest) == rows


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_long_cells_take_little_memory(tmp_path):
    file = tmp_path / "padded.csv"
    file.write_text("Date,Close\n" + ("2020-01-02," + " " * 60_000 + "1\n") * 4000)
    program = (
        "import pathlib, sys, stock_rnn.prices.csv_file as c\n"
        "def most():\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    return int(status.split('VmHWM:')[1].split()[0])\n"
        "before = most()\n"
        "c.read_csv(sys.argv[1])\n"
        "print(most() - before)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, file], capture_output=True, text=True, check=True
    )
    # In kB; the file has 240,000.
    assert int(ran.stdout) < 120_000


def test_a_million_rows_take_seconds(tmp_path):
    file = tmp_path / "x.csv"
    dates = np.datetime64("2000-01-01T00:00:00") + 60 * np.arange(1_000_000)
    with file.open("w") as out:
        out.write("Date,Close\n")
        out.writelines(f"{moment},{i % 100}.25\n" for i, moment in enumerate(dates.astype(str)))
    began = time.process_time()
    prices = load_prices("X", csv=file, period="max")
    assert time.process_time() - began < 8  # Half of that where nothing else runs.
    assert len(prices) == 1_000_000
    assert prices.dates[-1] == dates[-1]
