"""Series that are made regular: filled and resampled."""

import math
from datetime import datetime, timedelta

import pytest

from components.readers.csv_format import CsvFormat, Fill
from components.readers.csv_regular import Changes, regularize
from components.readers.csv_rows import Problem, Row
from components.readers.time_axis import Frequency

START = datetime(2020, 1, 1)
NAN = math.nan


def hours(*values, start=START, step=1.0):
    """Rows an hour apart; a tuple has several columns, None is a row that isn't there."""
    rows = enumerate(values)
    return [
        Row(i + 2, start + timedelta(hours=i * step), list(value) if isinstance(value, tuple) else [value])
        for i, value in rows
        if value is not None
    ]


def made(rows, frequency="h", columns=("load", "temp"), future=False, changes=None, **form):
    chosen = CsvFormat(**form)
    width = len(next(row.values for row in rows if isinstance(row, Row)))
    changes = changes or Changes()
    return list(regularize(iter(rows), list(columns[:width]), Frequency(frequency), chosen, changes, future))


def filled(*values, method="linear", at_most=3, **more):
    found = made(hours(*values), fill=Fill(method=method, at_most=at_most), **more)
    return [row.values if len(row.values) > 1 else row.values[0] for row in found]


def same(found, expected):
    return repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("linear", [0.0, 1.0, 2.0, 3.0, 4.0]), ("forward", [0.0, 0.0, 0.0, 0.0, 4.0])],
)
@pytest.mark.parametrize("missing", [NAN, None])
def test_missing_values_and_missing_rows_are_filled(method, expected, missing):
    changes = Changes()
    found = made(hours(0.0, missing, NAN, missing, 4.0), fill=Fill(method=method, at_most=3), changes=changes)
    assert [row.values[0] for row in found] == expected
    assert [row.time for row in found] == [START + timedelta(hours=i) for i in range(5)]
    assert changes.filled == {"load": 3}
    assert changes.inserted == (2 if missing is None else 0)


@pytest.mark.parametrize("method", ["linear", "forward", "seasonal"])
def test_more_than_at_most_is_left_as_it_is(method):
    assert same(filled(0.0, NAN, NAN, NAN, 4.0, at_most=2, method=method), [0.0, NAN, NAN, NAN, 4.0])
    assert filled(0.0, None, None, None, 4.0, at_most=2, method=method) == [0.0, 4.0], "the gap stays"
    assert filled(0.0, NAN, None, NAN, 4.0, at_most=3, method=method)[-1] == 4.0
    assert same(filled(0.0, NAN, None, NAN, 4.0, at_most=2, method=method), [0.0, NAN, NAN, NAN, 4.0])


def test_each_column_is_filled_by_itself():
    found = filled((1.0, 1.0), (NAN, 2.0), (NAN, NAN), (4.0, NAN), (5.0, 5.0))
    assert found == [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]
    found = filled((1.0, 1.0), (NAN, NAN), (NAN, 3.0), (NAN, 4.0), (5.0, 5.0), at_most=2)
    assert same(found, [[1.0, 1.0], [NAN, 2.0], [NAN, 3.0], [NAN, 4.0], [5.0, 5.0]])


def test_a_season_before_takes_the_place_and_before_the_first_season_the_last_value():
    day = [float(i) for i in range(24)]
    values = [*day, *day]
    values[30:32] = [NAN, None]
    assert filled(*values, method="seasonal") == [*day, *day]
    values = [*day, *day, *day]
    values[30] = values[54] = NAN
    assert filled(*values, method="seasonal") == [*day, *day, *day], "of what was filled too"
    assert filled(5.0, NAN, 7.0, method="seasonal") == [5.0, 5.0, 7.0]


def test_what_can_not_be_filled_at_the_ends_is_left_out():
    changes = Changes()
    found = made(
        hours((NAN, 1.0), (1.0, NAN), (3.0, 3.0), (4.0, NAN), (NAN, NAN)),
        fill=Fill(method="linear", at_most=3), changes=changes,
    )  # fmt: skip
    assert [row.values for row in found] == [[3, 3], [4, 3]]
    assert (changes.left_out, changes.filled) == (3, {"temp": 1})
    assert same(filled(NAN, NAN, 3.0, at_most=1), [NAN, 3.0]), "one alone"


def test_rows_of_the_future_stay_and_their_target_is_not_invented():
    found = filled((1.0, 1.0), (NAN, NAN), (3.0, 3.0), (NAN, 4.0), (NAN, NAN), (NAN, 6.0), future=True)
    assert same(found, [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [NAN, 4.0], [NAN, 5.0], [NAN, 6.0]])
    many = [(1.0, 1.0), *[(NAN, 2.0)] * 9]
    assert same(filled(*many, future=True), [list(row) for row in many])


def test_only_a_few_rows_wait():
    seen = 0

    def rows():
        nonlocal seen
        for seen, row in enumerate(hours(*[(1.0, NAN)] * 50)):  # noqa: B007
            yield row

    form = CsvFormat(fill=Fill(method="linear", at_most=4))
    out = regularize(rows(), ["load", "temp"], Frequency("h"), form, Changes())
    for put_out, _ in enumerate(out):
        assert seen - put_out <= 10


def test_rows_beside_the_frequency_and_bad_ones_are_passed_on():
    rows = hours(1.0, NAN, 3.0, NAN, 5.0)
    rows[3] = Problem(5, "number load", "'x' is not a number")
    found = made(rows, fill=Fill(method="linear", at_most=3))
    assert [row if isinstance(row, Problem) else row.values for row in found] == [[1], [2], [3], rows[3], [5]]
    rows = hours(1.0, 2.0, 3.0)
    rows[1].time += timedelta(minutes=10)
    assert made(rows, fill=Fill(method="linear", at_most=3)) == rows
    assert made(rows[::-1], fill=Fill(method="linear", at_most=3)) == rows[::-1]


