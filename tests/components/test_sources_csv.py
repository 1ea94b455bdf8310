"""CSV files are read as their options say, and what can't be read is named."""

import os
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from csv_options import GOOD, assert_refused, daily, days, hourly, options, problems, rows

from components.common.errors import InputError
from components.readers.csv_reading import SeriesFile
from components.readers.csv_scan import scan
from components.readers.time_axis import Frequency
from components.sources import csv


def test_rows_are_read_in_the_order_of_the_options(tmp_path):
    chosen = options(tmp_path, covariates=["temp"], known=["holiday"], unit="MW")
    series = csv.read(chosen)
    start = datetime(2020, 1, 1)
    assert list(series.rows()) == [
        (start, [1, 10.5, 0]),
        (start + timedelta(hours=1), [2, 11, 1]),
        (start + timedelta(hours=2), [-30, 12, 0]),
    ]
    assert series.columns == ["load", "temp", "holiday"]
    assert (series.known, series.frequency, series.unit) == (["holiday"], "h", "MW")


def test_a_series_can_be_read_twice(tmp_path):
    series = csv.read(options(tmp_path))
    assert list(series.rows()) == list(series.rows())


def test_columns_are_found_by_name_wherever_they_are(tmp_path):
    moved = "holiday,load,unused,time\n0,5,text,2020-01-01\n"
    assert rows(options(tmp_path, moved, known=["holiday"])) == [(datetime(2020, 1, 1), [5, 0])]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\n\n"),
        GOOD + "\n\n",
        GOOD.removesuffix("\n"),
        GOOD.replace("load", '"load"').replace("10.5", '"10.5"'),
        "sep=,\r\n" + GOOD,
    ],
    ids=["byte order mark", "CRLF", "blank lines", "blank end", "no last newline", "quotes", "separator of Excel"],
)
def test_spreadsheets_spellings_of_the_same_file_are_accepted(tmp_path, content):
    expected = rows(options(tmp_path, covariates=["temp"]))
    assert rows(options(tmp_path, content, covariates=["temp"])) == expected


def test_months_follow_each_other_across_a_year(tmp_path):
    content = hourly("2019-11-01,1", "2019-12-01,2", "2020-01-01,3", "2020-02-01,4", "2020-03-01,5")
    assert [time.month for time, _ in rows(options(tmp_path, content, frequency="MS"))] == [11, 12, 1, 2, 3]


def test_time_format_is_used(tmp_path):
    content = hourly("31.01.2020 23h,1", "01.02.2020 00h,2")
    found = rows(options(tmp_path, content, time_format="%d.%m.%Y %Hh"))
    assert [time for time, _ in found] == [datetime(2020, 1, 31, 23), datetime(2020, 2, 1)]


