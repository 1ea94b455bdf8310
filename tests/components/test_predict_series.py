"""Forecasts of a user's series: which windows are seen, and what of a file can't be."""

import json
import os
import shutil
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from series_files import START, series_lines, write_series

from components.common.errors import InputError
from components.data import input_pipeline
from components.data.new.example import Example
from components.data.new.series import read_series, read_windows
from components.predict import predictions_file
from components.predict.predict import predict
from components.readers.csv_format import Fill

LOOKBACK, HORIZON = 24, 6


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def reasons(output):
    return {row["id"]: row["reason"] for row in lines(predictions_file.errors_path(output))}


def forecasts(export, source, every=False, output=None):
    output = output or source.parent / "p.jsonl"
    predict(str(export.model), str(source), str(output), every)
    return lines(output)


def future(rows, weekend=1, first=60):
    """Lines of the future, which tell the holiday alone."""
    times = (START + timedelta(hours=i) for i in range(first, first + rows))
    return [f"{time.isoformat()},,,{weekend}" for time in times]


def windows(export, source, every=False):
    return [e for e in read_windows(source, export.info, every) if isinstance(e, Example)]


def keras_forecasts(export, split):
    import keras

    model = keras.saving.load_model(export.model / "model.keras", compile=False)
    batches = input_pipeline.sequential_batches(export.dataset, export.info, split, 64).map(lambda x, _: x)
    return np.asarray(model.predict(batches, verbose=0))


@pytest.mark.parametrize("name", ["told", "untold"])
def test_every_window_of_records_is_forecast_as_the_model_does(exports, tmp_path, name):
    export = exports[name]
    (shard,) = export.dataset.glob("*-test.tfrecord-*")
    rows = forecasts(export, shard, every=True, output=tmp_path / "p.jsonl")
    expected = keras_forecasts(export, "test")
    # Where nothing has to be told of the future, the last horizon's windows have one too.
    assert len(rows) == len(expected) + (0 if name == "told" else HORIZON)
    names = ["forecast_p10", "values", "forecast_p90"] if name == "told" else ["values"]
    assert all(row.keys() == {"id", "times", *names} for row in rows)
    found = np.stack([[row[key] for row in rows[: len(expected)]] for key in names], axis=-1)
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-5)
    assert rows[0]["id"] == f"{shard.name}:{LOOKBACK - 1}"


@pytest.mark.parametrize("name", ["told", "untold"])
def test_a_csv_file_and_its_records_give_the_same_windows(exports, tmp_path, name):
    """Calendar, columns and what is known of the future: as ingest made them of the same rows."""
    export = exports[name]
    first = export.info.records["train"] + export.info.records["validation"]
    rows = export.info.records["test"]
    source = write_series(tmp_path / "x.csv", series_lines(rows, first=first))
    (shard,) = export.dataset.glob("*-test.tfrecord-*")
    ours, theirs = windows(export, source, every=True), windows(export, shard, every=True)
    assert len(ours) == len(theirs) > 10
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.times == other.times
        for key, value in mine.load().items():
            np.testing.assert_allclose(value, other.load()[key], atol=1e-6)


def test_the_forecast_follows_the_last_row(exports, tmp_path):
    source = write_series(tmp_path / "x.csv", series_lines(60))
    (row,) = forecasts(exports["untold"], source)
    assert row["id"] == "x.csv:61"
    assert row["times"] == [(START + timedelta(hours=60 + i)).isoformat() for i in range(HORIZON)]
    assert len(row["values"]) == HORIZON
    every = forecasts(exports["untold"], source, every=True)
    assert len(every) == 60 - LOOKBACK + 1
    assert every[-1]["times"] == row["times"]
    np.testing.assert_allclose(every[-1]["values"], row["values"], rtol=1e-5)


def test_rows_without_a_target_tell_what_is_known_of_the_future(exports, tmp_path):
    export = exports["told"]
    holiday = export.info.known.index("holiday")
    seen = []
    for weekend in (0, 1):
        source = write_series(tmp_path / "x.csv", [*series_lines(60), *future(HORIZON, weekend)])
        (window,) = windows(export, source)
        assert window.id == "x.csv:61"
        told = window.load()["future"]
        assert told.shape == (HORIZON, len(export.info.known))
        np.testing.assert_array_equal(told[:, holiday], weekend)
        seen.append(forecasts(export, source)[0]["values"])
    assert not np.allclose(*seen), "the model doesn't see them"
    # More than the horizon make no difference.
    source = write_series(tmp_path / "x.csv", [*series_lines(60), *future(HORIZON + 40)])
    assert forecasts(export, source)[0]["values"] == pytest.approx(seen[1])