def test_gaps_of_business_days_are_counted_in_business_days():
    days = [datetime(2020, 1, 2), datetime(2020, 1, 3), datetime(2020, 1, 7), datetime(2020, 1, 8)]
    rows = [Row(i, day, [float(day.day)]) for i, day in enumerate(days)]
    found = made(rows, "B", fill=Fill(method="forward", at_most=1))
    assert [(row.time.day, row.values[0]) for row in found] == [(2, 2), (3, 3), (6, 3), (7, 7), (8, 8)]


@pytest.mark.parametrize(
    ("method", "expected"), [("mean", 2.5), ("sum", 10), ("min", 1), ("max", 4), ("first", 2), ("last", 3)]
)
def test_the_rows_of_a_period_become_one(method, expected):
    changes = Changes()
    found = made(hours(2.0, 1.0, 4.0, 3.0, *[0.0] * 4, step=0.25), resample=method, changes=changes)
    assert [(row.time, row.values) for row in found] == [(START, [expected]), (START + timedelta(hours=1), [0])]
    assert (changes.sizes, changes.partial) == ((4, 4), 0)


def test_methods_by_column():
    found = made(hours(*[(1.0, 10.0), (3.0, 20.0)] * 12), "D", resample={"load": "sum", "temp": "mean"})
    assert [row.values for row in found] == [[48, 15]]


def test_missing_values_of_a_period_are_passed_over_but_in_a_sum():
    rows = hours((1.0, 1.0), (NAN, 3.0), (NAN, NAN), (NAN, NAN), step=0.5)
    assert same([row.values for row in made(rows, resample="mean")], [[1.0, 2.0], [NAN, NAN]])
    assert same([row.values for row in made(rows, resample="sum")], [[NAN, 4.0], [NAN, NAN]])
    assert same([row.values for row in made(rows, resample="max")], [[1.0, 3.0], [NAN, NAN]])


def test_periods_at_the_ends_that_are_not_whole_are_left_out():
    changes = Changes()
    rows = hours(*[1.0] * 60, start=datetime(2020, 1, 1, 18))
    found = made(rows, "D", resample="sum", changes=changes)
    assert [(row.time.day, row.values[0]) for row in found] == [(2, 24), (3, 24)]
    assert changes.partial == 2
    # A first row in the middle of the period, where no row would have been before.
    rows = hours(*[1.0] * 48, start=datetime(2020, 1, 1, 0, 30))
    assert [row.values for row in made(rows, "D", resample="sum")] == [[24], [24]]


@pytest.mark.parametrize(
    ("frequency", "labels"),
    [
        ("W", ["2020-01-06", "2020-01-13", "2020-01-20"]),
        ("W-FRI", ["2020-01-10", "2020-01-17", "2020-01-24", "2020-01-31"]),
        ("2W", ["2020-01-13"]),
        ("3D", [f"2020-01-{day:02}" for day in range(1, 31, 3)]),
    ],
)
def test_days_become_weeks_by_their_calendar(frequency, labels):
    """The first of January 2020 was a Wednesday."""
    found = made(hours(*[1.0] * 31, step=24), frequency, resample="sum")
    assert [f"{row.time:%Y-%m-%d}" for row in found] == labels
    assert {row.values[0] for row in found} == {{"W": 7, "2W": 14, "3D": 3}.get(frequency, 7)}


def test_a_weekend_belongs_to_the_friday_before():
    found = made(hours(*[1.0] * 12, step=24), "B", resample="sum")
    assert [(row.time.day, row.values[0]) for row in found] == [
        (1, 1), (2, 1), (3, 3), (6, 1), (7, 1), (8, 1), (9, 1), (10, 3)
    ]  # fmt: skip


MONTHS = [("MS", "01", 12), ("M", "31", 12), ("QS", "01", 4), ("Q", "31", 4)]


@pytest.mark.parametrize(("frequency", "day", "months"), MONTHS)
def test_days_become_months_and_quarters(frequency, day, months):
    found = made(hours(*[1.0] * 366, step=24), frequency, resample="sum")
    assert len(found) == months
    assert sum(row.values[0] for row in found) == 366
    assert f"{found[0].time:%d}" == day


def test_a_period_without_a_row_is_a_gap_and_can_be_filled():
    rows = [row for row in hours(*[1.0] * 96) if row.time.day != 3]
    assert [row.time.day for row in made(rows, "D", resample="mean")] == [1, 2, 4]
    found = made(rows, "D", resample="mean", fill=Fill(method="linear", at_most=1))
    assert [row.time.day for row in found] == [1, 2, 3, 4]


def test_repeated_times_are_made_one_and_a_step_back_is_bad():
    rows = hours(1.0, 2.0, 3.0, 4.0)
    rows[2].time = rows[1].time
    assert [row.values[0] for row in made(rows, resample="mean")] == [1, 2.5, 4]
    rows[2].time -= timedelta(hours=1)
    bad = [row for row in made(rows, resample="mean") if isinstance(row, Problem)]
    assert [(row.line, row.kind) for row in bad] == [(4, "order")]


@pytest.mark.parametrize("frequency", ["s", "7s", "h", "B", "M"])
def test_a_gap_of_thousands_of_years_takes_no_time(frequency):
    rows = [Row(i + 2, datetime(year, 1, 2), [1.0]) for i, year in enumerate((1001, 1002, 6999, 7000))]
    assert 2 <= len(made(rows, frequency, resample="sum", fill=Fill(method="linear", at_most=2))) <= 4
