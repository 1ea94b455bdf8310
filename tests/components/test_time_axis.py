import math
from datetime import UTC, datetime, timedelta

import pytest

from components.errors import InputError
from components.time_axis import Frequency, calendar_columns, calendar_values


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


@pytest.mark.parametrize("text", ["", "0D", "-1D", "H", "m", "M", "1.5h", "h1", " h", "D D", "daily", "MSS", "00s"])
def test_a_bad_frequency_is_refused(text):
    with pytest.raises(InputError, match="is not a count and one of s, min, h, D, W, MS") as refused:
        Frequency(text)
    assert f"'{text}'" in str(refused.value)


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
    ],
)
def test_seasons_are_whole_numbers_of_steps(text, seasons):
    assert Frequency(text).seasons() == seasons
    assert Frequency(text).season() == min(seasons.values(), default=1)


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
