import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.readers.csv_scan import SeriesFile, scan
from components.readers.time_axis import Frequency
from components.sources import csv

GOOD = """\
time,load,temp,holiday
2020-01-01T00:00,1,10.5,0
2020-01-01T01:00,2,11,1
2020-01-01T02:00,-3e1,12,0
"""


def options(tmp_path, content=GOOD, **changes):
    path = tmp_path / "series.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    values = {"path": str(path), "time": "time", "target": "load", "frequency": "h", "lookback": 1, "horizon": 1}
    return csv.Options(**(values | changes))


def rows(chosen):
    return list(csv.read(chosen).rows())


def hourly(*lines):
    return "time,load\n" + "".join(f"{line}\n" for line in lines)


def problems(chosen, use=csv.check):
    with pytest.raises(InputError) as refused:
        use(chosen)
    assert all(problem.startswith(chosen.path[:40]) and "\n" not in problem for problem in refused.value.problems)
    return [problem.removeprefix(chosen.path) for problem in refused.value.problems]


def assert_refused(chosen, parts, use=csv.check):
    found = problems(chosen, use)
    assert any(all(part in problem for part in parts) for problem in found), found


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
    ],
    ids=["byte order mark", "CRLF", "blank lines", "blank end", "no last newline", "quotes"],
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
    "empty file": ("", {}, [":1:", "no column 'time'", "none"]),
    "no rows": ("time,load\n", {}, ["no rows"]),
    "a header that is not UTF-8": ("time,loäd\n2020-01-01,1\n".encode("latin-1"), {}, ["not UTF-8"]),
    "UTF-16": (GOOD.encode("utf-16"), {}, ["not UTF-8"]),
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


# All problems of a file in one go.


def days(rows, first=0):
    return [f"{datetime(2020, 1, 1) + timedelta(days=i):%Y-%m-%d}" for i in range(first, first + rows)]


def daily(tmp_path, lines, header="time,load", **changes):
    return options(tmp_path, "\n".join([header, *lines]) + "\n", frequency="D", **changes)


def test_every_kind_of_problem_comes_with_its_count_and_first_place(tmp_path):
    lines = [f"{day},{i},{i % 3}" for i, day in enumerate(days(60))]
    lines[3] = lines[3].replace(",3,", ",,")
    lines[4] = lines[4].replace(",4,", ",NA,")
    lines[10] = "2020-01-11,ten,1"
    lines[12] = "2020-01-13,12"
    lines[20:22] = [lines[19], lines[18]]
    lines[30:33] = []
    lines[40] = "yesterday,1,1"
    lines[45] = lines[45].replace(",48,", ",inf,")
    lines[50] = lines[50].replace("2020-02-23", "2020-02-23T12:00")
    found = problems(daily(tmp_path, lines, "time,load,temp", covariates=["temp"], lookback=40, horizon=5))
    assert found == [
        ":5: column 'load': a missing value (the first of 2), 2 at most in a row; "
        "fill: {method: linear, at_most: 3} fills it",
        ":12: column 'load': 'ten' is not a number",
        ":14: 2 fields where the header has 3, the first '2020-01-13'",
        ":22: the same row twice, at 2020-01-20 00:00:00",
        ":23: times out of order: 2020-01-19 00:00:00 after 2020-01-20 00:00:00",
        ":24: gap: 2020-01-23 00:00:00 after 2020-01-19 00:00:00, expected 2020-01-20 00:00:00 (D) (the first of 2): "
        "6 rows are missing, 3 at most in a row",
        ":42: column 'time': 'yesterday' is not a time as ISO 8601, such as 2014-01-31T13:30 (or set time_format)",
        ":47: column 'load': inf is not a finite number",
        ":52: off the frequency: 2020-02-23 12:00:00 after 2020-02-22 00:00:00, expected 2020-02-23 00:00:00 (D) "
        "(the first of 2)",
        ": lookback 40 + horizon 5 = 45 rows are longer than the validation split of 8 rows; "
        "the longest lookback that fits is 3",
    ]


