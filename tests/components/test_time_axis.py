import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from components.common.errors import InputError
from components.readers.time_axis import Frequency, calendar_columns, calendar_values


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("s", timedelta(seconds=1)),
        ("30s", timedelta(seconds=30)),
        ("min", timedelta(minutes=1)),
        ("15min", timedelta(minutes=15)),
        ("h", timedelta(hours=1)),
        ("1h", timedelta(hours=1)),
        ("D", timedelta(days=1)),
        ("2W", timedelta(weeks=2)),
    ],
)
def test_next_adds_a_fixed_step(text, step):
    time = datetime(2020, 2, 28, 23, 59, 59)
    frequency = Frequency(text)
    assert frequency.next(time) == time + step
    assert frequency.seconds == step.total_seconds()
    assert frequency.text == text


@pytest.mark.parametrize(
    ("text", "time", "expected"),
    [
        ("MS", datetime(2020, 1, 1), datetime(2020, 2, 1)),
        ("MS", datetime(2020, 11, 1), datetime(2020, 12, 1)),
        ("MS", datetime(2020, 12, 1), datetime(2021, 1, 1)),
        ("3MS", datetime(2020, 10, 1, 6), datetime(2021, 1, 1, 6)),
        ("12MS", datetime(2020, 3, 1), datetime(2021, 3, 1)),
        ("25MS", datetime(2020, 12, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)),
    ],
)
def test_next_of_months_keeps_the_day(text, time, expected):
    assert Frequency(text).next(time) == expected
    assert Frequency(text).seconds is None


@pytest.mark.parametrize(
    ("text", "time", "expected"),
    [
        ("H", datetime(2020, 1, 1), datetime(2020, 1, 1, 1)),
        ("30T", datetime(2020, 1, 1), datetime(2020, 1, 1, 0, 30)),
        ("d", datetime(2020, 2, 28), datetime(2020, 2, 29)),
        ("B", datetime(2020, 1, 3), datetime(2020, 1, 6)),
        ("W-FRI", datetime(2020, 1, 3), datetime(2020, 1, 10)),
        ("2W-FRI", datetime(2020, 1, 3), datetime(2020, 1, 17)),
        ("M", datetime(2020, 1, 31), datetime(2020, 2, 29)),
        ("ME", datetime(2020, 2, 29, tzinfo=UTC), datetime(2020, 3, 31, tzinfo=UTC)),
        ("Q", datetime(2019, 12, 31), datetime(2020, 3, 31)),
        ("QS", datetime(2020, 1, 1), datetime(2020, 4, 1)),
        ("Q-NOV", datetime(2020, 2, 29), datetime(2020, 5, 31)),
        ("Y", datetime(2019, 12, 31), datetime(2020, 12, 31)),
        ("YS", datetime(1650, 1, 1), datetime(1651, 1, 1)),
    ],
)
def test_spellings_of_people_and_offsets_of_pandas(text, time, expected):
    assert Frequency(text).next(time) == expected
    assert Frequency(text).holds(time)
    assert Frequency(text).text == text


def test_a_time_that_is_not_on_an_offset_is_known():
    assert not Frequency("W-FRI").holds(datetime(2020, 1, 4))
    assert not Frequency("M").holds(datetime(2020, 1, 1))
    assert not Frequency("B").holds(datetime(2020, 1, 4))
    assert Frequency("W").holds(datetime(2020, 1, 4)), "a week may begin on any day"
    assert Frequency("MS").holds(datetime(2020, 1, 4)), "a month too"


@pytest.mark.parametrize(
    ("text", "time", "row", "start", "end"),
    [
        ("h", datetime(2020, 1, 3, 5, 59), datetime(2020, 1, 3, 5), datetime(2020, 1, 3, 5), datetime(2020, 1, 3, 6)),
        ("6h", datetime(2020, 1, 3, 11), datetime(2020, 1, 3, 6), datetime(2020, 1, 3, 6), datetime(2020, 1, 3, 12)),
        ("D", datetime(2020, 1, 3, 5), datetime(2020, 1, 3), datetime(2020, 1, 3), datetime(2020, 1, 4)),
        ("W", datetime(2020, 1, 5), datetime(2019, 12, 30), datetime(2019, 12, 30), datetime(2020, 1, 6)),
        ("W-FRI", datetime(2020, 1, 3, 9), datetime(2020, 1, 3), datetime(2019, 12, 28), datetime(2020, 1, 4)),
        ("W-FRI", datetime(2020, 1, 4), datetime(2020, 1, 10), datetime(2020, 1, 4), datetime(2020, 1, 11)),
        ("B", datetime(2020, 1, 5, 7), datetime(2020, 1, 3), datetime(2020, 1, 3), datetime(2020, 1, 6)),
        ("MS", datetime(2020, 2, 29), datetime(2020, 2, 1), datetime(2020, 2, 1), datetime(2020, 3, 1)),
        ("M", datetime(2020, 2, 1), datetime(2020, 2, 29), datetime(2020, 2, 1), datetime(2020, 3, 1)),
        ("QS", datetime(2020, 2, 1), datetime(2020, 1, 1), datetime(2020, 1, 1), datetime(2020, 4, 1)),
    ],
)
def test_the_period_that_a_time_lies_in(text, time, row, start, end):
    assert Frequency(text).period(time) == (row, start, end)