@pytest.mark.parametrize(("time_format", "unit"), [("unix", "s"), ("unix_ms", "ms")])
@pytest.mark.parametrize("written", ["{}", "{}.0", "{:.9e}"], ids=["whole", "as floats", "with an exponent"])
def test_unix_times_are_those_of_pandas(tmp_path, time_format, unit, written):
    expected = pd.date_range("1969-12-31 22:00", periods=5, freq="h", tz="UTC")
    numbers = (expected - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(1, unit)
    content = hourly(*(f"{written.format(number)},{i}" for i, number in enumerate(numbers)))
    found = rows(options(tmp_path, content, time_format=time_format))
    assert [time for time, _ in found] == list(expected)


def test_times_with_zones_follow_each_other_across_a_change_of_the_clocks(tmp_path):
    content = hourly("2020-03-29T01:00+01:00,1", "2020-03-29T03:00+02:00,2", "2020-03-29T02:00Z,3")
    times = [time for time, _ in rows(options(tmp_path, content))]
    assert [time.astimezone(UTC).hour for time in times] == [0, 1, 2]


def test_check_counts_rows_and_fingerprints_the_content(tmp_path):
    content = hourly(*(f"2020-01-01T{hour:02},{hour}" for hour in range(20)))
    facts = csv.check(options(tmp_path, content))
    assert facts.rows == 20
    assert csv.check(options(tmp_path, content)).fingerprint == facts.fingerprint
    assert csv.check(options(tmp_path, content.replace(",19", ",20"))).fingerprint != facts.fingerprint


BAD_ROWS = {
    "too few fields": (hourly("2020-01-01,1", "2020-01-01T01:00"), [":3:", "1 field where", "has 2"]),
    "too many fields": (hourly("2020-01-01,1,2"), [":2:", "3 fields", "has 2"]),
    "text in a number column": (hourly("2020-01-01,1", "2020-01-01T01:00,high"), [":3:", "'load'", "'high'"]),
    "text in a time column": (hourly("yesterday,1"), [":2:", "'time'", "'yesterday'", "ISO 8601"]),
    "empty value": (hourly("2020-01-01,"), [":2:", "'load'", "missing value"]),
    "blank value": (hourly("2020-01-01,  "), [":2:", "'load'", "missing value"]),
    "empty time": (hourly(",1"), [":2:", "'time'", "''"]),
    "NaN": (hourly("2020-01-01,NaN"), [":2:", "'load'", "missing value"]),
    "infinity": (hourly("2020-01-01,1", "2020-01-01T01:00,-inf"), [":3:", "'load'", "-inf", "finite"]),
    "number too large": (hourly("2020-01-01,1e999"), [":2:", "'load'", "1e999", "finite"]),
    "duplicate time": (hourly("2020-01-01,1", "2020-01-01,2"), [":3:", "duplicate time", "2020-01-01 00:00"]),
    "out of order": (hourly("2020-01-02,1", "2020-01-01,2"), [":3:", "out of order", "2020-01-01 00:00"]),
    "gap": (hourly("2020-01-01,1", "2020-01-01T02:00,2"), [":3:", "gap", "expected 2020-01-01 01:00"]),
    "a gap of half steps": (hourly("2020-01-01,1", "2020-01-01T02:30,2"), [":3:", "off the frequency", "01:00"]),
    "larger than squares in float32": (hourly("2020-01-01,1e37"), [":2:", "'load'", "1e37 is beyond 1e+18"]),
    "the year 1": (hourly("0001-01-01,1"), [":2:", "0001-01-01", "the years 1000 to 8000"]),
    "an underscore": (hourly("2020-01-01,1_0"), [":2:", "'1_0' is not a number"]),
    "not UTF-8": (hourly("2020-01-01,1").encode() + b"2020-01-01T01:00,\xe9\n", [":3:", "not UTF-8"]),
    "half a step": (hourly("2020-01-01,1", "2020-01-01T00:30,2"), [":3:", "off the frequency", "00:30", "(h)"]),
    "a zone on some rows": (hourly("2020-01-01T00:00Z,1", "2020-01-01T01:00,2"), [":3:", "time zone"]),
    "unended quote": (hourly("2020-01-01,1", '2020-01-01T01:00,"2'), [":3:", "unexpected end"]),
    "text after a quote": (hourly('2020-01-01,"1"2'), [":2:", "expected"]),
    "end of all time": (hourly("9999-12-31T23:00,1", "9999-12-31T23:00,2"), [":2:", "the years"]),
}


@pytest.mark.parametrize(("content", "parts"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
@pytest.mark.parametrize("use", [csv.check, rows], ids=["check", "read"])
def test_a_bad_row_is_named_by_line(tmp_path, content, parts, use):
    assert_refused(options(tmp_path, content), parts, use)


def test_blank_lines_count_in_line_numbers(tmp_path):
    assert_refused(options(tmp_path, "time,load\n\n\n2020-01-01,1\n\n2020-01-01T01:00,x\n"), [":6:", "'x'"])


def test_lines_inside_quotes_count_in_line_numbers(tmp_path):
    content = 'time,note,load\n2020-01-01,"two\nlines",1\n2020-01-01T01:00,one,x\n'
    assert_refused(options(tmp_path, content), [":4:", "'x'"])


BAD_HEADERS = {
    "misspelt target": (GOOD, {"target": "loda"}, [":1:", "no column 'loda'", "did you mean 'load'?"]),
    "misspelt time": (GOOD, {"time": "tme"}, [":1:", "no column 'tme'", "did you mean 'time'?"]),
    "misspelt covariate": (GOOD, {"covariates": ["tempp"]}, [":1:", "no column 'tempp'", "'temp'"]),
    "misspelt known column": (GOOD, {"known": ["holidays"]}, [":1:", "no column 'holidays'", "'holiday'"]),
    "nothing similar": (GOOD, {"target": "xyz"}, [":1:", "no column 'xyz'", "time, load, temp, holiday"]),
    "column twice in the header": ("time,load,load\n", {}, [":1:", "'load'", "2 times"]),
    "column twice in the options": (GOOD, {"covariates": ["load"]}, ["'load'", "named twice"]),
    "empty file": ("", {}, [": empty, expected a header and rows"]),
    "no rows": ("time,load\n", {}, ["no rows"]),
    "a header that is not UTF-8": ("time,loäd\n2020-01-01,1\n".encode("latin-1"), {}, ["not UTF-8"]),
    "UTF-16": (GOOD.encode("utf-16"), {}, ["not UTF-8"]),
    "not a unix time": (hourly("now,1"), {"time_format": "unix"}, [":2:", "'now' is not a time as unix"]),
    "a unix time without end": (hourly("1e99,1"), {"time_format": "unix"}, [":2:", "'1e99' is not a time as unix"]),
    "time not as time_format says": (GOOD, {"time_format": "%d.%m.%Y"}, [":2:", "'time'", "%d.%m.%Y"]),
}


@pytest.mark.parametrize(("content", "changes", "parts"), BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_bad_file_or_column_is_named(tmp_path, content, changes, parts):
    assert_refused(options(tmp_path, content, **changes), parts)


@pytest.mark.parametrize("frequency", ["", "hourly", "0h", "-1h", "1.5h", "ms", "h ", "9" * 5000])
def test_a_bad_frequency_is_refused(tmp_path, frequency):
    with pytest.raises(InputError) as refused:
        csv.check(options(tmp_path, frequency=frequency))
    assert refused.value.problems[0].startswith(f"frequency '{frequency[:20]}")
    assert len(refused.value.problems[0]) < 150


def test_months_that_lack_the_day_are_refused(tmp_path):
    content = hourly("2020-01-31,1", "2020-02-29,2")
    assert_refused(options(tmp_path, content, frequency="MS"), [":3:"])


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    missing = options(tmp_path, path=str(tmp_path / "none.csv"))
    assert_refused(missing, ["No such file"])
    assert_refused(options(tmp_path, path=str(tmp_path)), ["Is a directory"])


def test_a_workbook_and_a_parquet_file_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "sales.xlsx", "w") as workbook:  # an Excel workbook is a ZIP archive
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    pd.DataFrame({"units": [1.0]}).to_parquet(tmp_path / "sales.parquet")
    for name, kind in {"sales.xlsx": "an Excel workbook", "sales.parquet": "a Parquet file"}.items():
        assert_refused(options(tmp_path, path=str(tmp_path / name)), [kind, "expected a CSV file"])


def test_a_device_and_a_pipe_are_refused_without_being_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        assert_refused(options(tmp_path, path=path), ["a device or a pipe, expected a file"])


def test_an_endless_line_is_refused(tmp_path):
    assert_refused(options(tmp_path, "x" * (3 << 20)), [":1: a line of more than 1,048,576 characters"])
    assert_refused(options(tmp_path, "time,load\n" + "1" * (3 << 20)), [":2: a line of more than 1,048,576"])


def test_a_line_of_commas_is_refused_soon(tmp_path):
    assert_refused(options(tmp_path, "," * 900_000), [":1: 900,001 fields, expected at most 10,000"])


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(rows):
        lines = [f"{day},{i % 97},{'' if i % 3 else i % 11}" for i, day in enumerate(days(rows))]
        fill = {"method": "linear", "at_most": 5}
        chosen = daily(tmp_path, lines, "time,load,temp", covariates=["temp"], lookback=5, fill=fill)
        wanted = SeriesFile(
            Path(chosen.path), chosen.path, chosen.columns(), [], Frequency("D"), lookback=50, horizon=10
        )
        del lines
        tracemalloc.start()
        assert scan(wanted, chosen.form()).lines == []
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(20_000) < peak(4_000) + 50_000


@pytest.mark.parametrize("name", ["a\0b", "a\udcff"])
def test_a_name_that_is_no_text_is_refused(tmp_path, name):
    path = tmp_path / "x"
    with pytest.raises(InputError) as refused:
        csv.check(options(tmp_path, path=f"{path}{name}.csv"))
    (line,) = refused.value.problems
    assert line.isprintable()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"time_format": "%d%d"}, ["time_format '%d%d' is not one of strptime"]),
        ({"time_format": "%Q"}, ["time_format '%Q'"]),
        ({"time_format": "%"}, ["time_format '%'"]),
        ({"time_format": ""}, ["time_format ''"]),
        ({"time_format": "%Y" * 3000}, ["time_format '%Y%Y"]),
        ({"decimal": ",", "thousands": ","}, ["decimal and thousands are both ','"]),
        ({"thousands": "."}, ["decimal and thousands are both '.'"]),
        ({"resample": {"temp": "sum"}}, ["resample: names temp, expected each of load"]),
        ({"fill": {"method": "seasonal", "at_most": 3}, "frequency": "7h"}, ["seasonal", "7h has no season"]),
    ],
)
def test_options_that_can_not_be_are_refused(tmp_path, changes, parts):
    assert_refused(options(tmp_path, **changes), parts)
    assert all(len(line) < 200 for line in problems(options(tmp_path, **changes)))