def test_a_spreadsheet_of_another_country_is_read_with_what_is_named(tmp_path):
    """What is behind the separator, the times and the numbers comes with them."""
    times = [datetime(2020, 1, 1) + timedelta(days=i) for i in range(40)]
    lines = [f"{time:%d.%m.%Y};{i}.234,5" for i, time in enumerate(times)]
    del lines[30]
    chosen = daily(tmp_path, lines, "time;load")
    found = problems(chosen)
    assert found[0] == ":1: fields are separated by ';', expected ','; set separator: \";\""
    assert found[1].endswith('(the first of 39); set time_format: "%d.%m.%Y"')
    assert (
        found[2]
        == ":2: column 'load': '0.234,5' is not a number (the first of 39); set decimal: \",\" and thousands: \".\""
    )
    assert found[3].startswith(":32: gap: 2020-02-01 00:00:00 after 2020-01-30")
    assert len(found) == 4
    named = {"separator": ";", "decimal": ",", "thousands": ".", "time_format": "%d.%m.%Y"}
    lines.insert(30, "31.01.2020;1.030.234,5")
    chosen = daily(tmp_path, lines, "time;load", **named)
    assert csv.check(chosen).rows == 40
    assert rows(chosen)[30] == (datetime(2020, 1, 31), [1030234.5])


@pytest.mark.parametrize(
    ("texts", "hint", "value"),
    [
        (["$1,234.50", "-$3", "$12"], 'thousands: "," and strip: "$"', 1234.5),
        (["12.5%", "3 %", "7"], 'strip: "%"', 12.5),
        (["1 234,5", "3", "2,5"], 'decimal: "," and thousands: " "', 1234.5),
        (["12,34,567", "5,000", "1"], 'thousands: ","', 1234567),
        (["1,5", "2,25", "3"], 'decimal: ","', 1.5),
    ],
)
def test_numbers_of_other_spellings_are_read_with_the_options_that_are_named(tmp_path, texts, hint, value):
    lines = [f'{day},"{texts[i % 3]}"' for i, day in enumerate(days(30))]
    (line,) = problems(daily(tmp_path, lines))
    assert line.endswith(f"; set {hint}")
    named = dict(part.split(": ") for part in hint.split(" and "))
    chosen = daily(tmp_path, lines, **{key: text.strip('"') for key, text in named.items()})
    assert csv.check(chosen).rows == 30
    assert rows(chosen)[0][1] == [value]


@pytest.mark.parametrize("text", ["1,23", "1,2345", "12,3,456", "1,234,5", ",123", "1.5,000"])
def test_groups_of_another_length_are_no_thousands(tmp_path, text):
    assert_refused(daily(tmp_path, [f'2020-01-01,"{text}"'], thousands=","), [f"'{text}' is not a number"])


TIMES = ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%Y/%m/%d", "%d-%b-%y", "%b %d, %Y", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p"]


@pytest.mark.parametrize("form", TIMES)
def test_the_format_of_times_is_found_by_their_order(tmp_path, form):
    """The first twelve days could be months."""
    times = [datetime(2020, 1, 1) + timedelta(days=i) for i in range(60)]
    (line,) = problems(daily(tmp_path, [f'"{time.strftime(form)}",{i}' for i, time in enumerate(times)]))
    assert line.endswith(f'(the first of 60); set time_format: "{form}"')


def test_months_of_years_without_a_century_are_read(tmp_path):
    """The shape of a real file: power consumption by month, from 1-01 to 11-03."""
    lines = [f'"{1 + i // 12}-{i % 12 + 1:02}",{65000 + i}' for i in range(123)]
    chosen = daily(tmp_path, lines, '"time","load"')
    found = problems(chosen)
    assert found[0].endswith('(the first of 123); set time_format: "%y-%m"')
    assert found[1] == ":3: most rows come every month, not every day; set frequency: MS"
    chosen = options(tmp_path, "\n".join(["time,load", *lines]), frequency="MS", time_format="%y-%m")
    assert csv.check(chosen).rows == 123
    assert rows(chosen)[-1][0] == datetime(2011, 3, 1)


