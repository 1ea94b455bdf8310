"""Series in CSV files, and the options to read them."""

from datetime import datetime, timedelta

import pytest

from components.common.errors import InputError
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


def days(rows, first=0):
    return [f"{datetime(2020, 1, 1) + timedelta(days=i):%Y-%m-%d}" for i in range(first, first + rows)]


def daily(tmp_path, lines, header="time,load", **changes):
    return options(tmp_path, "\n".join([header, *lines]) + "\n", frequency="D", **changes)