def test_a_forecast_has_the_times_of_the_rows_that_tell_the_future(exports, tmp_path):
    """Clocks go back in the horizon: its rows have another offset than the last row with a target."""
    summer = [line.replace(",", "+02:00,", 1) for line in series_lines(60)]
    times = [(START + timedelta(hours=59 + i)).isoformat() + "+01:00" for i in range(HORIZON)]
    source = write_series(tmp_path / "x.csv", [*summer, *(f"{time},,,1" for time in times)])
    (window,) = windows(exports["told"], source)
    assert [time.isoformat() for time in window.times] == times


def test_every_window_of_a_file_with_rows_of_the_future(exports, tmp_path):
    source = write_series(tmp_path / "x.csv", [*series_lines(60), *future(HORIZON - 2)])
    assert len(windows(exports["told"], source, every=True)) == 60 - LOOKBACK - HORIZON + 1 + HORIZON - 2
    assert len(windows(exports["untold"], source, every=True)) == 60 - LOOKBACK + 1


def test_windows_do_not_cross_what_is_missing(exports, tmp_path):
    rows = list(series_lines(90))
    gap = rows[:40] + rows[41:]
    bad = [*rows[:40], "2024-01-02T16:00:00,oops,1,0", *rows[41:]]
    empty = [*rows[:40], "2024-01-02T16:00:00,,1,0", *rows[41:]]
    for content in (gap, bad, empty):
        source = write_series(tmp_path / "x.csv", content)
        found = windows(exports["untold"], source, every=True)
        assert len(found) == (40 - LOOKBACK + 1) + (49 - LOOKBACK + 1)
        for window in found:
            target = window.load()["window"][:, 0]
            assert np.abs(np.diff(target)).max() < 0.27, "a wave of 24 hours has no such step"