def interleaved(by_station):
    lines = [f"{station},{day},{i},{i % 7}" for i, day in enumerate(days(40)) for station in ("EWR", "JFK", "LGA")]
    return sorted(lines) if by_station else lines


@pytest.mark.parametrize("by_station", [False, True])
def test_the_column_that_tells_interleaved_series_apart_is_named(tmp_path, by_station):
    lines = interleaved(by_station)
    del lines[-40 if by_station else 60]
    found = problems(daily(tmp_path, lines, "station,time,load,wind"))
    expected = "3 series in one file: column 'station' tells them apart (EWR, JFK, LGA); keep one, such as where: "
    assert found[0].endswith(expected + "{station: EWR}")
    assert len(found) == (1 if by_station else 2), "the gap is one of EWR where it is EWR's row that is missing"
    chosen = daily(tmp_path, lines, "station,time,load,wind", where={"station": "JFK"})
    assert csv.check(chosen).rows == 40
    assert [values for _, values in rows(chosen)] == [[i] for i in range(40)]


@pytest.mark.parametrize("by_shop", [False, True])
def test_two_columns_that_tell_series_apart_are_named(tmp_path, by_shop):
    lines = [f"{day},{shop},{item},{i % 9}" for i, day in enumerate(days(40)) for shop in "12" for item in "xyz"]
    lines = sorted(lines, key=lambda line: line.split(",")[1:3]) if by_shop else lines
    (line,) = problems(daily(tmp_path, lines, "time,shop,item,load"))
    assert "6 series in one file: columns 'shop' and 'item' tell them apart (1 x, 1 y, 1 z, 2 x, 2 y, …)" in line
    assert line.endswith("keep one, such as where: {shop: 1, item: x}")
    chosen = daily(tmp_path, lines, "time,shop,item,load", where={"shop": 1, "item": "x"})
    assert csv.check(chosen).rows == 40


def test_all_that_hides_behind_each_other_comes_in_one_go(tmp_path):
    lines = [f"{i + 1:02}.01.2020;{shop};{i},5" for i in range(31) for shop in "ab" if (i, shop) != (20, "a")]
    found = problems(options(tmp_path, "\n".join(["time;shop;load", *lines]), frequency="h"))
    assert [line.partition(": ")[2][:22] for line in found] == [
        "fields are separated b",
        "column 'time': '01.01.",
        "column 'load': '0,5' i",
        "2 series in one file: ",
        "most rows come every d",
        "gap: 2020-01-22 00:00:",
    ]


def test_a_repeated_time_alone_makes_no_series_of_a_column(tmp_path):
    lines = [f"{day},{i},{'ab'[i % 2]}" for i, day in enumerate(days(40))]
    lines.insert(10, lines[9].replace(",9,b", ",9,a"))
    (line,) = problems(daily(tmp_path, lines, "time,load,kind"))
    assert line.startswith(":12: the same row twice")


def test_where_names_what_there_is(tmp_path):
    chosen = daily(tmp_path, interleaved(True), "station,time,load,wind", where={"station": "EWRR"})
    assert problems(chosen) == [":1: where keeps no row; there are: EWR, JFK, LGA"]
    chosen = daily(tmp_path, interleaved(True), "station,time,load,wind", where={"stations": "EWR"})
    assert_refused(chosen, [":1: no column 'stations'; did you mean 'station'?"])
    chosen = daily(tmp_path, interleaved(True), "station,time,load,wind", where={"station": "EWR", "wind": 3})
    assert [values for _, values in rows(chosen.model_copy(update={"frequency": "7D"}))] == [
        [3],
        [10],
        [17],
        [24],
        [31],
        [38],
    ]


def test_missing_columns_come_with_what_is_wrong_in_the_others(tmp_path):
    lines = [f"{day},{'x' if i == 7 else i}" for i, day in enumerate(days(40))]
    found = problems(daily(tmp_path, lines, covariates=["temp"], known=["price"]))
    assert found == [
        ":1: no column 'temp'; there are: time, load",
        ":1: no column 'price'; there are: time, load",
        ":9: column 'load': 'x' is not a number",
    ]


