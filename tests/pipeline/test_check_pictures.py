"""`python -m pipeline check` of a folder of pictures."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from components.common.errors import InputError
from pipeline.check.data import check
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

ROOT = Path(__file__).parent.parent.parent


def write_pictures(root, name, count, size=(20, 30), grey=False):
    generator = np.random.default_rng(sum(name.encode()))
    (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        shape = size if grey else (*size, 3)
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(root / name / f"{i}.png")


def looked(folder):
    """What is printed: the lines of the comments, the data set of the config, and the compiled pipeline."""
    text = check(str(folder))
    comments = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    (dataset,) = yaml.safe_load(text)["datasets"].values()
    return text, comments, dataset


def compiled(tmp_path, text):
    (tmp_path / "saved.yaml").write_text(text)
    return compile_experiment(load_experiment(tmp_path / "saved.yaml", []), tmp_path / "build")[0]


def test_a_good_folder_gets_a_config_that_compiles(tmp_path):
    folder = tmp_path / "My pictures: 2"
    write_pictures(folder, "cat", 12)
    write_pictures(folder, "dog", 1000)
    (folder / "dog" / "notes.txt").write_text("")
    text, comments, dataset = looked(folder)
    assert comments == [
        f"{folder}: 2 classes, 1,012 pictures",
        "cat: 12 pictures",
        "dog: 1,000 pictures",
        "height x width: 20 x 30 pixels",
        "1 other file, which can't be pictures by their names",
        "",
        "no problems",
    ]
    assert dataset == {"source": "image_folder", "path": str(folder), "height": 20, "width": 30, "channels": 3}
    assert yaml.safe_load(text)["models"] == {"cnn": {"family": "cnn", "dataset": "my_pictures_2", "epochs": 20}}
    assert compiled(tmp_path, text).is_file()


def test_pictures_in_subfolders_count(tmp_path):
    write_pictures(tmp_path, "cat/2021", 5)
    write_pictures(tmp_path, "cat", 7)
    write_pictures(tmp_path, "dog", 8)
    _, comments, _ = looked(tmp_path)
    assert comments[:3] == [f"{tmp_path}: 2 classes, 20 pictures", "cat: 12 pictures", "dog: 8 pictures"]
    assert not any("other file" in line for line in comments)
    assert comments[-1] == "no problems"


def test_sizes_and_colours_decide_what_is_trained(tmp_path):
    write_pictures(tmp_path / "grey", "a", 4, (8, 9), grey=True)
    write_pictures(tmp_path / "grey", "b", 4, (8, 9), grey=True)
    text, _, dataset = looked(tmp_path / "grey")
    assert (dataset["height"], dataset["width"], dataset["channels"]) == (8, 9, 1)
    assert list(yaml.safe_load(text)["models"]) == ["mlp"]
    compiled(tmp_path, text)
    for i, size in enumerate([(40, 50), (400, 300), (30, 30)]):
        write_pictures(tmp_path / "several", "ab"[i % 2], 3 + i, size)
    text, comments, dataset = looked(tmp_path / "several")
    assert "height x width: smallest 30 x 30, median 30 x 30, largest 400 x 300 pixels" in comments
    assert (dataset["height"], dataset["width"], dataset["channels"]) == (64, 64, 3)
    compiled(tmp_path, text)


def test_problems_of_every_kind_are_named_and_mended(tmp_path):
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        write_pictures(folder, name, 6)
    (folder / "cat" / "text.png").write_text("text")
    os.mkfifo(folder / "cat" / "pipe.jpg")
    for copy, original in {"dog/x.png": "cat/0.png", "dog/y.png": "dog/1.png", "dog/z.png": "dog/1.png"}.items():
        (folder / copy).write_bytes((folder / original).read_bytes())
    text, comments, dataset = looked(folder)
    assert comments[5:] == [
        "2 files can't be read:",
        f"{folder}/cat/pipe.jpg: unreadable image: a pipe or a device, expected a file",
        f"{folder}/cat/text.png: unreadable image: not a PNG, JPEG, BMP, GIF, WEBP or TIFF",
        "1 image under several labels:",
        "cat/0.png = dog/x.png",
        "1 image more than once under one label, kept in one split:",
        "dog/1.png = dog/y.png = dog/z.png",
    ]
    assert (dataset["skip_unreadable"], dataset["duplicates"]) == (True, "drop")
    assert compiled(tmp_path, text).is_file()


def test_at_most_twenty_lines_of_a_kind(tmp_path):
    write_pictures(tmp_path / "photos", "cat", 4)
    write_pictures(tmp_path / "photos", "dog", 4)
    for i in range(33):
        (tmp_path / "photos" / "cat" / f"bad{i}.png").write_text("text")
    _, comments, _ = looked(tmp_path / "photos")
    assert "33 files can't be read:" in comments
    assert sum("unreadable image" in line for line in comments) == 20
    assert comments[-1] == "and 13 more"


def test_what_a_config_does_not_mend_is_said(tmp_path):
    write_pictures(tmp_path / "photos", "cat", 4)
    write_pictures(tmp_path / "photos", "dog", 1)
    _, comments, _ = looked(tmp_path / "photos")
    assert "dog: 1 picture" in comments
    assert "no problems" not in comments
    assert comments[-2:] == [
        "What this config doesn't mend:",
        f"{tmp_path}/photos/dog: 1 image, expected 3 or more (one for each split)",
    ]


def test_a_folder_without_pictures_is_one_line(tmp_path):
    write_pictures(tmp_path, "photos", 3)
    for folder in (tmp_path / "photos", tmp_path / "photos" / "none"):
        with pytest.raises(InputError) as refused:
            check(str(folder))
        assert "\n" not in str(refused.value)
        assert str(folder) in str(refused.value)


def test_the_command_prints_a_config(tmp_path):
    write_pictures(tmp_path / "photos", "cat", 4)
    write_pictures(tmp_path / "photos", "dog", 4)
    command = [sys.executable, "-m", "pipeline", "check", str(tmp_path / "photos")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert compiled(tmp_path, done.stdout).is_file()
