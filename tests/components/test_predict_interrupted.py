"""Predictions that were interrupted, and those of much."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from predicted import idx, lines

from components.common.errors import InputError
from components.predict import predictions_file
from components.predict.predict import predict

ROOT = Path(__file__).parent.parent.parent


KILLED = """\
import os, signal, sys
from components.predict import predictions_file, predict as predict_step
predictions_file.SAVE_SECONDS = 0.0
def end(read):
    if read >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
predict_step.predict(*sys.argv[1:4], progress=end)
"""


def killed(model, source, output, after):
    """Predict in a process that is killed once so many examples were read."""
    arguments = [str(model), str(source), str(output), str(after)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, cwd=ROOT, check=False)
    assert ended.returncode == -9, ended.stderr


def interrupted(model, source, output, after):
    """Predict in this process, until Ctrl-C once so many examples were read."""

    def stop(read):
        if read >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictions_file, "SAVE_SECONDS", 0.0)
        predict(str(model), str(source), str(output), progress=stop)


@pytest.fixture(scope="module")
def many(fashion, tmp_path_factory):
    """A folder of idx files with 1,400 images, bad files among them; and what is predicted without interruption."""
    root = tmp_path_factory.mktemp("many")
    (root / "in").mkdir()
    for i in range(7):
        (root / "in" / f"{i}-idx3-ubyte").write_bytes(idx(fashion.images[::-1] if i % 2 else fashion.images))
        (root / "in" / f"{i}-idx3-ubyte.png").write_text("bad")
    done = predict(str(fashion.model), str(root / "in"), str(root / "p.jsonl"))
    assert (done.predicted, done.failed) == (1400, 7)
    return root


@pytest.mark.parametrize(
    ("after", "torn"), [(1407, b""), (256, b'{"id": "half a line'), (600, b'{"id": "a whole line"}\n' * 3)]
)
def test_a_killed_prediction_goes_on_and_its_files_are_those_of_an_undisturbed_one(
    fashion, many, tmp_path, capsys, after, torn
):
    output = tmp_path / "p.jsonl"
    killed(fashion.model, many / "in", output, after)
    assert not output.exists() and not predictions_file.errors_path(output).exists()
    for name in (".p.jsonl.partial", ".p.errors.jsonl.partial"):
        with (tmp_path / name).open("ab") as file:
            file.write(torn)
    read = []
    done = predict(str(fashion.model), str(many / "in"), str(output), progress=read.append)
    assert (done.predicted, done.failed) == (1400, 7)
    before = min(-(-after // 256) * 256, 1407)
    assert f"going on after {before:,} examples" in capsys.readouterr().out
    assert all(number > before for number in read), "nothing is predicted twice"
    assert output.read_bytes() == (many / "p.jsonl").read_bytes()
    assert (
        predictions_file.errors_path(output).read_bytes() == predictions_file.errors_path(many / "p.jsonl").read_bytes()
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.errors.jsonl", "p.jsonl"]


@pytest.mark.parametrize("saved", [False, True])
def test_ctrl_c_leaves_no_whole_file_and_it_goes_on_from_what_was_saved(fashion, many, tmp_path, capsys, saved):
    output = tmp_path / "p.jsonl"
    interrupted(fashion.model, many / "in", output, 600)
    assert not output.exists()
    if not saved:
        # As if the first second hadn't passed.
        (tmp_path / ".p.jsonl.progress").unlink()
    predict(str(fashion.model), str(many / "in"), str(output))
    assert ("going on after 768 examples" in capsys.readouterr().out) == saved
    assert output.read_bytes() == (many / "p.jsonl").read_bytes()


@pytest.mark.parametrize("lost", [".p.jsonl.partial", ".p.errors.jsonl.partial", "lines"])
def test_without_what_was_written_it_starts_anew(fashion, many, tmp_path, capsys, lost):
    output = tmp_path / "p.jsonl"
    interrupted(fashion.model, many / "in", output, 600)
    if lost == "lines":
        with (tmp_path / ".p.jsonl.partial").open("r+b") as file:
            file.truncate(100)
    else:
        (tmp_path / lost).unlink()
    predict(str(fashion.model), str(many / "in"), str(output))
    assert "going on" not in capsys.readouterr().out
    assert output.read_bytes() == (many / "p.jsonl").read_bytes()


@pytest.mark.parametrize("change", ["input", "model"])
def test_with_another_input_or_model_it_starts_anew(fashion, exports, many, tmp_path, capsys, change):
    shutil.copytree(many / "in", tmp_path / "in")
    shutil.copytree(fashion.model, tmp_path / "model")
    output = tmp_path / "p.jsonl"
    interrupted(tmp_path / "model", tmp_path / "in", output, 600)
    if change == "input":
        # As many bytes as before.
        (tmp_path / "in" / "0-idx3-ubyte").write_bytes(idx(255 - fashion.images))
    else:
        (tmp_path / "model" / "golden.json").write_text("{}")
    predict(str(tmp_path / "model"), str(tmp_path / "in"), str(output))
    assert "going on" not in capsys.readouterr().out
    predict(str(tmp_path / "model"), str(tmp_path / "in"), str(tmp_path / "q.jsonl"))
    assert output.read_bytes() == (tmp_path / "q.jsonl").read_bytes()


def test_a_second_process_does_not_write_the_same_file(tmp_path):
    first = predictions_file.PredictionsFile(tmp_path / "p.jsonl", "key")
    first.write([{"id": 1}], [])
    with pytest.raises(InputError, match="another process is writing it"):
        predictions_file.PredictionsFile(tmp_path / "p.jsonl", "key")
    first.finish()
    assert lines(tmp_path / "p.jsonl") == [{"id": 1}]


def test_an_error_file_of_earlier_predictions_does_not_stay(fashion, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(fashion.images[0]).save(tmp_path / "in" / "0.png")
    (tmp_path / "in" / "bad.png").write_text("bad")
    predict(str(fashion.model), str(tmp_path / "in"), str(tmp_path / "p.jsonl"))
    assert predictions_file.errors_path(tmp_path / "p.jsonl").exists()
    (tmp_path / "in" / "bad.png").unlink()
    predict(str(fashion.model), str(tmp_path / "in"), str(tmp_path / "p.jsonl"))
    assert not predictions_file.errors_path(tmp_path / "p.jsonl").exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(fashion, tmp_path):
    code = (
        "import sys; from components.predict.predict import predict; predict(*sys.argv[1:]); "
        # Not getrusage's peak, which a process inherits from the one that starts it.
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    peaks = []
    for times in (25, 250):
        (tmp_path / "images-idx3-ubyte").write_bytes(idx(np.tile(fashion.images, (times, 1, 1))))
        arguments = [str(fashion.model), str(tmp_path / "images-idx3-ubyte"), str(tmp_path / "p.jsonl")]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[-1]) >> 10)
    # 50,000 images have 37 MB, and their lines 17 MB.
    assert peaks[1] - peaks[0] < 25, f"{peaks} MB"
