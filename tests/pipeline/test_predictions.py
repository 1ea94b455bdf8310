"""The commands predict and drift, as a user starts them."""

import json
import re
import sys

import numpy as np
import pytest

from components.data import storage
from pipeline.__main__ import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: its exit code, output and errors."""

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as exit_:
            code = exit_.code
        printed = capsys.readouterr()
        return code or 0, printed.out, printed.err

    return run


@pytest.fixture
def registry(registry, monkeypatch):
    """The registered model, in the registry of this project."""
    monkeypatch.setattr("pipeline.commands.predictions.REGISTRY", registry.parents[3] / "registry")
    return registry


@pytest.fixture
def images(exports, tmp_path):
    """An idx file of the test split."""
    pixels, _ = storage.load_images(exports["fashion"].dataset, exports["fashion"].info, "test")
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(b"\x00\x00\x08\x03" + np.array(pixels.shape[:3], ">u4").tobytes() + pixels.tobytes())
    return path


def test_predict_says_in_one_line_what_it_did(run, registry, images, tmp_path):
    code, out, err = run("predict", "--model", registry, "--input", images, "--output", tmp_path / "p.jsonl")
    assert (code, err) == (0, "")
    assert out == f"200 predictions in {tmp_path / 'p.jsonl'}\n"
    (tmp_path / "in").mkdir()
    images.rename(tmp_path / "in" / "images-idx3-ubyte")
    (tmp_path / "in" / "bad.png").write_text("bad")
    code, out, err = run("predict", "--model", registry, "--input", tmp_path / "in", "--output", tmp_path / "p.jsonl")
    assert (code, err) == (0, "")
    assert out == f"200 predictions in {tmp_path / 'p.jsonl'}, 1 failed, see {tmp_path / 'p.errors.jsonl'}\n"


@pytest.mark.parametrize("command", ["predict", "drift"])
def test_bad_input_is_one_line_and_exit_code_2(run, registry, exports, images, tmp_path, command):
    def refused(message, model=registry, source=images):
        output = ["--output", tmp_path / "out" / "p.jsonl"]
        code, out, err = run(command, "--model", model, "--input", source, *output)
        assert (code, out) == (2, "")
        assert err.startswith("error: ") and err.count("\n") == 1
        assert message in err
        assert not list(tmp_path.glob("out/*"))

    refused("no such file or folder", source=tmp_path / "none")
    refused("no saved_model/ in it", model=tmp_path)
    refused("--trust loads it all the same", model=exports["fashion"].model)
    images.write_bytes(images.read_bytes()[:8] + np.array([14, 14], ">u4").tobytes() + bytes(1000))
    refused("14 x 14 values an example, expected 28 x 28")
    path = registry / "saved_model" / "variables" / "variables.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    refused("variables.data-00000-of-00001: changed after the model was registered")


def test_drift_ends_with_3_where_a_feature_has_moved(run, registry, images, tmp_path):
    found = tmp_path / "drift.json"
    code, out, err = run("drift", "--model", registry, "--input", images, "--output", found)
    assert (code, err) == (0, "")
    assert "200 examples; drifted: nothing (threshold 0.2)" in out
    assert json.loads(found.read_text())["features"]["brightness"]["drifted"] is False

    data = images.read_bytes()
    pixels = np.minimum(np.frombuffer(data[16:], np.uint8).astype(int) + 60, 255).astype(np.uint8)
    images.write_bytes(data[:16] + pixels.tobytes())
    code, out, err = run("drift", "--model", registry, "--input", images, "--output", found)
    assert (code, err) == (3, "")
    assert re.search(r"^brightness +\d+\.\d{3} +0\.\d{3} +0\.\d+ +0\.\d+ +has drifted *$", out, re.MULTILINE)
    assert re.search(r"drifted: .*brightness.* \(threshold 0.2\)", out)
    assert json.loads(found.read_text())["features"]["brightness"]["drifted"] is True
    assert run("drift", "--model", registry, "--input", images, "--threshold", 1000)[0] == 0


def test_every_window_is_an_option(run, exports, tmp_path):
    (shard,) = exports["told"].dataset.glob("*-test.tfrecord-*")
    given = ["predict", "--trust", "--model", exports["told"].model, "--input", shard, "--output", tmp_path / "p.jsonl"]
    code, _, err = run(*given)
    assert code == 2
    assert "none are needed with --every-window" in err
    code, out, _ = run(*given, "--every-window")
    assert (code, out.split()[0]) == (0, "31")