def test_a_column_makes_one_line_however_many_rows_are_bad(tmp_path):
    names = [f"c{i}" for i in range(30)]
    lines = [f"{day},{i}" + ",x" * 30 for i, day in enumerate(days(40))]
    found = problems(daily(tmp_path, lines, ",".join(["time", "load", *names]), covariates=names))
    assert [line.partition("column '")[2].partition("'")[0] for line in found] == names
    assert all(line.endswith("(the first of 40)") for line in found)


def test_rows_that_run_backwards_are_counted(tmp_path):
    found = problems(daily(tmp_path, [f"{day},{i}" for i, day in enumerate(days(40))][::-1]))
    assert found[0].endswith("(the first of 39); the newest row comes first: sort the rows by 'time'")
    assert "times out of order: 2020-02-08" in found[0]


def test_one_of_everything_is_singular(tmp_path):
    lines = [f"{day},{i}" for i, day in enumerate(days(29))]
    del lines[14]
    found = problems(daily(tmp_path, lines, lookback=3, horizon=1))
    assert found == [
        ":16: gap: 2020-01-16 00:00:00 after 2020-01-14 00:00:00, expected 2020-01-15 00:00:00 (D): 1 row is missing; "
        "fill: {method: linear, at_most: 1} fills it"
    ]
    (line,) = problems(daily(tmp_path, [f"{day},1" for day in days(7)]))
    assert line == ": lookback 1 + horizon 1 = 2 rows are longer than the validation split of 1 row; no window fits"
    (line,) = problems(daily(tmp_path, [f"{day},1" for day in days(29)], lookback=3, horizon=4))
    assert line.endswith("the validation split of 4 rows; the longest horizon that fits is 3, with a lookback of 1")


def test_lookback_and_horizon_are_judged_by_the_rows_that_are_left(tmp_path):
    lines = interleaved(False)
    chosen = daily(tmp_path, lines, "station,time,load,wind", where={"station": "JFK"}, lookback=5, horizon=2)
    (line,) = problems(chosen)
    assert line == (
        ": lookback 5 + horizon 2 = 7 rows are longer than the validation split of 6 rows; "
        "the longest lookback that fits is 4"
    )


# Leaks.


@pytest.mark.parametrize(
    ("kind", "shift", "when"),
    [
        ("covariates", 0, "'load' in every row"),
        ("covariates", 1, "'load' 1 row later in every row"),
        ("covariates", 7, "'load' 7 rows later in every row"),
        ("known", 0, "'load' in every row"),
        ("known", -1, "'load' 1 row before in every row"),
        ("known", 5, "'load' 5 rows later in every row"),
    ],
)
def test_a_column_that_tells_the_answer_is_refused(tmp_path, kind, shift, when):
    def load(i):
        return i * i % 17

    lines = [f"{day},{load(i)},{load(i + shift)}" for i, day in enumerate(days(80))]
    chosen = daily(tmp_path, lines, "time,load,copy", lookback=5, horizon=3, **{kind: ["copy"]})
    assert problems(chosen) == [f": column 'copy' equals {when}: a leak; leave it out"]
    lines[40] = lines[40] + "5"
    chosen = daily(tmp_path, lines, "time,load,copy", lookback=5, horizon=3, **{kind: ["copy"]})
    assert csv.check(chosen).rows == 80, "one row differs"


@pytest.mark.parametrize(("kind", "shift"), [("covariates", -1), ("covariates", -7), ("known", -3)])
def test_a_column_of_the_past_is_no_leak(tmp_path, kind, shift):
    lines = [f"{day},{i * i % 17},{(i + shift) ** 2 % 17}" for i, day in enumerate(days(80))]
    assert csv.check(daily(tmp_path, lines, "time,load,lag", lookback=5, horizon=3, **{kind: ["lag"]})).rows == 80


def test_constant_columns_are_no_leaks(tmp_path):
    lines = [f"{day},1,1" for day in days(80)]
    assert csv.check(daily(tmp_path, lines, "time,load,same", covariates=["same"])).rows == 80


# What isn't a file of rows.


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
