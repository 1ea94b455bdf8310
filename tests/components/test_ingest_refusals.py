"""What a source can get wrong."""

import itertools
import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from many import many_lines, many_spec
from tiny import START, assert_fails_and_leaves_nothing, fake_images, fake_series, found, numbered, run

from components.artifacts.dataset import SPLITS
from components.common.errors import InputError
from components.data.source_data import Series
from components.ingest import ingest as ingest_step
from components.sources import electricity

ROOT = Path(__file__).parent.parent.parent


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
        (
            "validation",
            [20, 21, 22],
            "1 of 3 validation images are in the train split too, expected at most 1%: validation image 0 is train",
        ),
        ("test", [30, 1, 2], "expected at most 1%: test image 1 is train image 0, test image 2 is train image 1"),
        (
            "test",
            [21, 30, 31],
            "1 of 3 test images are in the validation split too, expected at most 1%: test image 0 is validation",
        ),
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
    monkeypatch.setattr(ingest_step.shutil, "disk_usage", lambda path: SimpleNamespace(free=999))
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


def test_a_full_disk_where_series_are_grouped_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", tmp_path / "disk"]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        spec = many_spec(tmp_path, many_lines())
        line = f"{tmp_path / 'disk'}: no room to group the series of {spec['path']}; set TMPDIR to a folder with more"
        config = {"datasets": {"sales": spec}, "models": {"lstm": {"family": "lstm", "dataset": "sales"}}}
        (tmp_path / "sales.yaml").write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "pipeline", "compile", tmp_path / "sales.yaml"]
        environment = {**os.environ, "TMPDIR": str(tmp_path / "disk")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert line in done.stderr
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "disk"))
        with pytest.raises(InputError, match=re.escape(line)):
            run(tmp_path / "out" / "dataset", spec)
        assert not (tmp_path / "out").exists()
        assert not list((tmp_path / "disk").iterdir())
    finally:
        subprocess.run(["umount", "--lazy", tmp_path / "disk"], check=True)