BAD = [
    "",
    "0D",
    "-1D",
    "0B",
    "-2M",
    "m",
    "1.5h",
    "h1",
    " h",
    "D D",
    "daily",
    "MSS",
    "00s",
    "ms",
    "bh",
    "W-XXX",
    "9" * 5000,
]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:9])
def test_a_bad_frequency_is_refused(text):
    with pytest.raises(InputError, match="is not a count and a unit of pandas") as refused:
        Frequency(text)
    assert f"'{text[:20]}" in str(refused.value)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    ("text", "seasons"),
    [
        ("30min", {"same_time_yesterday": 48, "same_time_last_week": 336}),
        ("h", {"same_time_yesterday": 24, "same_time_last_week": 168}),
        ("12h", {"same_time_yesterday": 2, "same_time_last_week": 14}),
        ("3600s", {"same_time_yesterday": 24, "same_time_last_week": 168}),
        ("D", {"same_day_last_week": 7}),
        ("24h", {"same_day_last_week": 7}),
        ("W", {"same_week_last_year": 52}),
        ("7D", {"same_week_last_year": 52}),
        ("MS", {"same_month_last_year": 12}),
        ("3MS", {}),
        ("7h", {}),
        ("2D", {}),
        ("2W", {}),
        ("W-FRI", {"same_week_last_year": 52}),
        ("B", {"same_day_last_week": 5}),
        ("M", {"same_month_last_year": 12}),
        ("Q", {"same_quarter_last_year": 4}),
        ("QS", {"same_quarter_last_year": 4}),
        ("2M", {}),
        ("Y", {}),
    ],
)
def test_seasons_are_whole_numbers_of_steps(text, seasons):
    assert Frequency(text).seasons() == seasons
    assert Frequency(text).season() == min(seasons.values(), default=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("h", "hour"),
        ("H", "hour"),
        ("30min", "30 minutes"),
        ("D", "day"),
        ("B", "business day"),
        ("W-FRI", "week, on Fridays"),
        ("M", "month, on its last day"),
        ("2M", "step of 2M"),
    ],
)
def test_a_frequency_in_words(text, words):
    assert Frequency(text).words() == words


def test_steps_of_a_fixed_length_need_no_pandas():
    code = (
        "import sys\nfrom components.readers.time_axis import Frequency\n"
        "[Frequency(text).seasons() for text in ('30T', 'H', '7D', 'W', 'MS')]\n"
        "print([name for name in ('pandas', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_daily_season_is_one_day_long():
    for text in ("s", "10s", "min", "5min", "30min", "h", "6h"):
        frequency = Frequency(text)
        seasons = frequency.seasons()
        assert seasons["same_time_yesterday"] * frequency.seconds == 24 * 3600
        assert seasons["same_time_last_week"] * frequency.seconds == 7 * 24 * 3600


def test_calendar_columns_and_values_go_together():
    cycles = ["month", "hour"]
    assert calendar_columns(cycles) == ["month_sin", "month_cos", "hour_sin", "hour_cos"]
    assert len(calendar_values(datetime(2020, 5, 17, 3), cycles)) == 4
    assert calendar_columns([]) == calendar_values(datetime(2020, 5, 17), []) == []


@pytest.mark.parametrize(
    ("time", "cycle", "turn"),
    [
        (datetime(2020, 1, 1), "hour", 0),
        (datetime(2020, 1, 1, 6), "hour", 1 / 4),
        (datetime(2020, 1, 1, 12), "hour", 1 / 2),
        (datetime(2020, 1, 1, 23, 30), "hour", 47 / 48),
        (datetime(2020, 1, 1, 0, 0, 45), "hour", 45 / 86400),
        (datetime(2020, 1, 6), "weekday", 0),
        (datetime(2020, 1, 9, 12), "weekday", 1 / 2),
        (datetime(2020, 1, 12, 18), "weekday", 6.75 / 7),
        (datetime(2020, 1, 31), "month", 0),
        (datetime(2020, 4, 1), "month", 1 / 4),
        (datetime(2020, 12, 31), "month", 11 / 12),
    ],
)
def test_calendar_values_lie_on_the_circle(time, cycle, turn):
    expected = [math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)]
    assert calendar_values(time, [cycle]) == pytest.approx(expected, abs=1e-12)
