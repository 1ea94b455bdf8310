"""Many series in one CSV file, for the tests of data sets and models of them."""

import math
from datetime import datetime, timedelta

START = datetime(2023, 1, 2)
LOOKBACK, HORIZON = 14, 3
# The level of each series, and the days on which it begins and ends.
SERIES = {"Ulm": (10, 0, 200), "Bonn": (1000, 0, 200), "Aue": (50, 60, 200), "Rees": (5, 185, 200)}
AREAS = {"Ulm": 120, "Bonn": 900.5, "Aue": 300, "Rees": 80}


def wave(name, day):
    """A week's wave, which grows with the series' level, and some noise."""
    level, _, _ = SERIES[name]
    return round(level * (1 + 0.3 * math.sin(day * 2 * math.pi / 7) + 0.05 * math.cos(day * day)), 4)


def ramp(name, day):
    """A value that tells the series and the day."""
    return 1000 * sorted(SERIES).index(name) + day


def many_lines(value=wave, series=SERIES):
    """The lines of a file that is sorted by time, so that the series are interleaved."""
    rows = [(day, name) for name, (_, first, last) in series.items() for day in range(first, last)]
    for day, name in sorted(rows, key=lambda row: row[0]):
        yield f"{START + timedelta(days=day):%Y-%m-%d},{name},{value(name, day)},{AREAS[name]},{day % 5 == 0:d}"


def many_spec(folder, lines, **changes):
    path = folder / "sales.csv"
    path.write_text("\n".join(["day,store,units,area,promotion", *lines]) + "\n", encoding="utf-8")
    spec = {"source": "csv", "path": str(path), "time": "day", "target": "units", "series": "store", "frequency": "D"}
    return spec | {"static": ["area"], "known": ["promotion"], "lookback": LOOKBACK, "horizon": HORIZON} | changes
