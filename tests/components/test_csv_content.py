"""What is said of CSV files with other spellings, several series, gaps or columns that tell the answer."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from csv_options import assert_refused, daily, days, options, problems, rows

from components.sources import csv


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
    assert found[0].endswith(expected + "{station: EWR}, or train on all with series: station")
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


@pytest.mark.parametrize("resample", [None, "mean"])
def test_rows_in_random_order_are_to_be_sorted_and_are_not_called_newest_first(tmp_path, resample):
    lines = [f"{day},{i}" for i, day in enumerate(days(40))]
    shuffled = [lines[i] for i in np.random.default_rng(0).permutation(40)]
    found = problems(daily(tmp_path, shuffled, resample=resample))
    (line,) = (line for line in found if "times out of order" in line)
    assert line.endswith("); sort the rows by 'time'")


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
