"""`python -m pipeline check`: what it finds in files of all shapes, and that the config it prints is a good one."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml

from components.common.errors import InputError
from components.sources import csv
from pipeline.check.data import check
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

START = datetime(2020, 1, 1)


def write(tmp_path, lines, name="My sales (2020).csv"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def looked(tmp_path, lines, **more):
    """What is printed: the lines of the comments, and the data set of the config."""
    text = check(str(write(tmp_path, lines, **more)))
    comments = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    (dataset,) = yaml.safe_load(text)["datasets"].values()
    return text, comments, dataset


def compiled(tmp_path, text, name="saved.yaml"):
    (tmp_path / name).write_text(text)
    experiment = load_experiment(tmp_path / name, [])
    return compile_experiment(experiment, tmp_path / "build")[0]


def test_a_good_file_gets_a_config_that_compiles_wherever_it_is_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{START + timedelta(hours=i)},{i % 24},{i % 7},note" for i in range(2000)]
    write(tmp_path, ["time,load,temp,remark", *lines], "load.csv")
    text = check("load.csv")
    (tmp_path / "configs").mkdir()
    assert compiled(tmp_path, text, "configs/mine.yaml").is_file()
    assert text.splitlines()[:5] == [
        "# load.csv: 2,000 rows from 2020-01-01 00:00:00 to 2020-03-24 07:00:00, most of them one every hour",
        "# times: time",
        "# numbers: load, temp",
        "# other columns: remark",
        "#",
    ]
    assert "# no problems" in text
    dataset = yaml.safe_load(text)["datasets"]["load"]
    assert dataset == {
        "source": "csv", "path": str(tmp_path / "load.csv"), "time": "time", "target": "load", "frequency": "h",
        "calendar": ["hour", "weekday"], "lookback": 168, "horizon": 24,
    }  # fmt: skip
    assert "# covariates: [temp]" in text


def test_a_messy_file_gets_a_config_that_mends_it(tmp_path):
    """A spreadsheet of another country, three shops in turn, gaps, and a missing value."""
    lines = ["Datum;Filiale;Umsatz;Gäste"]
    for day in range(200):
        for shop in ("Köln", "Bonn", "Ulm: Mitte"):
            if day in (50, 51, 120) and shop == "Köln":
                continue
            sales = "" if day == 90 else f"€ {1 + day % 7}.234,5"
            lines.append(f"{START + timedelta(days=day):%d.%m.%Y};{shop};{sales};{day % 5}")
    text, comments, dataset = looked(tmp_path, lines)
    assert compiled(tmp_path, text).is_file()
    assert dataset | {"path": ""} == {
        "source": "csv", "path": "", "separator": ";", "time": "Datum", "time_format": "%d.%m.%Y", "decimal": ",",
        "thousands": ".", "strip": "€", "where": {"Filiale": "Köln"}, "target": "Umsatz", "frequency": "D",
        "fill": {"method": "linear", "at_most": 2}, "calendar": ["weekday"], "lookback": 19, "horizon": 5,
    }  # fmt: skip
    assert any("column 'Filiale' tells them apart (Köln, Bonn, Ulm: Mitte)" in line for line in comments)
    assert any("gap: 2020-02-22" in line and "(the first of 2): 3 rows are missing" in line for line in comments)
    assert any("'Umsatz': a missing value" in line for line in comments)
    assert "What this config doesn't mend:" not in comments


@pytest.mark.parametrize("by_store", [False, True])
@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0]])
def test_series_are_told_apart_by_numbers_as_by_names(tmp_path, order, by_store):
    """The commonest key of a series is a number. It has few values, but so have sales."""
    rows = [("date", "store", "sales")]
    days = [str((START + timedelta(days=i)).date()) for i in range(200)]
    keys = [(day, store) for day in days for store in (1, 2, 3)]
    rows += [(day, store, (i * 7919) % 11) for i, (day, store) in enumerate(sorted(keys, key=lambda k: k[by_store]))]

    def found(prefix):
        lines = [[str(value) for value in row] for row in rows]
        lines[1:] = [[day, prefix + store, sales] for day, store, sales in lines[1:]]
        return looked(tmp_path, [",".join(line[i] for i in order) for line in lines])

    _, named_comments, named = found("S")
    text, comments, dataset = found("")
    assert (dataset["target"], dataset["where"]) == ("sales", {"store": "1"})
    assert dataset | {"where": {"store": "S1"}} == named
    assert [line.replace("S", "") for line in named_comments] == [line.replace("S", "") for line in comments]
    assert any("3 series in one file: column 'store' tells them apart (1, 2, 3)" in line for line in comments)
    assert compiled(tmp_path, text).is_file()


def test_two_numbers_tell_series_apart_and_names_come_before_numbers(tmp_path):
    days = [START + timedelta(days=i) for i in range(100)]
    keys = [(store, item) for store in (1, 2, 3) for item in (7, 8)]
    lines = [f"{day},{store},{item},{(i * 7919) % 13}" for i, day in enumerate(days) for store, item in keys]
    _, _, dataset = looked(tmp_path, ["date,store,item,sales", *lines])
    assert (dataset["target"], dataset["where"]) == ("sales", {"store": "1", "item": "7"})
    lines = [f"{day},{100 * len(shop)},{(i * 7919) % 13},{shop}" for i, day in enumerate(days) for shop in ("A", "BB")]
    text, _, dataset = looked(tmp_path, ["date,area,sales,shop", *lines])
    assert dataset["where"] == {"shop": "A"}
    assert (dataset["target"], "# static: [area]" in text, "# covariates" in text) == ("sales", True, False)


def test_amounts_of_events_on_the_same_days_do_not_name_series(tmp_path):
    """Hardly any amount comes twice on a day, so the times of each amount rise, too."""
    amounts = np.random.default_rng(0).integers(600, size=3000)
    lines = [f"{(START + timedelta(days=i * 3 // 4)).date()},{amount},{i % 5}.5" for i, amount in enumerate(amounts)]
    _, _, dataset = looked(tmp_path, ["date,amount,price", *lines])
    assert (dataset["target"], dataset["resample"], "where" in dataset) == ("amount", "mean", False)


@pytest.mark.parametrize("stores", [("",), ("1", "2", "3"), ("A", "B", "C")])
def test_shuffled_rows_are_to_be_sorted_and_nothing_else_is_said(tmp_path, stores):
    lines = [f"{(START + timedelta(days=i)).date()},{store},{i % 7}" for i in range(400) for store in stores]
    path = write(tmp_path, ["date,store,sales", *np.random.default_rng(0).permutation(lines)])
    with pytest.raises(InputError, match=r":\d+: times out of order: .*\); sort the rows by 'date'$") as refused:
        check(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("stores", [("",), ("1", "2", "3"), ("A", "B", "C")])
@pytest.mark.parametrize("by_store", [False, True])
def test_a_file_with_the_newest_row_first_gets_the_config_of_the_sorted_one(tmp_path, stores, by_store):
    keys = [(i, store) for i in range(400) for store in stores if i != 50]
    rows = {key: f"{(START + timedelta(days=key[0])).date()},{key[1]},{key[0] % 7}" for key in keys}
    newest_first = sorted(keys, key=lambda key: (key[1] * by_store, -key[0], key[1]))
    _, comments, dataset = looked(tmp_path, ["date,store,sales", *map(rows.get, newest_first)])
    place = comments.index("What this config doesn't mend:")
    assert comments[place + 1].endswith("; the newest row comes first: sort the rows by 'date'")
    assert len(comments) == place + 2
    _, _, of_sorted = looked(tmp_path, ["date,store,sales", *map(rows.get, sorted(keys))])
    assert dataset | {"where": {}} == of_sorted | {"where": {}}
    assert ("where" in dataset) == (len(stores) > 1)


def test_a_row_in_the_wrong_place_is_named_beside_a_config(tmp_path):
    lines = [f"{(START + timedelta(days=i)).date()},{i % 7}" for i in range(400)]
    _, comments, dataset = looked(tmp_path, ["date,sales", *lines[:9], lines[20], *lines[9:]])
    assert any(
        line.endswith(":12: times out of order: 2020-01-10 00:00:00 after 2020-01-21 00:00:00") for line in comments
    )
    assert dataset["frequency"] == "D"


def test_months_without_a_century_and_a_title_below_the_rows(tmp_path):
    """The shape of a real file; the title has to go, which the comments say."""
    lines = ['"Month","Power use"', *(f'"{1 + i // 12}-{i % 12 + 1:02}",{65000 + i % 40}' for i in range(123))]
    text, comments, dataset = looked(tmp_path, [*lines, "", "", "Power use"])
    place = comments.index("What this config doesn't mend:")
    assert comments[place + 1].endswith(":127: 1 field where the header has 2, the first 'Power use'")
    assert (dataset["time_format"], dataset["frequency"], dataset["calendar"]) == ("%y-%m", "MS", ["month"])
    with pytest.raises(InputError):
        compiled(tmp_path, text)
    text, _, dataset = looked(tmp_path, lines)
    assert compiled(tmp_path, text).is_file()
    assert dataset["lookback"] + dataset["horizon"] <= 18, "rows of the shortest split"


@pytest.mark.parametrize(("time_format", "factor"), [("unix", 1), ("unix_ms", 1000)])
def test_unix_times_are_found_among_counts_and_years(tmp_path, time_format, factor):
    start = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
    lines = [f"{i},{2020 + i // 800},{factor * (start + 3600 * i)},{i % 24}" for i in range(1000)]
    text, _, dataset = looked(tmp_path, ["id,year,epoch,load", *lines])
    assert (dataset["time"], dataset["time_format"], dataset["frequency"]) == ("epoch", time_format, "h")
    assert compiled(tmp_path, text).is_file()


def test_repeated_times_are_resampled(tmp_path):
    lines = [f"{START + timedelta(hours=i)},{i % 24}" for i in range(1000)]
    lines[600:600] = [lines[599].replace(",", ",1"), f"{START + timedelta(hours=599, minutes=30)},5"]
    text, comments, dataset = looked(tmp_path, ["time,load", *lines])
    assert dataset["resample"] == "mean"
    assert any("duplicate time" in line for line in comments)
    assert any("off the frequency" in line for line in comments)
    assert compiled(tmp_path, text).is_file()


@pytest.mark.parametrize(
    ("frequency", "times"),
    [
        ("B", [START + timedelta(days=i) for i in range(200) if (START + timedelta(days=i)).weekday() < 5]),
        ("W", [START + timedelta(days=7 * i) for i in range(200)]),
        ("30min", [START + timedelta(minutes=30 * i) for i in range(200)]),
        ("MS", [datetime(2000 + i // 12, i % 12 + 1, 1) for i in range(200)]),
        ("M", [datetime(2000 + i // 12, i % 12 + 1, 1) - timedelta(days=1) for i in range(200)]),
        ("Q", [datetime(1980 + i // 4, i % 4 * 3 + 1, 1) - timedelta(days=1) for i in range(200)]),
        ("YS", [datetime(1800 + i, 1, 1) for i in range(200)]),
    ],
)
def test_the_frequency_is_found(tmp_path, frequency, times):
    text, comments, dataset = looked(
        tmp_path, ["x,y", *(f"{time:%Y-%m-%dT%H:%M},{i % 9}" for i, time in enumerate(times))]
    )
    assert dataset["frequency"] == frequency
    assert "no problems" in comments
    assert compiled(tmp_path, text).is_file()


def test_events_at_any_time_become_days(tmp_path):
    lines, time = [], START
    for i in range(900):
        time += timedelta(seconds=(i * 7919) % 70_000 + 1)
        lines.append(f"{time},{i % 13}")
    text, comments, dataset = looked(tmp_path, ["time,amount", *lines])
    assert (dataset["frequency"], dataset["resample"]) == ("D", "mean")
    assert compiled(tmp_path, text).is_file()
    assert "What this config doesn't mend:" not in comments


def test_a_zone_on_some_rows_is_named(tmp_path):
    lines = [f"{START + timedelta(hours=i)}{'Z' if i == 30 else ''},{i % 5}" for i in range(200)]
    _, comments, dataset = looked(tmp_path, ["time,load", *lines])
    assert dataset["frequency"] == "h"
    assert any("don't both have a time zone (the first of 2)" in line for line in comments)


def test_names_and_values_that_yaml_would_take_for_others_are_quoted(tmp_path):
    lines = ["on,1e3,no: 1,#x", *(f"{START + timedelta(days=i)},{i % 5},{i % 3},{i % 7}" for i in range(200))]
    text, _, dataset = looked(tmp_path, lines, name="2020 - Umsätze.csv")
    assert (dataset["time"], dataset["target"]) == ("on", "1e3")
    assert compiled(tmp_path, text).is_file()
    assert list(yaml.safe_load(text)["datasets"]) == ["data_2020_ums_tze"]


@pytest.mark.parametrize("rows", range(14, 60, 5))
def test_a_short_file_gets_windows_that_fit(tmp_path, rows):
    text, _, _ = looked(tmp_path, ["day,sold", *(f"{(START + timedelta(days=i)).date()},{i % 7}" for i in range(rows))])
    assert compiled(tmp_path, text).is_file()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["day,sold", *(f"2020-01-{i:02},{i}" for i in range(1, 12))], "11 rows, expected 14 or more"),
        (["name,sold", *(f"x{i},{i}" for i in range(40))], "no column of times"),
        (["day,name", *(f"2020-01-{i:02},x" for i in range(1, 30))], "no column of numbers beside the times in 'day'"),
        (["day,sold", "2020-01-01,5"], "1 row, expected 14 or more"),
        (["day,sold", *["2020-01-01,5"] * 30], "no step between rows can be told"),
        (["day,sold"], "0 rows, expected 14 or more"),
        ([""], "0 rows, expected 14 or more"),
    ],
)  # fmt: skip
def test_a_file_that_no_config_can_be_made_of_is_refused(tmp_path, lines, message):
    path = write(tmp_path, lines)
    with pytest.raises(InputError, match=message) as refused:
        check(str(path))
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_file_in_another_encoding_is_called_that(tmp_path, encoding):
    path = tmp_path / "umsatz.csv"
    lines = ["Datum;Umsatz", *(f"{START + timedelta(days=i):%d.%m.%Y};{i % 7},50 €" for i in range(40))]
    path.write_bytes("\r\n".join(lines).encode(encoding))
    with pytest.raises(InputError, match=r"umsatz.csv:\d: not UTF-8 text; save it as CSV in UTF-8"):
        check(str(path))


def test_the_command_prints_the_config_alone_and_refuses_with_2(tmp_path):
    def called(source):
        command = [sys.executable, "-m", "pipeline", "check", source]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    path = write(tmp_path, ["day,sold", *(f"{(START + timedelta(days=i)).date()},{i % 7}" for i in range(100))])
    done = called(str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert compiled(tmp_path, done.stdout).is_file()
    for source, message in (("/dev/zero", "a device or a pipe"), (str(tmp_path / "no.csv"), "No such file")):
        done = called(source)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr


def test_what_is_printed_can_be_ingested_and_counts_what_was_filled(tmp_path):
    lines = [f"{(START + timedelta(days=i)).date()},{i % 7}" for i in range(300)]
    del lines[100:103]
    _, _, dataset = looked(tmp_path, ["day,sold", *lines])
    facts = csv.check(csv.Options.model_validate({key: dataset[key] for key in dataset if key != "source"}))
    assert (facts.rows, facts.filled) == (300, {"sold": 3})
    assert facts.found["filled"] == "3 of sold (linear); 3 rows inserted"
