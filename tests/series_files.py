"""CSV series, for the tests of predictions and drift."""

import math
from datetime import datetime, timedelta

START = datetime(2024, 1, 1)


def series_lines(rows, start=START, shift=0.0, hours=1, first=0):
    """Lines of a CSV series: a day's wave, a temperature, and whether it is a weekend."""
    for i in range(first, first + rows):
        time = start + timedelta(hours=hours * i)
        wave = math.sin(i * math.pi / 12)
        temperature = 15 + 5 * math.cos(i * 0.7) + shift
        yield f"{time.isoformat()},{5 + wave:.4f},{temperature:.3f},{int(time.weekday() > 4)}"


def write_series(path, lines, header="time,load,temp,holiday"):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path