@pytest.mark.parametrize(
    ("line", "text", "where", "reason"),
    [
        (5, "2024-01-01T03:00:00,oops,1,0", "x.csv:5", "column 'load': 'oops' is not a number"),
        (5, "2024-01-01T03:00:00,1,,0", "x.csv:5", "column 'temp': a missing value"),
        (5, "2024-01-01T03:00:00,inf,1,0", "x.csv:5", "column 'load': inf is not a finite number"),
        (5, "2024-01-01T03:00:00,nan,1,0", "x.csv:6", "load goes on after rows without it"),
        (5, "2024-01-01T03:00:00,1", "x.csv:5", "2 fields where the header has 4"),
        (5, "yesterday,1,1,0", "x.csv:5", "column 'time': 'yesterday' is not a time as ISO 8601"),
        (5, '2024-01-01T03:00:00,"1"2,1,0', "x.csv:5", "',' expected after '\"'"),
        (5, "2024-01-01T02:00:00,1,1,0", "x.csv:5", "duplicate time"),
        (5, "2024-01-01T01:00:00,1,1,0", "x.csv:5", "times out of order"),
        (5, "2024-01-01T03:30:00,1,1,0", "x.csv:5", "off the frequency"),
        (5, "2024-01-01T02:30:00,1,1,0", "x.csv:5", "off the frequency"),
        (5, "2024-01-01T03:00:00+01:00,1,1,0", "x.csv:5", "don't both have a time zone"),
        (5, "2024-01-01T03:00:00,\udcff,1,0", "x.csv:5", "not UTF-8 text"),
        (5, "2024-01-01T03:00:00,,1,0", "x.csv:6", "load goes on after rows without it"),
    ],
)
def test_a_bad_row_goes_to_the_error_file_and_the_rest_is_forecast(exports, tmp_path, line, text, where, reason):
    rows = list(series_lines(60))
    clean = forecasts(exports["untold"], write_series(tmp_path / "clean.csv", rows))
    rows[line - 2] = text
    content = "\n".join(["time,load,temp,holiday", *rows]) + "\n"
    (tmp_path / "x.csv").write_bytes(content.encode(errors="surrogateescape"))
    found = forecasts(exports["untold"], tmp_path / "x.csv")
    assert [{**row, "id": ""} for row in found] == [{**row, "id": ""} for row in clean]
    found = reasons(tmp_path / "p.jsonl")
    assert reason in found[where]
    assert all(int(name.rpartition(":")[2]) in (5, 6) for name in found), "other rows are good"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("time,laod,temp,holiday\n", "x.csv:1: no column 'load'; did you mean 'laod'?"),
        ("date,load,temp,holiday\n", "x.csv:1: no column 'time'; there are: date, load, temp, holiday"),
        ("time,load,load,temp\n", "x.csv:1: column 'load' is there 2 times"),
        ("", "x.csv:1: no column 'time'; there are: none"),
        ("time,load,temp,holiday\n", "x.csv: 0 rows without a gap at its end, expected 24 or more"),
        ([*series_lines(1)], "x.csv: 1 row without a gap at its end, expected 24 or more"),
        ([*series_lines(LOOKBACK - 1)], "x.csv: 23 rows without a gap at its end, expected 24 or more"),
        ([*series_lines(60, hours=2)], "x.csv:3: gap: 2024-01-01 02:00:00 after 2024-01-01 00:00:00"),
        ([*series_lines(20), "2024-01-01T20:00:00,oops,1,0"], "x.csv:22: column 'load': 'oops' is not a number"),
        ("\ufeff".encode("utf-16") + "time,load,temp\n".encode("utf-16"), "x.csv:1: not UTF-8 text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("every", [False, True])
def test_a_series_that_can_not_be_forecast_is_refused(exports, tmp_path, content, message, every):
    source = tmp_path / "x.csv"
    if isinstance(content, list):
        write_series(source, content)
    else:
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refused:
        predict(str(exports["untold"].model), str(source), str(tmp_path / "p.jsonl"), every)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_after_a_bad_last_row_the_windows_before_it_alone_are_forecast(exports, tmp_path):
    source = write_series(tmp_path / "x.csv", [*series_lines(40), "2024-01-02T16:00:00,oops,1,0"])
    with pytest.raises(InputError, match="'oops' is not a number"):
        forecasts(exports["untold"], source)
    assert len(forecasts(exports["untold"], source, every=True)) == 40 - LOOKBACK + 1


@pytest.mark.parametrize("rows", [0, HORIZON - 1])
def test_what_has_to_be_told_of_the_future_is_asked_for(exports, tmp_path, rows):
    source = write_series(tmp_path / "x.csv", [*series_lines(60), *future(rows)])
    with pytest.raises(InputError) as refused:
        forecasts(exports["told"], source)
    assert f"x.csv: {rows} rows without load at its end, expected 6 that tell holiday of the future" in str(
        refused.value
    )
    source = write_series(tmp_path / "x.csv", [*series_lines(60), *(line[:-1] for line in future(HORIZON))])
    with pytest.raises(InputError, match=r"x\.csv:62: column 'holiday': a missing value"):
        forecasts(exports["told"], source)


def test_a_picture_is_nothing_for_a_series(exports, tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(InputError, match="not a file that this model can read, expected CSV files"):
        forecasts(exports["untold"], tmp_path / "x.png")


def test_each_file_of_a_folder_is_a_series_and_shards_are_one(exports, tmp_path):
    import tensorflow as tf

    (tmp_path / "in").mkdir()
    write_series(tmp_path / "in" / "a.csv", series_lines(60))
    write_series(tmp_path / "in" / "b.csv", series_lines(3))
    write_series(tmp_path / "in" / "c.CSV", series_lines(60, start=datetime(2025, 1, 1)))
    (shard,) = exports["untold"].dataset.glob("*-test.tfrecord-*")
    records = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    for i, part in enumerate((records[:30], records[30:])):
        with tf.io.TFRecordWriter(str(tmp_path / "in" / f"d.tfrecord-{i:05}-of-00002")) as writer:
            for record in part:
                writer.write(record)
    rows = forecasts(exports["untold"], tmp_path / "in", output=tmp_path / "p.jsonl")
    last = f"d.tfrecord-00001-of-00002:{len(records) - 31}"
    assert [row["id"] for row in rows] == ["a.csv:61", "c.CSV:61", last]
    assert reasons(tmp_path / "p.jsonl") == {"b.csv": "3 rows without a gap at its end, expected 24 or more"}
    whole = forecasts(exports["untold"], shard, output=tmp_path / "q.jsonl")
    np.testing.assert_allclose(rows[-1]["values"], whole[0]["values"], rtol=1e-5)


def test_records_of_something_else_fail(exports, tmp_path):
    (images,) = exports["fashion"].dataset.glob("*-test.tfrecord-*")
    with pytest.raises(InputError, match="not a record of a series, expected the features 'time' and 'values'"):
        forecasts(exports["untold"], images, output=tmp_path / "p.jsonl")
    (other,) = exports["told"].dataset.glob("*-test.tfrecord-*")
    with pytest.raises(InputError, match="7 values, expected 6 finite ones"):
        forecasts(exports["untold"], other, output=tmp_path / "p.jsonl")


def test_a_calendar_in_another_time_zone_is_kept_in_csv_and_refused_of_records(exports, tmp_path):
    import tensorflow as tf

    export = exports["untold"]
    zone = [line.replace(",", "+05:00,", 1) for line in series_lines(60)]
    (row,) = forecasts(export, write_series(tmp_path / "x.csv", zone))
    assert row["times"][0] == "2024-01-03T12:00:00+05:00"
    plain = forecasts(export, write_series(tmp_path / "y.csv", series_lines(60)))
    assert row["values"] == plain[0]["values"], "it is noon in both"

    (shard,) = export.dataset.glob("*-test.tfrecord-*")
    with tf.io.TFRecordWriter(str(tmp_path / "z.tfrecord")) as writer:
        for record in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            example.features.feature["time"].int64_list.value[0] -= 5 * 3600
            writer.write(example.SerializeToString())
    with pytest.raises(InputError, match="a time zone that records don't keep"):
        forecasts(export, tmp_path / "z.tfrecord", output=tmp_path / "p.jsonl")


def test_a_value_that_no_model_can_compute_with_is_an_error(exports, tmp_path):
    rows = list(series_lines(60))
    rows[50] = rows[50].split(",")[0] + ",1e300,1,0"
    found = forecasts(exports["untold"], write_series(tmp_path / "x.csv", rows), every=True)
    assert len(found) == 50 - LOOKBACK + 1
    assert "column 'load': 1e300 is beyond 1e+18; use a larger unit" in reasons(tmp_path / "p.jsonl").values()


def test_months_end(exports, tmp_path):
    export = exports["untold"]
    info = export.info.model_copy(update={"frequency": "MS"})

    def monthly(day):
        times = [datetime(2020 + i // 12, i % 12 + 1, day) for i in range(30)]
        return write_series(tmp_path / "x.csv", [f"{time.isoformat()},1,2,0" for time in times])

    (window,) = read_windows(monthly(1), info, False)
    assert window.times[0] == datetime(2022, 7, 1)
    assert window.times[-1] == datetime(2022, 12, 1)
    times = [datetime(2020, 3, 31)]
    (tmp_path / "x.csv").write_text(f"time,load,temp\n{times[0].isoformat()},1,2\n")
    (failure,) = read_windows(tmp_path / "x.csv", info.model_copy(update={"lookback": 1}), False)
    assert "no time one step of MS after 2020-03-31" in failure.reason


# Files that the training read with options.


def as_trained(exports, **options):
    return SimpleNamespace(model=exports["untold"].model, info=exports["untold"].info.model_copy(update=options))


def seen(export, source):
    """What the window at the end of a file holds, and why others failed."""
    found = list(read_windows(source, export.info, False))
    failures = [f"{f.id}: {f.reason}" for f in found if not isinstance(f, Example)]
    return [e for e in found if isinstance(e, Example)], failures


def test_a_file_written_as_the_training_s_is_read_like_it(exports, tmp_path):
    rows = [line.split(",") for line in series_lines(60)]
    (plain,), _ = seen(exports["untold"], write_series(tmp_path / "x.csv", series_lines(60)))
    for row in rows:
        row[0] = f"{datetime.fromisoformat(row[0]):%d.%m.%Y %H:%M}"
        row[1:3] = ["€ 1." + f"{float(row[1]):07.3f}".replace(".", ","), row[2].replace(".", ",")]
    lines = [line for row in rows for line in (f"north;{';'.join(row)}", f"south;{row[0]};0;0;0")]
    written = write_series(tmp_path / "y.csv", lines, header="where;time;load;temp;holiday")
    form = {"separator": ";", "decimal": ",", "thousands": ".", "strip": "€ ", "time_format": "%d.%m.%Y %H:%M"}
    (window,), failures = seen(as_trained(exports, **form, where={"where": "north"}), written)
    assert failures == []
    assert (window.id, window.times) == ("y.csv:120", plain.times)
    expected = plain.load()["window"] + np.array([1000, 0], np.float32)
    np.testing.assert_allclose(window.load()["window"], expected, atol=6e-4)


def test_what_is_missing_is_filled_as_in_the_training(exports, tmp_path):
    rows = list(series_lines(60))
    (plain,), _ = seen(exports["untold"], write_series(tmp_path / "x.csv", rows))
    rows[50] = rows[50].split(",")[0] + ",,,0"
    del rows[52]
    source = write_series(tmp_path / "y.csv", rows)
    assert len(seen(exports["untold"], source)[1]) >= 2
    export = as_trained(exports, fill=Fill(method="linear", at_most=1))
    (window,), failures = seen(export, source)
    assert failures == []
    assert window.times == plain.times
    np.testing.assert_allclose(window.load()["window"][:, 0], plain.load()["window"][:, 0], atol=0.06)
    same = [i for i in range(LOOKBACK) if i + 60 - LOOKBACK not in (50, 52)]
    np.testing.assert_array_equal(window.load()["window"][same], plain.load()["window"][same])


def test_how_many_values_were_filled_is_said(exports, tmp_path, capsys):
    shutil.copytree(exports["untold"].model, tmp_path / "model")
    about = json.loads((tmp_path / "model" / "dataset.json").read_text())
    about["fill"] = {"method": "linear", "at_most": 1}
    (tmp_path / "model" / "dataset.json").write_text(json.dumps(about))
    export = SimpleNamespace(model=tmp_path / "model")
    rows = list(series_lines(60))
    forecasts(export, write_series(tmp_path / "x.csv", rows))
    assert "filled" not in capsys.readouterr().out
    rows[50] = rows[50].split(",")[0] + ",,,0"
    del rows[52]
    forecasts(export, write_series(tmp_path / "x.csv", rows))
    assert "missing values of the input were filled: 2 of load, 2 of temp" in capsys.readouterr().out


def test_rows_of_the_future_are_not_filled(exports, tmp_path):
    source = write_series(tmp_path / "x.csv", [*series_lines(60), *future(HORIZON)])
    (plain,), _ = seen(exports["told"], source)
    info = exports["told"].info.model_copy(update={"fill": Fill(method="linear", at_most=3)})
    (window,), failures = seen(SimpleNamespace(info=info), source)
    assert failures == []
    assert window.id == plain.id == "x.csv:61"
    for key, value in plain.load().items():
        np.testing.assert_array_equal(window.load()[key], value)


def test_rows_are_resampled_as_in_the_training(exports, tmp_path):
    lines = []
    for line in series_lines(60):
        time, load, rest = line.split(",", 2)
        for minutes, more in ((0, -0.5), (15, 0), (30, 0), (45, 0.5)):
            lines.append(f"{datetime.fromisoformat(time) + timedelta(minutes=minutes)},{float(load) + more},{rest}")
    (plain,), _ = seen(exports["untold"], write_series(tmp_path / "x.csv", series_lines(60)))
    (window,), failures = seen(as_trained(exports, resample="mean"), write_series(tmp_path / "y.csv", lines))
    assert failures == []
    assert window.times == plain.times
    np.testing.assert_allclose(window.load()["window"], plain.load()["window"], atol=1e-4)
    # The last hour lacks half its rows: the forecast begins with it.
    (window,), _ = seen(as_trained(exports, resample="mean"), write_series(tmp_path / "z.csv", lines[:-2]))
    assert window.times[0] == plain.times[0] - timedelta(hours=1)


@pytest.mark.parametrize("name", ["pipe.csv", "folder.csv"])
def test_what_is_no_file_fails_at_once(exports, tmp_path, name):
    (tmp_path / "in" / "folder.csv").mkdir(parents=True)
    os.mkfifo(tmp_path / "in" / "pipe.csv")
    source = tmp_path / "in" / name
    with pytest.raises(InputError) as refused:
        predict(str(exports["untold"].model), str(source), str(tmp_path / "p.jsonl"))
    assert any(part in str(refused.value) for part in ("a pipe or a device", "nothing to read"))


def test_a_file_of_another_separator_or_series_is_told_of_both(tmp_path, exports):
    info = exports["told"].info.model_copy(update={"separator": ";", "where": {"shop": "a"}})
    (tmp_path / "series.csv").write_text("time,load,shop\n2020-01-01,1,a\n")
    (reason,) = [row.reason for _, _, rows in read_series(tmp_path / "series.csv", info) for row in rows]
    assert reason.startswith("no column 'time'")
    assert reason.endswith("fields are separated by ';' in the training data")
    (tmp_path / "series.csv").write_text(
        f"time;{';'.join(info.columns)};shop\n2020-01-01{';1' * len(info.columns)};b\n"
    )
    found = [row.reason for _, _, rows in read_series(tmp_path / "series.csv", info) for row in rows]
    assert found == ["where keeps no row; there are: b"]
